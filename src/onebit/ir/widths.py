"""How many bits the numbers of a graph have: what ACE and CPU64 weigh a multiply-accumulate by."""

from __future__ import annotations

from collections.abc import Mapping

from onebit.ir.graph import Graph
from onebit.ir.kind import registry
from onebit.ir.types import BITS, TensorType

#: Kinds that only move values: the result has the numbers of their inputs.
MOVES = ("reshape", "transpose", "slice", "concat", "broadcast_to", "pad", "cast")
CODES = ("int8", "uint8")


def widths(graph: Graph, types: Mapping[str, TensorType] | None = None) -> dict[str, int]:
    """Name of each value -> bits of one of its numbers.

    Floats, bits, ternary numbers and wide integers have those of their dtype. Codes in int8 or uint8 may be of fewer
    bits, which are then held in a wider type: those of a constant have the bits that its least and greatest entry need
    (in two's complement if int8), those that ``quantize`` gives the bits of ``low..high``. So 4-bit layers count as
    4 bits.

    Args:
        graph: a valid graph.
        types: ``graph.types()``, where the caller has it.

    Example:
        >>> import numpy as np
        >>> graph = Graph({"x": TensorType("float32", ("batch", 3))})
        >>> codes = graph.add("quantize", "x", graph.constant(np.ones(1, np.float32)), low=-7, high=7)
        >>> widths(graph)["x"], widths(graph)[codes]
        (32, 4)
    """
    types = graph.types() if types is None else types
    found = {name: BITS[given.dtype] for name, given in types.items()}
    for name, values in graph.tensors.items():
        if name in types and types[name].dtype in CODES and values.size:
            low = int(values.min())
            found[name] = needed(min(low, -1) if types[name].dtype == "int8" else low, int(values.max()))
    for node in graph.nodes:
        if types[node.output].dtype not in CODES:
            continue
        if node.kind == "quantize":
            attributes = registry[node.kind].complete(node.attributes)
            found[node.output] = needed(attributes["low"], attributes["high"])
        elif node.kind in MOVES:
            same = [found[name] for name in node.inputs if types[name].dtype == types[node.output].dtype]
            found[node.output] = max(same, default=found[node.output])
    return found


def needed(low: int, high: int) -> int:
    """Bits of the narrowest integers that hold ``low..high``, at least 1: unsigned, two's complement below 0.

    Example:
        >>> needed(0, 15), needed(-7, 7), needed(-8, 7), needed(-127, 127), needed(0, 0)
        (4, 4, 4, 8, 1)
    """
    if low >= 0:
        return max(1, high.bit_length())
    return max((-low - 1).bit_length(), max(high, 0).bit_length()) + 1
