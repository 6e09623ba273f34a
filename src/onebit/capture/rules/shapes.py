"""What moves values and changes none."""

from __future__ import annotations

import torch

from onebit.capture.builder import Builder
from onebit.capture.rules.table import rule
from onebit.capture.values import Constant, Value


@rule(
    "aten.view.default",
    "aten.reshape.default",
    "aten._unsafe_view.default",
    "aten.flatten.using_ints",
    "aten.unflatten.int",
)
def view(b: Builder, x, *_, **__) -> Value:
    return b.reshape(b.materialize(x), b.out.shape)


@rule(
    "aten.clone.default",
    "aten.contiguous.default",
    "aten.detach.default",
    "aten.alias.default",
    "aten.lift_fresh_copy.default",
)
def same(b: Builder, x, **_) -> Value:
    return x


@rule("aten.permute.default")
def permute(b: Builder, x, axes) -> Value:
    return b.permute(b.materialize(x), [axis % len(x.shape) for axis in axes])


@rule("aten.transpose.int")
def transpose(b: Builder, x, first, second) -> Value:
    axes = list(range(len(x.shape)))
    axes[first], axes[second] = axes[second], axes[first]
    return b.permute(b.materialize(x), axes)


@rule("aten.t.default", "aten.numpy_T.default")
def t(b: Builder, x) -> Value:
    return b.permute(b.materialize(x), range(len(x.shape))[::-1])


@rule("aten.unsqueeze.default")
def unsqueeze(b: Builder, x, axis) -> Value:
    return b.unsqueeze(b.materialize(x), axis % (len(x.shape) + 1))


@rule("aten.squeeze.dim", "aten.squeeze.dims", "aten.squeeze.default")
def squeeze(b: Builder, x, axes=None) -> Value:
    x = b.materialize(x)
    rank = len(x.shape)
    given = range(rank) if axes is None else [axes] if isinstance(axes, int) else axes
    return b.squeeze(x, [axis % rank for axis in given if x.shape[axis] == 1])


@rule("aten.expand.default", "aten.broadcast_to.default", "aten.expand_as.default")
def expand(b: Builder, x, *_, **__) -> Value:
    x, shape = b.materialize(x), b.out.shape
    while len(x.shape) < len(shape):
        x = b.unsqueeze(x, 0)
    return b.spread(x, shape)


@rule("aten.repeat.default")
def repeat(b: Builder, x, counts) -> Value:
    x = b.materialize(x)
    while len(x.shape) < len(counts):
        x = b.unsqueeze(x, 0)
    for axis, count in enumerate(counts):
        if isinstance(count, str):
            if x.shape[axis] != 1:
                raise b.unsupported("repeating a dynamic number of times", "expand an axis of size 1")
            x = b.spread(x, (*x.shape[:axis], count, *x.shape[axis + 1 :]))
        elif count != 1:
            x = b.value(b.emit("concat", *[x.name] * count, axis=x.order.index(axis)), x.order)
    return x


@rule("aten.cat.default")
def cat(b: Builder, tensors, axis=0) -> Value:
    tensors = [x for x in tensors if tuple(x.shape) != (0,)]
    order = next((x.order for x in tensors if isinstance(x, Value)), None)
    narrow = {x.dtype for x in tensors if isinstance(x, Value)}
    if len(narrow) == 1 and all(isinstance(x, Value) for x in tensors):
        values = list(tensors)
    else:
        values = [b.materialize(x, "float32" if b.out.floating else "int64") for x in tensors]
    order = order or values[0].order
    names = [b.lay_out(x, order).name for x in values]
    if len(names) == 1:
        return b.lay_out(values[0], order)
    return b.value(b.emit("concat", *names, axis=order.index(axis % len(order))), order)


@rule("aten.stack.default")
def stack(b: Builder, tensors, axis=0) -> Value:
    axis %= len(tensors[0].shape) + 1
    return cat(b, [b.unsqueeze(b.materialize(x), axis) for x in tensors], axis)


@rule("aten.pad.default", "aten.constant_pad_nd.default")
def pad(b: Builder, x, sides, mode="constant", value=None) -> Value:
    if isinstance(mode, (int, float)):  # constant_pad_nd has the value in this place
        mode, value = "constant", mode
    if mode != "constant":
        raise b.unsupported(f"padding by {mode}", "pad with a constant")
    rank, value = len(x.shape), float(value or 0)
    x = b.materialize(x)
    if not (x.dtype == "bit" and abs(value) == 1):
        x = b.floats(x)
    if min(sides) < 0:
        raise b.unsupported("negative padding", "slice instead")
    pairs = [[0, 0] for _ in range(rank)]
    for place in range(len(sides) // 2):
        pairs[rank - 1 - place] = [sides[2 * place], sides[2 * place + 1]]
    return b.value(b.emit("pad", x.name, pads=[pairs[axis] for axis in x.order], value=value), x.order)


@rule("aten.zeros_like.default", "aten.ones_like.default", "aten.full_like.default")
def like(b: Builder, x, fill=None, **_) -> Constant:
    number = fill if fill is not None else float(b.op == "aten.ones_like.default")
    return Constant(torch.full(b.out.at_one, number, dtype=b.out.dtype), b.out.shape)


@rule("aten.new_zeros.default", "aten.new_ones.default", "aten.new_full.default")
def new(b: Builder, x, shape, fill=None, **_) -> Constant:
    number = fill if fill is not None else float(b.op == "aten.new_ones.default")
    return Constant(torch.full(b.out.at_one, number, dtype=b.out.dtype), b.out.shape)


@rule("aten.fill.Scalar", "aten.fill.Tensor", "aten.copy.default")
def fill(b: Builder, x, value, *_) -> Value:
    """``value`` in the shape of ``x``: what ``x[...] = value`` becomes."""
    return expand(b, value)
