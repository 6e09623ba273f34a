"""What the pages of the report show, as plain values for their templates."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from onebit.core.catalogue import System
from onebit.evidence import claims, components
from onebit.evidence.claims.base import Statement
from onebit.evidence.operators import cards
from onebit.evidence.records import Record, made
from onebit.evidence.site import docstrings
from onebit.evidence.site.plots import svg

Records = Mapping[tuple[str, int, str], Record]

STYLES = {claims.HOLDS: "good", claims.IN_PART: "mid", claims.FAILS: "bad", claims.REPORTED: ""}
COUNTED = ("paper", "small")  # scales whose verdicts are evidence, the stronger one first


def card(system: System, records: Records) -> dict[str, Any]:
    """A system on the first page."""
    status = components.status(system)
    words = [system.title, *system.authors, system.venue, system.year, system.slug, system.summary, status]
    return {
        "number": system.number,
        "year": system.year,
        "slug": system.slug,
        "title": system.title,
        "summary": system.summary,
        "status": status,
        "style": {"claims": " good", "components": " mid"}.get(status, ""),
        "words": " ".join(map(str, words)).lower(),
        "verdicts": [verdict for number in _statements(system) if (verdict := _chip(system, number, records))],
    }


def page(system: System, records: Records) -> dict[str, Any]:
    """All that a system's own page shows."""
    parts = components.of_system(system)
    found = [(part, _registered(part)) for part in parts]
    return {
        "system": system,
        "operators": cards(part.name for part in parts if part.sort == "operator"),
        "components": [{"sort": p.sort, "name": p.name, "blocks": docstrings.blocks(item)} for p, item in found],
        "statements": [
            {
                "number": number,
                "text": statement.text,
                "threshold": statement.threshold,
                "published": statement.published,
                "unverified": statement.unverified,
                "records": [
                    _record(statement, records[key])
                    for scale in claims.SCALES[::-1]
                    if (key := (system.slug, number, scale)) in records
                ],
            }
            for number, statement in _statements(system).items()
        ],
    }


def _statements(system: System) -> Mapping[int, Statement]:
    return claims.registry[system.slug].statements if system.slug in claims.registry else {}


def _chip(system: System, number: int, records: Records) -> dict[str, Any] | None:
    for scale in COUNTED:
        record = records.get((system.slug, number, scale))
        if record is not None:
            return {"number": number, "outcome": record.outcome, "style": STYLES[record.outcome], "text": record.text}
    return None


def _record(statement: Statement, record: Record) -> dict[str, Any]:
    figures = statement.figures(list(record.rows))
    return {
        "outcome": record.outcome,
        "style": STYLES.get(record.outcome, ""),
        "scale": record.scale,
        "summary": record.summary,
        "rows": record.measured(),
        "intervals": bool(record.intervals),
        "figures": [{"svg": svg(figure.draw, figure.caption), "caption": figure.caption} for figure in figures],
        "made": made(record.command, record.date, record.made_on, f"{len(record.rows)} runs in {record.seconds:.0f} s"),
    }


@functools.cache
def _items() -> Mapping[tuple[str, str], Any]:
    groups: Sequence = [registry for group in components.registries().values() for registry in group]
    return {(registry.noun, name): item for registry in groups for name, item in registry.items()}


def _registered(part: components.Component) -> Any:
    item = _items()[part.sort, part.name]
    return item.func if isinstance(item, functools.partial) else item
