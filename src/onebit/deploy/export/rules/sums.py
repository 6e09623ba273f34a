"""Float sums whose order is written out with operators that leave none open, so that every runtime rounds alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onebit.deploy.export.exporter import Exporter, Operation, Tensor
from onebit.ir import dim as dims
from onebit.ir.kinds.reduction import PARTIALS


def channels_last(e: Exporter, value: str) -> tuple[Tensor, list[dims.Dim]]:
    """A tensor that holds a value with its last axis last, and its shape; the other axes lie as they do."""
    order = e.order(value)
    if order[-1] != len(order) - 1:
        order = tuple(range(len(order)))
    return e.get(value, order=order), [e.types[value].shape[axis] for axis in order]


def total(
    e: Exporter, name: str, shape: Sequence[dims.Dim], *, keepdims: bool = True, negative_zero: bool = True
) -> str:
    """The sum over the last axis in the order of the kind ``reduce``.

    Blocks of 16 are summed by ``CumSum``, which has but one order, and its last entries are added in halves. What is
    padded is +0.0, which changes no sum but one of nothing but -0.0: that one is +0.0, as in the graph.

    Args:
        e: the walk.
        name: of a float tensor.
        shape: of it; the last size is an integer of 2 or more.
        keepdims: whether the axis stays, of size 1.
        negative_zero: whether -0.0 can be in the tensor.
    """
    *outer, size = shape
    size = dims.evaluate(size, {})
    lanes = min(PARTIALS, 1 << (size - 1).bit_length())
    blocks = -(-size // lanes)
    if missing := blocks * lanes - size:
        ends = [0] * len(outer) + [0] + [0] * len(outer) + [missing]
        name = e.emit("Pad", name, e.constant(ends, np.int64))
    if blocks > 1:
        name = e.shapes.reshape(name, [*outer, blocks * lanes], [*outer, blocks, lanes])
        name = e.emit("CumSum", name, e.constant(-2, np.int64))
        name = e.emit("Gather", name, e.constant(-1, np.int64), axis=-2)
    while lanes > 1:
        lanes //= 2
        name = _halves(e, name, lanes)
    if not keepdims:
        name = e.emit("Squeeze", name, e.constant([-1], np.int64))
    if negative_zero and not missing:
        name = _positive_zeros(e, name)
    return name


def _halves(e: Exporter, name: str, half: int) -> str:
    """The two halves of the last axis, of size ``2 * half``, added."""
    parts = (e.fresh("Split"), e.fresh("Split"))
    sizes = e.constant([half, half], np.int64)
    e.operations.append(Operation("Split", (name, sizes), parts, {"axis": -1}, path=e.path))
    return e.emit("Add", *parts)


def sums_of_windows(e: Exporter, name: str, kernel: Sequence[int], stride: Sequence[int], counts: Sequence[int]) -> str:
    """The sums over windows of an image, channels second, row by row: one strided slice for each tap, added in turn.

    Args:
        e: the walk.
        name: of a float tensor.
        kernel: height and width of a window.
        stride: between windows.
        counts: rows and columns of windows.
    """
    axes, steps = e.constant([2, 3], np.int64), e.constant(stride, np.int64)
    sums = ""
    for tap in np.ndindex(*kernel):
        ends = [first + (count - 1) * step + 1 for first, count, step in zip(tap, counts, stride)]
        part = e.emit("Slice", name, e.constant(tap, np.int64), e.constant(ends, np.int64), axes, steps)
        sums = e.emit("Add", sums, part) if sums else part
    return _positive_zeros(e, sums)


def _positive_zeros(e: Exporter, name: str) -> str:
    """Sums with +0.0 for -0.0: a selection, as runtimes take out an addition of 0."""
    zero = e.constant(np.float32(0))
    return e.emit("Where", e.emit("Equal", name, zero), zero, name)
