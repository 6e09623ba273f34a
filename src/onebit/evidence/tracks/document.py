"""A record of a track for people: its tables, as a Markdown document or as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from onebit.core.tables import markdown_table, plain_markdown, plain_table
from onebit.evidence.records import made
from onebit.evidence.tracks.overall import Overall
from onebit.evidence.tracks.record import Record
from onebit.evidence.tracks.tasks import FLOAT
from onebit.evidence.tracks.track import Track, registry

NO_EVIDENCE = "Scale smoke: it runs, and says nothing about methods."


class Document(NamedTuple):
    """What every form of a record says.

    Args:
        title, question: of the track.
        table: columns and rows of its summary.
        label: of the second table, in a sentence.
        parts: the ratio of every part by method, and the overall metric; without rows where no method has one.
        notes: sentences under the tables.
        failed: name and error of each cell that failed.
        made: how, in a line.
    """

    title: str
    question: str
    table: tuple[Sequence[str], Sequence[Sequence[str]]]
    label: str
    parts: tuple[Sequence[str], Sequence[Sequence[str]]]
    notes: Sequence[str]
    failed: Sequence[str]
    made: str


def document(record: Record) -> Document:
    """Of a record of any track."""
    track, found = registry[record.track], record.summary
    notes = [*([NO_EVIDENCE] if record.scale == "smoke" else []), *found.notes]
    return Document(
        track.title,
        track.question,
        (found.columns, found.rows),
        f"{track.label[:1].upper()}{track.label[1:]}, by {track.parts}; 1 is the float twin, larger is better.",
        by_part(track, found.overall),
        notes,
        [f"{row.name}: {row.error}" for row in record.failed],
        made(
            record.command,
            record.date,
            record.made_on,
            f"scale {record.scale}",
            f"{len(record.rows)} cells in {record.seconds:.0f} s",
        ),
    )


def by_part(track: Track, found: dict[str, Overall]) -> tuple[list[str], list[list[str]]]:
    """A row a part and a column a method, the overall metric and the mean ratio below; the float twin is 1 anyway."""
    methods = [method for method in found if method != FLOAT]
    parts = list(dict.fromkeys(part for method in methods for part in found[method].parts))
    rows = [[part, *(_ratio(found[method].parts.get(part)) for method in methods)] for part in parts]
    if methods:
        rows.append(["overall", *(_ratio(found[method].metric) for method in methods)])
        rows.append(["mean ratio", *(_ratio(found[method].mean) for method in methods)])
    return [track.parts, *methods], rows


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def markdown(record: Record) -> str:
    """A Markdown document of a record: title, question, both tables, notes, how it was made."""
    of = document(record)
    blocks = [f"# {plain_markdown(of.title)}", plain_markdown(of.question), markdown_table(*of.table)]
    if of.parts[1]:
        blocks += [plain_markdown(of.label), markdown_table(*of.parts)]
    lines = [*of.notes, *(f"Failed: {line}" for line in of.failed)]
    blocks += ["\n".join(f"- {plain_markdown(line)}" for line in lines)] if lines else []
    return "\n\n".join([*blocks, plain_markdown(of.made)]) + "\n"


def text(record: Record) -> str:
    """The same for a terminal, without an end of line."""
    of = document(record)
    blocks = [of.question, _plain(*of.table)]
    if of.parts[1]:
        blocks += [of.label, _plain(*of.parts)]
    blocks += ["\n".join([*of.notes, *(f"Failed: {line}" for line in of.failed)]), of.made]
    return "\n\n".join(filter(None, blocks))


def _plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return plain_table(columns, rows, right=range(1, len(columns)))
