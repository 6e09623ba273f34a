"""Records of what claims found: JSON lines, one a verdict, that name all it takes to find it again."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onebit.core.files import write_text
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

    def to_json(self) -> str:
        """One line of JSON; numbers that are not finite become the words ``"inf"``, ``"-inf"``, ``"nan"``."""
        values = dataclasses.asdict(self) | {"intervals": {k: v._asdict() for k, v in self.intervals.items()}}
        return json.dumps(_words(values), allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The record of one line; ``ValueError`` says what is wrong."""
        try:
            values = _numbers(json.loads(line))
            intervals = {name: Interval(**ends) for name, ends in values["intervals"].items()}
            return cls(**values | {"intervals": intervals})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a record of a claim: {error}") from None


def append(folder: Path, record: Record) -> Path:
    """Add a record to ``folder/SLUG.jsonl``, whole or not at all."""
    path = folder / f"{record.claim}.jsonl"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    write_text(path, before + record.to_json() + "\n")
    return path


def read(folder: Path) -> Iterator[Record]:
    """All records below ``folder`` in the order of their files' names and lines.

    Raises:
        ValueError: a line that is not a record; the text names file and line.
    """
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                yield Record.from_json(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None


def latest(folder: Path) -> dict[tuple[str, int, str], Record]:
    """The newest record of each (claim, statement, scale) below ``folder``."""
    newest: dict[tuple[str, int, str], Record] = {}
    for record in read(folder):
        key = (record.claim, record.statement, record.scale)
        if key not in newest or newest[key].date <= record.date:
            newest[key] = record
    return newest


_WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def _words(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _words(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_words(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value
