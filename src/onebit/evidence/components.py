"""Everything that is registered, and which part of it belongs to which published system."""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import dataclass
from typing import Any

from onebit.core.catalogue import System
from onebit.core.registry import Registry

KEY = re.compile(r"\[([A-Z][A-Za-z]+\d{4}[a-z]?)\]")


@dataclass(frozen=True)
class Component:
    """One registered thing.

    Args:
        sort: the noun of its registry: ``"operator"``.
        name: its name there.
        text: the first sentence of its docstring.
        keys: of the papers it comes from, in ``docs/references.bib``: those given when it was registered, and those
            that its docstring cites (the docstring of a partial belongs to what it is a partial of).
    """

    sort: str
    name: str
    text: str
    keys: frozenset[str]


def registries() -> dict[str, list[Registry]]:
    """Every registry of components that a person names in commands, by the plural of what is in it."""
    from onebit import data
    from onebit.evidence import claims
    from onebit.nn import models, operators, quantizers, schemes, tree_distance

    return {
        "models": [models.registry],
        "schemes": [schemes.registry],
        "operators": [operators.registry],
        "stochastic": [operators.stochastic_registry],
        "quantizers": [quantizers.weight_registry, quantizers.activation_registry],
        "regularisers": [tree_distance.registry],
        "data": [data.registry],
        "corruptions": [data.corruptions.registry],
        "claims": [claims.registry],
    }


def described(item: Any) -> str:
    """The first sentence of what the docstring of a class or function says; of a partial, that and its arguments."""
    if isinstance(item, functools.partial):
        words = [*map(repr, item.args), *(f"{k}={v!r}" for k, v in item.keywords.items())]
        return f"{item.func.__name__}({', '.join(words)}): {described(item.func)}"
    first = " ".join(_docstring(item).split("\n\n")[0].split())
    return re.sub(r"\s*\[\w+\d{4}\w?\]", "", first.replace("`", "").split(". ")[0].rstrip("."))


def _docstring(item: Any) -> str:
    return inspect.getdoc(item if item.__doc__ else type(item())) or ""


def _cited(item: Any) -> frozenset[str]:
    return frozenset() if isinstance(item, functools.partial) else frozenset(KEY.findall(_docstring(item)))


@functools.cache
def components() -> tuple[Component, ...]:
    """All registered components but the claims, registry by registry."""
    return tuple(
        Component(registry.noun, name, described(item), frozenset(registry.papers(name)) | _cited(item))
        for sort, group in registries().items()
        if sort != "claims"
        for registry in group
        for name, item in registry.items()
    )


def of_system(system: System) -> list[Component]:
    """The components whose docstrings cite the paper of ``system``.

    Example:
        >>> from onebit.core.catalogue import find
        >>> [component.name for component in of_system(find("reste")) if component.sort == "operator"]
        ['power']
    """
    return [component for component in components() if system.key in component.keys]


def status(system: System) -> str:
    """How far the system is built, read off what is registered.

    ``"planned"``: no component cites it; ``"components"``: some do; ``"claims"``: its paper's statements can be
    re-checked as well.
    """
    from onebit.evidence import claims

    if system.slug in claims.registry:
        return "claims"
    return "components" if of_system(system) else "planned"
