"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Sequence

from onebit.capture.builder import Builder
from onebit.capture.rules.pooling import global_average
from onebit.capture.rules.table import rule
from onebit.capture.values import Value
from onebit.ir import dim as dims


def reduce(b: Builder, op: str, x: Value, axes: int | Sequence[int] | None, keepdim: bool) -> Value:
    """``op`` over ``axes`` (none: all): these axes are moved last and merged, then reduced."""
    x = b.floats(x)
    rank = len(x.shape)
    given = range(rank) if axes is None or axes == [] else [axes] if isinstance(axes, int) else axes
    reduced = sorted(axis % rank for axis in given)
    if op == "mean" and rank == 4 and reduced == [2, 3] and all(isinstance(size, int) for size in x.shape[2:]):
        return global_average(b, x, keepdim)
    kept = [axis for axis in range(rank) if axis not in reduced]
    if len(reduced) == 1 and x.order[-1] == reduced[0]:
        order = [axis for axis in x.order if axis != reduced[0]]
    else:
        order = kept
        name = b.lay_out(x, [*kept, *reduced]).name
        shape = [*(x.shape[axis] for axis in kept), dims.product(x.shape[axis] for axis in reduced)]
        x = b.value(name if len(reduced) == 1 else b.emit("reshape", name, shape=shape))
    y = b.value(b.emit("reduce", x.name, op=op), [kept.index(axis) for axis in order])
    if keepdim:
        for axis in reduced:
            y = b.unsqueeze(y, axis)
    return y


@rule("aten.mean.dim", "aten.mean.default")
def mean(b: Builder, x, dim=None, keepdim=False, **_) -> Value:
    return reduce(b, "mean", x, dim, keepdim)


@rule("aten.sum.dim_IntList", "aten.sum.default")
def sum_(b: Builder, x, dim=None, keepdim=False, **_) -> Value:
    if not b.out.floating:
        raise b.unsupported("a sum of integers", "convert them to float first")
    return reduce(b, "sum", x, dim, keepdim)


@rule("aten.amax.default")
def amax(b: Builder, x, dim=None, keepdim=False) -> Value:
    return reduce(b, "max", x, dim, keepdim)


@rule("aten.amin.default")
def amin(b: Builder, x, dim=None, keepdim=False) -> Value:
    return reduce(b, "min", x, dim, keepdim)


@rule("aten.var.correction", "aten.var.dim")
def var(b: Builder, x, dim=None, unbiased=None, keepdim=False, *, correction=None) -> Value:
    axes = range(len(x.shape)) if dim is None else [dim] if isinstance(dim, int) else dim
    count = dims.product(x.shape[axis] for axis in axes)
    if not isinstance(count, int):
        raise b.unsupported("a variance over a dynamic size", "make that size static")
    off = b.float_op("sub", x, reduce(b, "mean", x, list(axes), True))
    total = reduce(b, "sum", b.float_op("mul", off, off), list(axes), keepdim)
    lost = correction if correction is not None else int(unbiased is not False)
    return b.float_op("div", total, float(count - lost))
