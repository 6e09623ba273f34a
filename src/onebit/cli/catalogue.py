"""``onebit list`` and ``onebit support``: what is registered here, and which reader of the graph knows which kind."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from onebit.cli.output import print_json, print_table

Sort = Literal["all", "models", "schemes", "operators", "quantizers", "data", "kinds", "engine"]


def _described(item: Any) -> str:
    """The first sentence of what the docstring of a class or function says; of a partial, that and its arguments."""
    if isinstance(item, functools.partial):
        words = [*map(repr, item.args), *(f"{k}={v!r}" for k, v in item.keywords.items())]
        return f"{item.func.__name__}({', '.join(words)}): {_described(item.func)}"
    if not item.__doc__:
        item = type(item())
    first = " ".join((inspect.getdoc(item) or "").split("\n\n")[0].split())
    return first.replace("`", "").split(". ")[0].rstrip(".")


def _registry(registry: Any) -> list[tuple[str, str]]:
    return [(name, _described(item)) for name, item in registry.items()]


def _models() -> list[tuple[str, str]]:
    from onebit.nn import models

    return _registry(models.registry)


def _schemes() -> list[tuple[str, str]]:
    from onebit.nn import schemes

    return _registry(schemes.registry)


def _operators() -> list[tuple[str, str]]:
    from onebit.nn import operators

    return _registry(operators.registry)


def _quantizers() -> list[tuple[str, str]]:
    from onebit.nn import quantizers

    weight = [(f"weight: {name}", text) for name, text in _registry(quantizers.weight_registry)]
    return weight + [(f"input: {name}", text) for name, text in _registry(quantizers.activation_registry)]


def _data() -> list[tuple[str, str]]:
    from onebit import data

    return _registry(data.registry)


def _kinds() -> list[tuple[str, str]]:
    from onebit.ir import registry

    return [(name, f"inputs: {', '.join(kind.inputs)}") for name, kind in registry.items()]


def _engine() -> list[tuple[str, str]]:
    from onebit import runtime

    names = runtime.available_isas()
    native = [name for name in names if name != "interpreter"]
    return [(name, _role(name, native)) for name in names]


def _role(isa: str, native: list[str]) -> str:
    if isa == "interpreter":
        return "the NumPy interpreter: slow, and the definition of the right answer"
    return "chosen where none is asked for" if isa == native[0] else "available on this machine"


SORTS: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "models": _models,
    "schemes": _schemes,
    "operators": _operators,
    "quantizers": _quantizers,
    "data": _data,
    "kinds": _kinds,
    "engine": _engine,
}


def catalogue(what: Positional[Sort] = "all", /, *, json: bool = False) -> None:
    """List what can be named in other commands: models, schemes, operators, quantizers, data sets, kinds of the graph,
    and the instruction sets that the engine can use on this machine.

    Example: onebit list schemes

    Args:
        what: which sort; all of them by default.
        json: print JSON instead of tables.
    """
    found = {sort: make() for sort, make in SORTS.items() if what in ("all", sort)}
    if json:
        print_json({sort: dict(rows) for sort, rows in found.items()})
        return
    for sort, rows in found.items():
        print_table(sort, ("name", "<what it is"), rows)


def support(
    kind: Positional[Annotated[str, arg(metavar="[KIND]", help_behavior_hint="")]] = "", /, *, json: bool = False
) -> None:
    """The matrix of kinds (what a node of the graph can be) and readers (what can be done with a graph).

    Example: onebit support conv

    Args:
        kind: only this kind.
        json: print JSON instead of a table.
    """
    from onebit.ir import registry
    from onebit.ir.support import readers
    from onebit.ir.support import support as matrix

    rows = {kind: matrix()[registry[kind].name]} if kind else matrix()
    if json:
        print_json(rows)
        return
    table = [(name, *("yes" if known else "-" for known in row.values())) for name, row in rows.items()]
    print_table("", ("kind", *readers), table)
