"""Which values of a graph decide about bits: where the order of a float sum can change more than its last digits."""

from __future__ import annotations

from collections.abc import Mapping

from onebit.ir import Graph
from onebit.ir.types import TensorType


def deciding(graph: Graph, types: Mapping[str, TensorType]) -> set[str]:
    """The float values from which something discrete is made: bits, integer codes, truth values.

    Args:
        graph: a valid graph.
        types: of all its values.

    Returns:
        The names of all floats that a result which is no float depends on, over states in later runs, too.

    Example:
        >>> graph = Graph({"x": TensorType("float32", ("batch", 2))})
        >>> scaled = graph.add("abs", "x")
        >>> graph.outputs = [graph.add("sign", scaled), graph.add("neg", "x")]
        >>> sorted(deciding(graph, graph.types())) == sorted(["x", scaled])
        True
    """
    found: set[str] = set()
    while True:
        before = len(found)
        for node in reversed(graph.nodes):
            if node.output in found or types[node.output].dtype != "float32":
                found.update(name for name in node.inputs if types[name].dtype == "float32")
        found.update(following for state, following in graph.states.items() if state in found)
        if len(found) == before:
            return found
