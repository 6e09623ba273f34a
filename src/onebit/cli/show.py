"""``onebit show``: one published system, its components here and what was found when its claims were re-checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from onebit.cli.output import note, print_json, print_table
from onebit.core.catalogue import find

RESULTS = Path("docs/results")


def note_missing(results: Path, command: str) -> None:
    """Say that no verdict is known where there is no folder of records."""
    if not results.is_dir():
        note(f"{command}: no folder {results} here, so nothing is known of what was measured; --results names another")


def show(
    system: Positional[Annotated[str, arg(metavar="SLUG")]], /, *, results: Path = RESULTS, json: bool = False
) -> None:
    """One published system: paper, components that are built here, its statements with the newest verdicts.

    Example: onebit show biper

    Args:
        system: its name as `onebit list systems` prints it, its number, or the key of its paper.
        results: folder of the records that `onebit claim` writes.
        json: print JSON instead of text.
    """
    from onebit.evidence import claims, components, records

    found = find(system)
    note_missing(results, "onebit show")
    parts = components.of_system(found)
    statements = claims.registry[found.slug].statements if found.slug in claims.registry else {}
    newest = records.latest(results)
    verdicts = {
        number: {
            scale: newest[key].outcome for scale in claims.SCALES if (key := (found.slug, number, scale)) in newest
        }
        for number in statements
    }
    if json:
        print_json(
            {
                "system": found,
                "status": components.status(found),
                "components": [{"sort": c.sort, "name": c.name, "text": c.text} for c in parts],
                "statements": [
                    {"number": n, "text": s.text, "threshold": s.threshold, "verdicts": verdicts[n]}
                    for n, s in statements.items()
                ],
            }
        )
        return
    print(f"{found.number}. {found.title}\n   {', '.join(found.authors)}; {found.venue} {found.year}; {found.link}")
    print(f"   {found.summary}")
    if parts:
        print_table("components", ("<sort", "<name", "<what it is"), [(c.sort, c.name, c.text) for c in parts])
    else:
        print(f"   Planned for onebit/{found.wing}; nothing of it is built yet.")
    if statements:
        rows = [
            (str(n), s.text, "; ".join(f"{scale}: {said}" for scale, said in verdicts[n].items()) or "not run yet")
            for n, s in statements.items()
        ]
        print_table("statements", ("number", "<what the paper says", "<newest verdict"), rows)
        print(f"onebit claim {found.slug} re-checks them.")
