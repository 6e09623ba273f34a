"""What a graph costs: parameters, their bits, operations by number system, memory, ACE, CPU64."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onebit.ir import dim as dims
from onebit.ir.graph import Graph
from onebit.ir.kind import registry
from onebit.ir.types import BITS, TensorType, stored_bits
from onebit.ir.widths import widths

#: Number systems in which operations are counted.
OPERATIONS = ("bit_macs", "int8_macs", "float_macs", "float_ops")


@dataclass(frozen=True)
class Row:
    """The cost of one node, or of the whole graph.

    Args:
        kind: kind of the node; ``"total"`` for the whole graph.
        path: module of the model that it came from.
        output: type of its result, at the batch that was asked for; None for a total.
        parameters: entries of the constants that it reads first.
        bits: bits of those constants in a packed file.
        operations: number of operations by number system (:data:`OPERATIONS`), those that occur: multiply-accumulates
            on bits, on 8-bit integers, on floats; other float operations (comparisons included).
        memory: bytes of its result, bits packed; of a total: the largest result.
        ace: arithmetic computation effort, the sum over multiply-accumulates of weight bits x activation bits
            [Zhang2022]; the bits of what is held in a wider type are those of :func:`~onebit.ir.widths.widths`.
        cpu64: the sum over multiply-accumulates of the larger of the two / 64: how many a processor with words of 64
            bits would need, the older count of binary networks.
    """

    kind: str
    path: str
    output: TensorType | None
    parameters: int
    bits: int
    operations: dict[str, int]
    memory: int
    ace: int
    cpu64: float = 0.0


def operations(
    kind: str,
    attributes: Mapping[str, Any],
    output: TensorType,
    inputs: Sequence[TensorType],
    symbols: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """The operations of one node by number system (:data:`OPERATIONS`), those that occur.

    Args:
        kind: name of a kind.
        attributes: of the node, defaults filled in (:meth:`~onebit.ir.kind.Kind.complete`).
        output: type of its result.
        inputs: types of what it reads.
        symbols: sizes of the symbols in these types.

    Example:
        >>> x = TensorType("float32", ("batch", 3))
        >>> operations("relu", {}, x, [x], {"batch": 2})
        {'float_ops': 6}
    """
    given = registry[kind].cost(attributes, output, *inputs)
    return {name: count for name in OPERATIONS if (count := dims.evaluate(given.get(name, 0), symbols or {}))}


def table(graph: Graph, batch: int = 1) -> list[Row]:
    """The cost of each node in order.

    Args:
        graph: a valid graph.
        batch: what every symbol of a shape is taken to be.

    Example:
        >>> import numpy as np
        >>> graph = Graph({"x": TensorType("bit", ("batch", 64))})
        >>> graph.outputs = [graph.add("linear", "x", graph.constant(np.ones((10, 64), np.int8), bit=True))]
        >>> row = table(graph)[0]
        >>> row.parameters, row.bits, row.operations, row.memory, row.ace, row.cpu64
        (640, 640, {'bit_macs': 640}, 40, 640, 10.0)
    """
    types = graph.types()
    held = widths(graph, types)
    symbols = {symbol: batch for given in types.values() for symbol in dims.symbols_of(given.shape)}
    counted: set[str] = set()
    rows = []
    for node in graph.nodes:
        inputs = [types[name] for name in node.inputs]
        attributes = registry[node.kind].complete(node.attributes)
        counts = operations(node.kind, attributes, types[node.output], inputs, symbols)
        own = [name for name in dict.fromkeys(node.inputs) if graph.is_constant(name) and name not in counted]
        counted.update(own)
        macs = sum(count for name, count in counts.items() if name.endswith("macs"))
        pair = [held[name] for name in node.inputs[:2]] if macs else []
        output = TensorType(
            types[node.output].dtype, tuple(dims.evaluate(dim, symbols) for dim in types[node.output].shape)
        )
        rows.append(
            Row(
                node.kind,
                node.path,
                output,
                sum(graph.tensors[name].size for name in own),
                sum(stored_bits(types[name].dtype, graph.tensors[name].size) for name in own),
                counts,
                _bytes(output),
                macs * pair[0] * pair[1] if macs else 0,
                macs * max(pair) / 64 if macs else 0.0,
            )
        )
    return rows


def total(rows: Iterable[Row]) -> Row:
    """The sum of rows; its memory is that of the largest result."""
    rows = list(rows)
    return Row(
        "total",
        "",
        None,
        sum(row.parameters for row in rows),
        sum(row.bits for row in rows),
        summed(row.operations for row in rows),
        max((row.memory for row in rows), default=0),
        sum(row.ace for row in rows),
        sum(row.cpu64 for row in rows),
    )


def ace(graph: Graph, batch: int = 1) -> int:
    """Arithmetic computation effort of a graph: the sum over multiply-accumulates of weight bits x activation bits.

    A multiply-accumulate of bits counts 1, of 4-bit integers 16, of 8-bit ones 64, of float32 1024. Element-wise
    operations and memory traffic do not count.

    Args:
        graph: a valid graph.
        batch: what every symbol of a shape is taken to be.

    Reference: [Zhang2022].

    Example:
        >>> import numpy as np
        >>> graph = Graph({"x": TensorType("float32", ("batch", 3))})
        >>> graph.outputs = [graph.add("linear", "x", graph.constant(np.ones((5, 3), np.float32)))]
        >>> ace(graph), cpu64(graph)
        (15360, 7.5)
    """
    return total(table(graph, batch)).ace


def cpu64(graph: Graph, batch: int = 1) -> float:
    """The sum over multiply-accumulates of the larger of their two widths in bits, / 64.

    Args:
        graph: a valid graph.
        batch: what every symbol of a shape is taken to be.

    Reference: [Zhang2022], by which it is compared with ACE.
    """
    return total(table(graph, batch)).cpu64


def summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of counts of operations by number system, those that occur.

    Example:
        >>> summed([{"bit_macs": 2}, {"float_ops": 1}, {"bit_macs": 3}])
        {'bit_macs': 5, 'float_ops': 1}
    """
    counts = list(counts)
    return {name: count for name in OPERATIONS if (count := sum(given.get(name, 0) for given in counts))}


def _bytes(output: TensorType) -> int:
    size = dims.evaluate(dims.product(output.shape), {})
    return -(-size * BITS[output.dtype] // 8)
