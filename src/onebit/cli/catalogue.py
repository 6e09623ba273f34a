"""``onebit list`` and ``onebit support``: what is registered here, and which reader of the graph knows which kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from onebit.cli.output import print_json, print_table

Sort = Literal["all", "models", "schemes", "operators", "quantizers", "data", "kinds", "engine"]


def _first_sentence(item: Any) -> str:
    text = inspect.getdoc(item) if inspect.isclass(item) or inspect.isroutine(item) else ""
    first = " ".join((text or "").split("\n\n")[0].split())
    return first.replace("`", "").split(". ")[0].rstrip(".")


def _registry(registry: Any) -> list[tuple[str, str]]:
    return [(name, _first_sentence(item)) for name, item in registry.items()]


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
    import onebit.ir  # noqa: F401 - registers the kinds
    from onebit.ir.kind import registry

    return [(name, f"inputs: {', '.join(kind.inputs)}") for name, kind in registry.items()]


def _engine() -> list[tuple[str, str]]:
    from onebit import runtime

    names = runtime.available_isas()
    native = [name for name in names if name != "interpreter"]
    return [(name, _role(name, native)) for name in names]


def _role(isa: str, native: list[str]) -> str:
    if isa == "interpreter":
        return "the NumPy interpreter: slow, and the definition of the right answer"
    return "chosen where none is asked for" if isa == native[-1] else "available on this machine"


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


def support(kind: Positional[Annotated[str, arg(metavar="KIND")]] = "", /, *, json: bool = False) -> None:
    """The matrix of kinds (what a node of the graph can be) and readers (what can be done with a graph).

    Example: onebit support conv

    Args:
        kind: only this kind.
        json: print JSON instead of a table.
    """
    import onebit.ir  # noqa: F401 - registers the kinds
    from onebit import ir
    from onebit.ir.kind import registry

    names = [kind] if kind else list(registry)
    readers = ir.readers()
    rows = {registry[name].name: {reader: name in kinds for reader, kinds in readers.items()} for name in names}
    if json:
        print_json(rows)
        return
    print_table(
        "", ("kind", *readers), [(name, *("yes" if v else "-" for v in row.values())) for name, row in rows.items()]
    )
