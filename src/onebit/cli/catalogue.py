"""``onebit list`` and ``onebit support``: what is registered here, and which reader of the graph knows which kind."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from onebit.cli.output import print_json, print_table

REGISTERED = ("models", "schemes", "operators", "stochastic", "quantizers", "regularisers", "data", "corruptions")
Sort = Literal[
    "all",
    "systems",
    "models",
    "schemes",
    "operators",
    "stochastic",
    "quantizers",
    "regularisers",
    "data",
    "corruptions",
    "claims",
    "kinds",
    "engine",
]


def _systems() -> list[tuple[str, ...]]:
    from onebit.core.catalogue import systems
    from onebit.evidence.components import status

    return [(s.slug, s.short_title, str(s.year), s.wing, status(s)) for s in systems().values()]


def _registered(sort: str) -> list[tuple[str, ...]]:
    from onebit.evidence.components import described, registries

    group = registries()[sort]
    return [
        (f"{registry.noun.split()[0]}: {name}" if len(group) > 1 else name, described(item))
        for registry in group
        for name, item in registry.items()
    ]


def _claims() -> list[tuple[str, ...]]:
    from onebit.evidence import claims

    return [
        (slug, f"{len(claim.statements)} statements of {claim.system.short_title}")
        for slug, claim in claims.registry.items()
    ]


def _kinds() -> list[tuple[str, ...]]:
    from onebit.ir import registry

    return [(name, f"inputs: {', '.join(kind.inputs)}") for name, kind in registry.items()]


def _engine() -> list[tuple[str, ...]]:
    from onebit import runtime

    names = runtime.available_isas()
    native = [name for name in names if name != "interpreter"]
    return [(name, _role(name, native)) for name in names]


def _role(isa: str, native: list[str]) -> str:
    if isa == "interpreter":
        return "the NumPy interpreter: slow, and the definition of the right answer"
    return "chosen where none is asked for" if isa == native[0] else "available on this machine"


SYSTEM_COLUMNS = ("name", "<title", "year", "<wing", "<status")
SORTS: dict[str, Callable[[], list[tuple[str, ...]]]] = {
    "systems": _systems,
    **{sort: functools.partial(_registered, sort) for sort in REGISTERED},
    "claims": _claims,
    "kinds": _kinds,
    "engine": _engine,
}


def catalogue(what: Positional[Sort] = "all", /, *, json: bool = False) -> None:
    """List what can be named in other commands: published systems, models, schemes, operators, those with noise
    (stochastic), quantizers, regularisers, data sets, corruptions of images, claims, kinds of the graph, and the
    instruction sets that the engine can use on this machine.

    Example: onebit list schemes

    Example: onebit list systems

    Args:
        what: which sort; all of them by default.
        json: print JSON instead of tables.
    """
    found = {sort: make() for sort, make in SORTS.items() if what in ("all", sort)}
    if json:
        print_json(
            {sort: {name: more[0] if len(more) == 1 else more for name, *more in rows} for sort, rows in found.items()}
        )
        return
    for sort, rows in found.items():
        print_table(sort, SYSTEM_COLUMNS if sort == "systems" else ("name", "<what it is"), rows)


def support(
    kind: Positional[Annotated[str, arg(metavar="[KIND]", help_behavior_hint="")]] = "", /, *, json: bool = False
) -> None:
    """The matrix of kinds (what a node of the graph can be) and readers (what can be done with a graph).

    Example: onebit support conv

    Args:
        kind: only this kind.
        json: print JSON instead of a table.
    """
    # Readers that write files of other people's formats come with the training packages.
    with contextlib.suppress(ImportError):
        importlib.import_module("onebit.deploy.export")
    from onebit.ir import registry
    from onebit.ir.support import readers
    from onebit.ir.support import support as matrix

    rows = {kind: matrix()[registry[kind].name]} if kind else matrix()
    if json:
        print_json(rows)
        return
    table = [(name, *("yes" if known else "-" for known in row.values())) for name, row in rows.items()]
    print_table("", ("kind", *readers), table)
