"""What one run of a track found: its rows and its overall metrics, as a line of a journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onebit.core import journal
from onebit.core.errors import UNREADABLE, reason
from onebit.evidence.sweep import Row
from onebit.evidence.tracks.overall import Overall
from onebit.evidence.tracks.track import Summary, Track, registry
from onebit.learn.environment import describe

FOLDER = "bench"


@dataclass(frozen=True)
class Record:
    """One run of a track.

    Args:
        track: its name.
        scale: one of :data:`onebit.evidence.tracks.SCALES`.
        command: that measured it.
        date: of its end, ISO 8601.
        made_on: processor, commit and versions, see :func:`onebit.learn.environment.describe`.
        seconds: of all cells together.
        rows: of all cells, those that failed included.
        overall: the overall metric by method.
    """

    track: str
    scale: str
    command: str
    date: str
    made_on: dict[str, Any]
    seconds: float
    rows: list[Row]
    overall: dict[str, Overall]

    @classmethod
    def now(cls, track: Track, scale: str, command: str, rows: Sequence[Row]) -> Record:
        """What has just been measured, by ``command``."""
        date = datetime.now(UTC).isoformat(timespec="seconds")
        seconds = round(sum(row.seconds for row in rows), 1)
        found = track.summary(rows).overall
        return cls(track.name, scale, command, date, describe(), seconds, list(rows), found)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Record:
        """A line of the journal.

        Raises:
            ValueError: it is something else.
        """
        try:
            given = dict(record)
            given["rows"] = [Row(**row) for row in given["rows"]]
            given["overall"] = {name: Overall(**found) for name, found in given["overall"].items()}
            made = cls(**given)
        except UNREADABLE as error:
            raise ValueError(f"this is no record of a track: {reason(error)}") from None
        if made.track not in registry:
            raise ValueError(f"this is no record of a track: there is no track {made.track!r}")
        return made

    def plain(self) -> dict[str, Any]:
        """As a line of the journal."""
        return asdict(self) | {"overall": {name: found._asdict() for name, found in self.overall.items()}}

    @property
    def failed(self) -> list[Row]:
        """The cells that could not be measured."""
        return [row for row in self.rows if row.error is not None]

    @property
    def summary(self) -> Summary:
        """What the rows say, computed anew."""
        return registry[self.track].summary(self.rows)


def path(results: str | Path, track: str) -> Path:
    """The journal of a track in a folder of results."""
    return Path(results) / FOLDER / f"{track}.jsonl"


def append(record: Record, results: str | Path) -> Path:
    """Add a record to the journal of its track, as one line or not at all."""
    place = path(results, record.track)
    place.parent.mkdir(parents=True, exist_ok=True)
    journal.append(place, journal.encode(record.plain()))
    return place


def newest(results: str | Path, track: str, scale: str | None = None) -> Record | None:
    """The newest record of a track, at a scale where one is given; ``None`` without one.

    Raises:
        ValueError: the journal holds something else; the text names it.
    """
    place = path(results, track)
    try:
        found = [Record.read(journal.decode(record)) for record in journal.read(place)]
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    return max((r for r in found if scale in (None, r.scale)), key=lambda r: r.date, default=None)
