"""What moves values and changes none, and sizes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch

from onebit.capture.onnx.call import Call, divide, rule
from onebit.capture.onnx.rules.products import embedding
from onebit.capture.onnx.rules.sums import last_sum, squeezed
from onebit.capture.rules import indexing
from onebit.capture.values import Constant, Value, constant
from onebit.ir import dim as dims

END = 2**31 - 1  # exporters write it, or more, for the end of an axis


@rule("Identity", "Dropout")
def same(call: Call) -> Any:
    return call.known(0).value


@rule("Constant", dtype=lambda call: _constant(call).dtype.name)
def constant_(call: Call) -> np.ndarray:
    return _constant(call)


def _constant(call: Call) -> np.ndarray:
    for name, value in call.attributes.items():
        if name == "value":
            return value
        if name in ("value_float", "value_floats"):
            return np.asarray(value, np.float32)
        if name in ("value_int", "value_ints"):
            return np.asarray(value, np.int64)
    raise call.unsupported("a constant that is no tensor of numbers", "replace it")


@rule("ConstantOfShape", dtype=lambda call: call.attributes.get("value", np.zeros(1, np.float32)).dtype.name)
def constant_of_shape(call: Call) -> Value:
    value = call.attributes.get("value", np.zeros(1, np.float32))
    return _spread(call, constant(torch.from_numpy(value.reshape(()).copy())), call.integers("shape", 0) or [])


@rule("Shape", dtype="int64")
def shape(call: Call) -> np.ndarray:
    found = call.known(0).value
    sizes = list(found.shape)[call.attributes.get("start", 0) : call.attributes.get("end")]
    made = np.empty(len(sizes), object)
    made[:] = sizes
    return made.astype(np.int64) if all(isinstance(size, int) for size in sizes) else made


@rule("Transpose")
def transpose(call: Call) -> Value:
    x = call.value(0)
    perm = call.attributes.get("perm", list(range(len(x.shape)))[::-1])
    if sorted(perm) != list(range(len(x.shape))):
        raise ValueError(f"perm is {perm}")
    return call.b.permute(x, perm)


@rule("Reshape")
def reshape(call: Call) -> Value:
    x = call.value(0)
    shape = call.integers("shape", 1) or []
    if not call.attributes.get("allowzero", 0):
        shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    if -1 in shape:
        rest = dims.product(size for size in shape if size != -1)
        size = divide(dims.product(x.shape), rest)
        if shape.count(-1) > 1 or size is None:
            raise call.unsupported(f"{dims.text(x.shape)} in the shape {shape}", "make its sizes static")
        shape = [size if given == -1 else given for given in shape]
    return call.b.reshape(x, tuple(shape))


@rule("Flatten")
def flatten(call: Call) -> Value:
    x = call.value(0)
    axis = call.attributes.get("axis", 1)
    axis = axis + len(x.shape) if axis < 0 else axis
    return call.b.reshape(x, (dims.product(x.shape[:axis]), dims.product(x.shape[axis:])))


@rule("Squeeze")
def squeeze(call: Call) -> Value:
    x = call.value(0)
    axes = call.integers("axes", 1)
    axes = [a for a, size in enumerate(x.shape) if size == 1] if axes is None else [a % len(x.shape) for a in axes]
    if any(x.shape[axis] != 1 for axis in axes):
        raise ValueError(f"axes {axes} of {dims.text(x.shape)} are not all of size 1")
    return squeezed(call, axes) or call.b.squeeze(x, axes)


@rule("Unsqueeze")
def unsqueeze(call: Call) -> Value:
    x = call.value(0)
    axes = call.integers("axes", 1) or []
    rank = len(x.shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = call.b.unsqueeze(x, axis)
    return x


@rule("Expand")
def expand(call: Call) -> Value:
    return _spread(call, call.operand(0), call.integers("shape", 1) or [])


def _spread(call: Call, given: Value | Constant, shape: list[Any]) -> Value:
    b, x = call.b, call.b.materialize(given)
    while len(x.shape) < len(shape):
        x = b.unsqueeze(x, 0)
    wanted = dims.broadcast(x.shape, tuple(shape))
    return b.spread(x, wanted)


@rule("Concat")
def concat(call: Call) -> Value:
    """Values of the same narrow dtype stay narrow, and constants that fit join them."""
    b = call.b
    parts = [call.operand(index) for index in range(len(call.inputs))]
    narrow = {x.dtype for x in parts if isinstance(x, Value)}
    dtype = narrow.pop() if len(narrow) == 1 else call.dtype
    constants = [x.tensor for x in parts if isinstance(x, Constant)]
    if dtype == "bit" and all(bool((tensor.abs() == 1).all()) for tensor in constants):
        values = [
            x if isinstance(x, Value) else b.value(b.tensor(x.tensor.to(torch.int8).numpy(), dtype="bit"))
            for x in parts
        ]
    else:
        dtype = dtype if not constants else call.dtype
        values = [b.materialize(x, dtype) for x in parts]
    order = next((x.order for x, part in zip(values, parts) if isinstance(part, Value)), values[0].order)
    names = [b.lay_out(x, order).name for x in values]
    axis = call.attributes["axis"] % len(order)
    return values[0] if len(names) == 1 else b.value(b.emit("concat", *names, axis=order.index(axis)), order)


@rule("Slice")
def slice_(call: Call) -> Value:
    b, x = call.b, call.value(0)
    starts, ends = call.integers("starts", 1), call.integers("ends", 2)
    if starts is None or ends is None:
        raise ValueError("starts and ends are missing")
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ValueError("starts, ends, axes and steps have different lengths")
    for start, end, axis, step in zip(starts, ends, axes, steps):
        axis %= len(x.shape)
        size = x.shape[axis]
        if not isinstance(step, int) or step < 1:
            raise call.unsupported(f"a slice with step {step}", "use steps above 0")
        if isinstance(size, int) and isinstance(start, int) and isinstance(end, int):
            first, last, _ = slice(start, end).indices(size)
            x = b.slice(x, axis, first, max(first, last), step)
        elif start == 0 and (end == size or (isinstance(end, int) and end >= END)):
            if step > 1:
                x = b.value(b.emit("slice", x.name, axis=x.order.index(axis), step=step), x.order)
        else:
            raise call.unsupported(f"a slice of axis {axis}, of dynamic size {size}", "make that size static")
    return x


@rule("Split")
def split(call: Call) -> list[Value]:
    b, x = call.b, call.value(0)
    axis = call.attributes.get("axis", 0) % len(x.shape)
    size = x.shape[axis]
    if not isinstance(size, int):
        raise call.unsupported("splitting a dynamic axis", "make that size static")
    part = -(-size // call.outputs)
    sizes = call.integers("split", 1) or [min(part, size - index * part) for index in range(call.outputs)]
    if sum(sizes) != size or min(sizes) < 0:
        raise ValueError(f"the parts {sizes} of an axis of {size}")
    bounds = np.cumsum([0, *sizes]).tolist()
    return [b.slice(x, axis, first, last) for first, last in itertools.pairwise(bounds)]


@rule("Gather")
def gather(call: Call) -> Value:
    if call.maker(0, "CumSum") is not None:
        return last_sum(call)
    data, index = call.known(0).value, call.known(1).value
    axis = call.attributes.get("axis", 0)
    if isinstance(data, np.ndarray) and isinstance(index, Value):
        table = call.needed(0, "a table")
        if axis % table.ndim or call.dtype != "float32":
            raise call.unsupported(f"entries of a constant of {call.dtype} along axis {axis}", "use an embedding")
        return embedding(call, table, index)
    numbers = call.needed(1, "indices into what is computed")
    x = call.value(0)
    axis %= len(x.shape)
    if numbers.ndim > 1:
        raise call.unsupported("indexing by a matrix", "reshape it to a vector")
    if numbers.ndim == 0:
        return indexing.select(call.b, x, axis, int(numbers.reshape(()).item()))
    return indexing.index_select(call.b, x, axis, constant(torch.from_numpy(numbers.copy())))


@rule("Pad")
def pad(call: Call) -> Value:
    b, x = call.b, call.value(0)
    pads = call.integers("pads", 1)
    if call.attributes.get("mode", "constant") != "constant" or pads is None:
        raise call.unsupported(f"padding by {call.attributes.get('mode')}", "pad with a constant")
    value = call.scalar(2, 0.0) if call.opset >= 11 else call.attributes.get("value", 0.0)
    rank = len(x.shape)
    axes = call.integers("axes", 3) or list(range(rank))
    if len(pads) != 2 * len(axes) or min(pads, default=0) < 0:
        raise call.unsupported(f"padding {pads}", "use padding of 0 or more for each axis")
    pairs = [[0, 0] for _ in range(rank)]
    for place, axis in enumerate(axes):
        pairs[axis % rank] = [pads[place], pads[place + len(axes)]]
    x = x if x.dtype == "bit" and abs(value) == 1 else b.floats(x)
    if not np.isfinite(value):
        return _pad_with(call, x, pairs, value)
    return b.value(b.emit("pad", x.name, pads=[pairs[axis] for axis in x.order], value=value), x.order)


def _pad_with(call: Call, x: Value, pairs: list[list[int]], value: float) -> Value:
    """Padding with a number that is not finite, which the attribute of the graph cannot be: constants joined on."""
    b = call.b
    for axis, pair in enumerate(pairs):
        parts = []
        for place, count in enumerate(pair):
            if count:
                shape = [count if a == axis else size for a, size in enumerate(x.shape)]
                full = _spread(call, constant(torch.tensor(value)), shape)
                parts.append((place, b.lay_out(full, x.order).name))
        names = [n for place, n in parts if place == 0] + [x.name] + [n for place, n in parts if place == 1]
        if len(names) > 1:
            x = b.value(b.emit("concat", *names, axis=x.order.index(axis)), x.order)
    return x
