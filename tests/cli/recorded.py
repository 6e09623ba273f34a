"""Tables in the documentation that are records: `python -m tests.cli.recorded` puts what was recorded into the pages.

A block of the command `onebit bench TRACK --recorded` and a block of text right below it belong together.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

from tests.cli.documents import ROOT, pages

from onebit.cli.main import main
from onebit.core.files import write_text

RESULTS = ROOT / "docs/results"
BLOCK = re.compile(
    r"^```console\n(?P<command>onebit bench (?P<track>\w+)[^\n]* --recorded[^\n]*)\n```\n\n```text\n(?P<said>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def printed(command: str, track: str, results: Path = RESULTS) -> str:
    """What a command prints of the records in a folder; without one, how to make it."""
    if not (results / "bench" / f"{track}.jsonl").exists():
        return f"Not measured yet: onebit bench {track} --results docs/results\n"
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        main([*shlex.split(command)[1:], "--results", str(results)])  # status 2: with cells that failed
    return "".join(f"{line.rstrip()}\n" for line in said.getvalue().splitlines())


def filled(text: str, results: Path = RESULTS) -> str:
    """A page with the newest record below each of its commands."""

    def block(found: re.Match[str]) -> str:
        said = printed(found["command"], found["track"], results)
        return f"```console\n{found['command']}\n```\n\n```text\n{said}```"

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    for page in pages():
        text = page.text
        if (new := filled(text)) != text:
            write_text(page.path.resolve(), new)
            print(page)
