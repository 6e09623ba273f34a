"""Write the report's pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from onebit import __version__
from onebit.core.catalogue import systems
from onebit.core.files import write_text
from onebit.evidence import records, templates
from onebit.evidence.operators import cards
from onebit.evidence.site import bench, tracks, views

LINKS = {"systems": "index.html", "operators": "operators.html", "engine": "engine.html", "methods": "tracks.html"}


def build(folder: str | Path, results: str | Path, advance: Callable[[], Any] = lambda: None) -> Path:
    """Write the site: an index of the systems, a page for each, operators, the engine's speed, every track measured.

    Args:
        folder: where to; pages of the same names there are replaced, one by one and each whole.
        results: folder of the records that ``onebit claim`` and ``onebit bench`` write; it may be missing.
        advance: called after each of :func:`count` steps.

    Returns:
        the first page.

    Raises:
        ValueError: a record cannot be read; nothing is written then.
    """
    folder, results = Path(folder), Path(results)
    newest = records.latest(results)
    engine = bench.engine(results)
    measured = tracks.recorded(results)
    links = LINKS | {name: tracks.address(name) for name in measured}

    def write(name: str, template: str, root: str = "", **values: Any) -> None:
        text = templates.render(template, links=links.items(), root=root, version=__version__, **values)
        write_text(folder / name, text)
        advance()

    for system in systems().values():
        shown = views.page(system, newest)
        write(f"systems/{system.slug}.html", "system.html.jinja", "../", title=system.title, **shown)
    write("operators.html", "operators.html.jinja", title="Operators", operators=cards())
    write("engine.html", "bench.html.jinja", title="The engine's speed", **engine)
    for name in tracks.registry:
        if name in measured:
            title = tracks.registry[name].title
            write(tracks.address(name), "track.html.jinja", "../", title=title, **tracks.page(measured[name]))
        else:
            advance()
    overview = tracks.overview(measured, results)
    write("tracks.html", "tracks.html.jinja", title="Methods compared", **overview)
    listed = [views.card(system, newest) for system in systems().values()]
    write("index.html", "index.html.jinja", title="onebit: what was built, what was found", systems=listed)
    return folder / "index.html"


def count() -> int:
    """How many steps :func:`build` takes: a page each, or a track without a record."""
    return len(systems()) + len(tracks.registry) + 4
