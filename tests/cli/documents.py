"""The pages of the documentation, taken apart: blocks, commands, headings, links."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
ASSIGNMENTS = re.compile(r"^(?:[A-Z_]+=\S+ )+")


@dataclass(frozen=True)
class Page:
    """A page by its path from the root of the project."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def fences(self) -> list[tuple[str, str]]:
        """Language and content of every block with fences."""
        return FENCE.findall(self.text)

    def outputs(self) -> list[str]:
        """What the program is said to print: lines of it, where ``...`` stands for anything."""
        return [block for language, block in self.fences() if language == "output"]

    def program(self) -> str:
        """All Python blocks, one after the other, each on the line where it stands in the page."""
        lines = [""] * (self.text.count("\n") + 1)
        for found in FENCE.finditer(self.text):
            if found[1] == "python":
                first = self.text.count("\n", 0, found.start(2))
                lines[first : first + found[2].count("\n")] = found[2].splitlines()
        return "\n".join(lines)

    def commands(self) -> list[list[str]]:
        """The words of every `onebit ...` command that is given whole: in a block of its own, or between backticks."""
        without = FENCE.sub(lambda found: found[2] if found[1] == "console" else "", self.text)
        lines = [line.strip().removeprefix("$ ") for line in without.splitlines() if line.startswith(("    ", "$ "))]
        lines += [line for language, block in self.fences() if language == "console" for line in block.splitlines()]
        lines += re.findall(r"`(onebit [a-z][^`\n]*)`", FENCE.sub("", self.text))
        found = []
        for line in lines:
            line = re.sub(r"^.*? -m onebit\.cli ", "onebit ", ASSIGNMENTS.sub("", line))
            line = re.split(r"\s{2,}", line)[0]  # what follows at a distance says what the command does
            if line.startswith("onebit "):
                found.append(shlex.split(line, comments=True)[1:])
        return found

    def anchors(self) -> set[str]:
        """What a link to a heading of this page can name."""
        found: set[str] = set()
        for title in re.findall(r"^#{1,6} (.+?)\s*$", FENCE.sub("", self.text), re.MULTILINE):
            plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title)
            found.add(re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", plain.lower()).strip()))
        return found

    def links(self) -> list[str]:
        """Targets of links and pictures that stay in the project."""
        return [target for _, target in LINK.findall(FENCE.sub("", self.text)) if "://" not in target]

    def objects(self) -> list[str]:
        """What an API page documents."""
        return re.findall(r"^::: (\S+)", self.text, re.MULTILINE)


@cache
def pages() -> tuple[Page, ...]:
    """Every page: those in the root of the project, and all of docs/."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return tuple(Page(str(path.relative_to(ROOT))) for path in sorted(found))
