"""What the passes share: new names, substitution of names, readers, functions of one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from onebit.ir.graph import Graph, Node
from onebit.ir.kind import registry
from onebit.ir.types import TensorType

#: Kinds that work on each element of one value, or on two with broadcasting.
POINTWISE = frozenset(
    (
        *("affine", "prelu", "sign", "quantize", "cast", "add", "sub", "mul", "div", "max", "min"),
        *("neg", "abs", "sqrt", "exp", "tanh", "erf", "sigmoid", "relu", "clip"),
    )
)


class Names:
    """Names that nothing in a graph has yet."""

    def __init__(self, graph: Graph) -> None:
        self._taken = {*graph.inputs, *graph.tensors, *(name for node in graph.nodes for name in node.outputs)}
        self._number = len(self._taken)

    def new(self, stem: str) -> str:
        """A new name that begins with ``stem``."""
        while f"{stem}_{self._number}" in self._taken:
            self._number += 1
        name = f"{stem}_{self._number}"
        self._taken.add(name)
        return name


def substitute(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The graph with every reading of a key of ``names`` made a reading of its value (followed to the end)."""
    if not names:
        return graph

    def final(name: str) -> str:
        while name in names:
            name = names[name]
        return name

    result = graph.copy()
    result.nodes = [replace(node, inputs=tuple(map(final, node.inputs))) for node in graph.nodes]
    result.outputs = list(map(final, graph.outputs))
    result.states = {name: final(value) for name, value in graph.states.items()}
    return result


def read_once(graph: Graph) -> set[str]:
    """The values that exactly one node reads, once, and that are neither outputs nor states."""
    return {name for name, nodes in graph.readers().items() if len(nodes) == 1 and nodes[0] is not None}


def channel_vector(graph: Graph, name: str, x: TensorType) -> np.ndarray | None:
    """A constant that varies along the last axis of ``x`` at most, as a vector of that size.

    None if ``name`` is no such constant, or if broadcasting with it would change the shape of ``x``.
    """
    if not graph.is_constant(name) or name in graph.bits or not x.shape or not isinstance(x.shape[-1], int):
        return None
    array = graph.tensors[name]
    channels = x.shape[-1]
    if (
        array.ndim > len(x.shape)
        or array.size != (array.shape[-1] if array.ndim else 1)
        or array.size not in (1, channels)
    ):
        return None
    return np.broadcast_to(array.reshape(-1), (channels,))


def operand(graph: Graph, node: Node, types: Mapping[str, TensorType]) -> int | None:
    """The position of the one input that ``node`` is a pointwise function of, with constants per channel as the others.

    None if it is no such function. Its result has the shape of that input.
    """
    if node.kind not in POINTWISE:
        return None
    varying = [position for position, name in enumerate(node.inputs) if not graph.is_constant(name)]
    if len(varying) != 1 or varying[0] in registry[node.kind].positions:  # a scale that varies is no operand
        return None
    x = types[node.inputs[varying[0]]]
    others = [name for position, name in enumerate(node.inputs) if position != varying[0]]
    if types[node.output].shape != x.shape or any(channel_vector(graph, name, x) is None for name in others):
        return None
    return varying[0]


def run_node(node: Node, shape: tuple[int, ...], *inputs: np.ndarray) -> np.ndarray:
    """The exact result of one node."""
    kind = registry[node.kind]
    with np.errstate(all="ignore"):
        return np.asarray(kind.run(kind.complete(node.attributes), shape, *inputs))
