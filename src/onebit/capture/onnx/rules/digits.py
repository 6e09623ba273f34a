"""Sums of integers that a file takes apart, so that each part is exact in float32, are one product again."""

from __future__ import annotations

import numpy as np

from onebit.capture.onnx.call import Call
from onebit.capture.values import Value
from onebit.ir import Node


def digits(call: Call) -> Value | None:
    """``conv(x, a) + factor * conv(x, b)`` as ``conv(x, a + factor * b)``, and ``linear`` alike; None for another sum.

    Args:
        call: an ``Add`` of int32.
    """
    b = call.b
    scaled, factor = call.maker(1, "Mul"), 1
    if call.dtype != "int32" or scaled is None or (number := scaled.constant(1)) is None or number.size != 1:
        return None
    factor = int(number.reshape(()).item())
    values = [call.known(0).value, scaled.known(0).value]
    nodes = [b.producer(value.name) if isinstance(value, Value) else None for value in values]
    low, high = nodes
    if low is None or high is None or not _alike(low, high) or not all(n.inputs[1] in b.tensors for n in (low, high)):
        return None
    weight = b.tensors[low.inputs[1]].astype(np.int64) + factor * b.tensors[high.inputs[1]].astype(np.int64)
    if weight.min() < -128 or weight.max() > 127:
        return None
    name = b.emit(low.kind, low.inputs[0], b.tensor(weight.astype(np.int8)), **low.attributes)
    assert isinstance(values[0], Value)
    return b.value(name, values[0].order)


def _alike(low: Node, high: Node) -> bool:
    """Whether two nodes are the same product with other weights."""
    same = (low.kind, low.inputs[0], low.attributes) == (high.kind, high.inputs[0], high.attributes)
    return same and low.kind in ("conv", "linear")
