"""The pages of the evaluation tracks, from their newest records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onebit.evidence.site import charts
from onebit.evidence.tracks import FLOAT, Record, newest, registry
from onebit.evidence.tracks.document import document
from onebit.evidence.tracks.overall import UNVERIFIED

Records = Mapping[str, Record]

QUESTION = "Which method works on which problem, at what cost?"


def recorded(results: str | Path) -> dict[str, Record]:
    """By track: the newest record that is evidence; one of scale smoke where there is no other."""
    found = {}
    for name in registry:
        kept = [record for scale in ("paper", "small") if (record := newest(results, name, scale)) is not None]
        record = max(kept, key=lambda each: each.date) if kept else newest(results, name)
        if record is not None:
            found[name] = record
    return found


def address(name: str) -> str:
    """Of a track's page, from the site's root."""
    return f"tracks/{name}.html"


def page(record: Record) -> dict[str, Any]:
    """All that the page of a track shows."""
    track, found, of = registry[record.track], record.summary.overall, document(record)
    figures: list[dict[str, str]] = []
    grid: list[dict[str, str]] = []
    methods = charts.ranked(found)
    if methods:
        figures.append(charts.bars(track, found))
        parts = len(found[methods[0]].parts)
        if parts > 2:
            figures.append(charts.radar(track, found))
            grid = charts.small(track, found) if len(methods) > 2 else []
        elif parts == 2:  # a single one is the overall metric itself
            figures.append(charts.grouped(track, found))
    cost = charts.points(record)
    against = [charts.against(cost, *axis) for axis in charts.COSTS] if cost else []
    best = {(line, 1 + column) for line, row in enumerate(of.parts[1]) for column in _largest(row[1:])}
    return {
        "document": of,
        "best": best,
        "figures": figures,
        "grid": grid,
        "left": methods[charts.MOST :] if grid else [],
        "against": against,
    }


def _largest(cells: Sequence[str]) -> list[int]:
    """Where the largest numbers stand; nowhere if all are equal."""
    values = {at: float(cell) for at, cell in enumerate(cells) if cell != "-"}
    return [at for at, value in values.items() if value == max(values.values()) > min(values.values())]


def overview(records: Records, results: str | Path) -> dict[str, Any]:
    """What the page of all tracks shows: methods by tracks, and every track's question."""
    overall = {name: record.summary.overall for name, record in records.items()}
    methods = list(dict.fromkeys(m for found in overall.values() for m in found if m != FLOAT))
    rows = [[m, *(f"{found[m].metric:.3f}" if m in found else "-" for found in overall.values())] for m in methods]
    columns = list(zip(*(row[1:] for row in rows)))
    best = {(line, 1 + column) for column, cells in enumerate(columns) for line in _largest(cells)}
    return {
        "question": QUESTION,
        "columns": ["method", *overall],
        "rows": rows,
        "best": best,
        "note": f"Overall metrics; 1 is the float twin, larger is better, and the best is bold. {UNVERIFIED}",
        "tracks": [
            {
                "title": track.title,
                "question": track.question,
                "address": address(name) if name in records else None,
                "said": _said(records[name], overall[name]) if name in records else None,
                "command": f"onebit bench {name} --results {results}",
            }
            for name, track in registry.items()
        ],
    }


def _said(record: Record, found: Mapping[str, Any]) -> str:
    """The first three methods of a record, in a line; none is first where all are equal."""
    said = [(name, f"{found[name].metric:.3f}") for name in charts.ranked(found)]
    first = ", ".join(f"{name} {metric}" for name, metric in said[:3])
    if len(said) > 1 and len({metric for _, metric in said}) == 1:
        first = f"every method {said[0][1]}"
    scale = "scale smoke, no evidence" if record.scale == "smoke" else f"scale {record.scale}"
    return f"{first or 'no method has all its cells'}; {scale}, {record.date[:10]}"
