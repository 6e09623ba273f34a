"""Which reader of graphs handles which kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from onebit.core.errors import Unsupported
from onebit.core.registry import Registry
from onebit.ir.graph import Node
from onebit.ir.kind import registry

Rule = TypeVar("Rule")
readers: Registry = Registry("reader of graphs")


class Rules(Generic[Rule]):
    """The rules of one reader, by kind. A reader makes one, names itself by it, and looks each node up.

    Args:
        reader: what the reader is called: ``"onnx"``.
        advice: what to do about a kind it has no rule for, for the error.

    Example:
        >>> rules = Rules[str]("example", "keep that part in PyTorch", register=False)
        >>> _ = rules.add("relu", "max(x, 0)")
        >>> rules.find(Node("erf", ("x",), ("y",), {}, "encoder.gelu"))
        Traceback (most recent call last):
            ...
        onebit.core.errors.Unsupported: example has no rule for erf (from encoder.gelu): keep that part in PyTorch
    """

    def __init__(self, reader: str, advice: str, *, register: bool = True) -> None:
        self.reader = reader
        self.advice = advice
        self._rules: dict[str, Rule] = {}
        if register:
            readers.add(reader, self)

    def add(self, kind: str, rule: Rule) -> Rule:
        """Keep the rule for a kind; ``KeyError`` if there is no such kind."""
        self._rules[registry[kind].name] = rule
        return rule

    def __call__(self, *kinds: str) -> Callable[[Rule], Rule]:
        """Decorator form of :meth:`add` for some kinds."""

        def keep(rule: Rule) -> Rule:
            for kind in kinds:
                self.add(kind, rule)
            return rule

        return keep

    def extend(self, reader: str, advice: str) -> Rules[Rule]:
        """The rules of another reader that has all of these; it may replace some."""
        rules = Rules[Rule](reader, advice)
        rules._rules |= self._rules
        return rules

    def __contains__(self, kind: object) -> bool:
        return kind in self._rules

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules)

    def find(self, node: Node) -> Rule:
        """The rule for a node; :class:`Unsupported` names kind, module path and what to do."""
        if node.kind not in self._rules:
            path = f" (from {node.path})" if node.path else ""
            raise Unsupported(f"{self.reader} has no rule for {node.kind}{path}: {self.advice}")
        return self._rules[node.kind]


def _list(reader: str, advice: str, kinds: Iterable[str]) -> None:
    rules = Rules[bool](reader, advice)
    for kind in kinds:
        rules.add(kind, True)


def support() -> dict[str, dict[str, bool]]:
    """Kind -> reader -> whether the reader handles it.

    Example:
        >>> support()["batch_norm"]["interpreter"], support()["batch_norm"]["engine"]
        (True, False)
    """
    return {kind: {reader: kind in rules for reader, rules in readers.items()} for kind in registry}


_list("interpreter", "register the kind", registry)
_list("engine", "fold it first (ir.passes.optimize)", (name for name, kind in registry.items() if kind.packed))
