"""``onebit report``: a static site of everything measured so far."""

from __future__ import annotations

from pathlib import Path

from onebit.cli.arguments import OutputWithDefault
from onebit.cli.output import print_json, progress
from onebit.cli.show import RESULTS, note_missing


def report(*, output: OutputWithDefault = Path("report"), results: Path = RESULTS, json: bool = False) -> None:
    """Write one static site: systems with components and verdicts, operators, the engine's speed, methods compared.

    It works from disk, without a server.

    Example: onebit report -o report

    Args:
        output: folder of the site.
        results: folder of the records that `onebit claim` and `onebit bench --results` write.
        json: print the first page's path as JSON.
    """
    from onebit.evidence import site
    from onebit.evidence.site.build import count

    note_missing(results, "onebit report")
    with progress("writing pages", count(), quiet=json) as advance:
        first = site.build(output, results, advance)
    if json:
        print_json({"page": first.resolve()})
    else:
        print(f"Report: {first.resolve()}")
