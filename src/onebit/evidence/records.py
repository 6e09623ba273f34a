"""Records of what claims found: JSON lines, one a verdict, that name all it takes to find it again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onebit.core import journal
from onebit.evidence.statistics import Interval


@dataclass(frozen=True)
class Record:
    """One verdict on one statement.

    Args:
        claim: slug of the system.
        statement: its number there.
        scale: of the experiment.
        outcome, summary, numbers, intervals, baselines: of the verdict.
        text, threshold, published, unverified: of the statement when it was judged.
        rows: every run: its settings and what was measured.
        seconds: that the runs took together.
        command: that makes such a record.
        date: ISO 8601, UTC.
        made_on: commit, versions, processor, threads.
    """

    claim: str
    statement: int
    scale: str
    outcome: str
    summary: str
    text: str
    threshold: str
    published: str
    unverified: str
    command: str
    date: str
    seconds: float
    numbers: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    baselines: Sequence[str] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    made_on: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; numbers that are not finite are the words of :func:`onebit.core.journal.encode`."""
        values = dataclasses.asdict(self) | {"intervals": {k: v._asdict() for k, v in self.intervals.items()}}
        return journal.encode(values)

    def measured(self) -> list[tuple[str, str, str]]:
        """For people: name, value and ends of the 95 % interval of each number; no ends where there is no interval."""
        rows = [(name, rounded(value), "") for name, value in self.numbers.items()]
        rows += [(name, f"{i.mean:+.3g}", f"{i.low:+.3g} to {i.high:+.3g}") for name, i in self.intervals.items()]
        return rows

    @classmethod
    def from_dict(cls, values: Any) -> Record:
        """The record that :meth:`to_dict` gave; ``ValueError`` says what is wrong."""
        try:
            values = journal.decode(values)
            intervals = {name: Interval(**ends) for name, ends in values["intervals"].items()}
            return cls(**values | {"intervals": intervals})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a record of a claim: {error}") from None


def rounded(value: float) -> str:
    """A measured number for people: four digits, a count in full, a word where it is not defined.

    Example:
        >>> rounded(0.71666), rounded(16794), rounded(float("nan"))
        ('0.7167', '16,794', 'not defined')
    """
    if math.isnan(value):
        return "not defined"
    return f"{value:,.0f}" if abs(value) < 1e15 and value == int(value) else f"{value:.4g}"


def made(command: str, date: str, made_on: Mapping[str, Any], *more: str) -> str:
    """On what a result was made, in a line."""
    packages = [f"{name} {version}" for name, version in made_on.get("packages", {}).items()]
    commit = str(made_on.get("commit") or "unknown")
    commit = commit[:12] + ("-dirty" if commit.endswith("-dirty") else "")
    said = [f"Printed by: {command}", *more, date[:10], f"commit {commit}", str(made_on.get("cpu", "")), *packages]
    return "; ".join(part for part in said if part) + "."


def append(folder: Path, record: Record) -> Path:
    """Add a record to ``folder/SLUG.jsonl``, as one line or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.claim}.jsonl"
    journal.append(path, record.to_dict())
    return path


def read(folder: Path) -> Iterator[Record]:
    """All records in ``folder`` in the order of their files' names and lines.

    Raises:
        ValueError: a line that is not a record; the text names file and line.
    """
    for path in sorted(folder.glob("*.jsonl")):
        for number, values in enumerate(journal.read(path), 1):
            try:
                yield Record.from_dict(values)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None


def latest(folder: Path) -> dict[tuple[str, int, str], Record]:
    """The newest record of each (claim, statement, scale) in ``folder``."""
    newest: dict[tuple[str, int, str], Record] = {}
    for record in read(folder):
        key = (record.claim, record.statement, record.scale)
        if key not in newest or newest[key].date <= record.date:
            newest[key] = record
    return newest
