"""Operators on constants and sizes, computed while the file is read. An array of objects holds sizes with symbols."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from onebit.capture.onnx.call import Call, divide
from onebit.ir import dim as dims

LARGEST = 2**24  # elements of a constant that is computed here

Fold = Callable[[Call, list[Any]], Any]
folds: dict[str, Fold] = {}


def fold(*ops: str) -> Callable[[Fold], Fold]:
    """Decorator: the function computes these operators; None where it cannot."""

    def keep(function: Fold) -> Fold:
        folds.update(dict.fromkeys(ops, function))
        return function

    return keep


def run(call: Call) -> np.ndarray | None:
    """The result of a node whose inputs are all constants or sizes, or None if that cannot be computed here."""
    arrays = [None if known is None else known.value for known in call.inputs]
    if call.op not in folds or not all(array is None or isinstance(array, np.ndarray) for array in arrays):
        return None
    with np.errstate(all="ignore"):
        result = folds[call.op](call, arrays)
    if result is None:
        return None
    result = np.asarray(result, object if isinstance(result, str) else None)
    if result.size > LARGEST:
        return None
    if result.dtype == object and all(isinstance(size, int) for size in result.reshape(-1)):
        return result.astype(np.int64)
    return result


def _size(function: Callable[[Any, Any], Any], symbolic: Callable[[Any, Any], Any]) -> Fold:
    def compute(call: Call, arrays: list[Any]) -> Any:
        a, b = arrays
        if a.dtype != object and b.dtype != object:
            return function(a, b).astype(a.dtype)
        results = [
            function(x, y) if isinstance(x, int) and isinstance(y, int) else symbolic(x, y)
            for x, y in zip(*(array.reshape(-1).tolist() for array in np.broadcast_arrays(a, b)))
        ]
        if any(result is None for result in results):
            return None
        made = np.empty(len(results), object)
        made[:] = results
        return made.reshape(np.broadcast_shapes(a.shape, b.shape))

    return compute


def _sum(a: Any, b: Any) -> Any:
    try:
        return dims.add(a, b)
    except ValueError:
        return None


def _quotient(a: Any, b: Any) -> Any:
    if isinstance(a, np.ndarray):
        return a / b if a.dtype.kind == "f" else np.trunc(a / np.where(b == 0, 1, b))
    return int(a / b) if isinstance(a, int) and isinstance(b, int) and b else divide(a, b)


folds["Add"] = _size(operator.add, _sum)
folds["Sub"] = _size(operator.sub, lambda a, b: a if b == 0 else None)
folds["Mul"] = _size(operator.mul, lambda a, b: dims.product([a, b]))
folds["Div"] = _size(_quotient, divide)


@fold("Identity", "Dropout")
def same(call: Call, arrays: list[Any]) -> Any:
    return arrays[0]


@fold("Cast")
def cast(call: Call, arrays: list[Any]) -> Any:
    (x,) = arrays
    if x.dtype == object:
        return x if call.dtype in ("int64", "int32") else None
    whole = x.dtype.kind == "f" and call.dtype not in ("float32", "bool")
    return None if whole and not np.all(np.abs(x) < 2**31) else x.astype(call.dtype)


@fold("Gather")
def gather(call: Call, arrays: list[Any]) -> Any:
    x, index = arrays
    axis = call.attributes.get("axis", 0)
    return None if index.dtype == object else np.take(x, index.astype(np.int64), axis=axis)


@fold("Concat")
def concat(call: Call, arrays: list[Any]) -> Any:
    arrays = [array.astype(object) if any(a.dtype == object for a in arrays) else array for array in arrays]
    return np.concatenate(arrays, axis=call.attributes["axis"])


@fold("Slice")
def slice_(call: Call, arrays: list[Any]) -> Any:
    x = arrays[0]
    starts, ends = call.integers("starts", 1), call.integers("ends", 2)
    if starts is None or ends is None:
        return None
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps):
        if not all(isinstance(number, int) for number in (start, end, axis, step)):
            return None
        if step < 0:
            start, end = (None if start >= x.shape[axis] else start), (None if end < -x.shape[axis] else end)
        index: list[Any] = [slice(None)] * x.ndim
        index[axis] = slice(start, end, step)
        x = x[tuple(index)]
    return x


@fold("Squeeze")
def squeeze(call: Call, arrays: list[Any]) -> Any:
    axes = call.integers("axes", 1)
    return np.squeeze(arrays[0], None if axes is None else tuple(axes))


@fold("Unsqueeze")
def unsqueeze(call: Call, arrays: list[Any]) -> Any:
    return np.expand_dims(arrays[0], tuple(call.integers("axes", 1) or ()))


@fold("Reshape")
def reshape(call: Call, arrays: list[Any]) -> Any:
    x, shape = arrays
    if shape.dtype == object:
        return None
    sizes = shape.tolist()
    if not call.attributes.get("allowzero", 0):
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return x.reshape(sizes)


@fold("Transpose")
def transpose(call: Call, arrays: list[Any]) -> Any:
    return np.transpose(arrays[0], call.attributes.get("perm"))


@fold("Expand")
def expand(call: Call, arrays: list[Any]) -> Any:
    x, shape = arrays
    if shape.dtype == object:
        return None
    sizes = np.broadcast_shapes(x.shape, tuple(shape.tolist()))
    return None if int(np.prod([float(size) for size in sizes])) > LARGEST else np.array(np.broadcast_to(x, sizes))


@fold("ConstantOfShape")
def constant_of_shape(call: Call, arrays: list[Any]) -> Any:
    (shape,) = arrays
    value = call.attributes.get("value", np.zeros(1, np.float32))
    if shape.dtype == object:
        return None
    sizes = shape.tolist()
    if np.prod([float(size) for size in sizes]) > LARGEST:
        raise ValueError(f"a constant of shape {sizes} is too large")
    return np.full(sizes, value.reshape(())[()], value.dtype)


@fold("Range")
def range_(call: Call, arrays: list[Any]) -> Any:
    if any(array.dtype == object for array in arrays):
        return None
    start, limit, step = (array.reshape(()).item() for array in arrays)
    if step == 0 or abs((limit - start) / step) > LARGEST:
        raise ValueError("it is too long")
    return np.arange(start, limit, step, dtype=arrays[0].dtype)


@fold("Sqrt", "Neg")
def one_operand(call: Call, arrays: list[Any]) -> Any:
    (x,) = arrays
    return None if x.dtype == object else (np.sqrt if call.op == "Sqrt" else np.negative)(x)


@fold("DequantizeLinear")
def dequantize(call: Call, arrays: list[Any]) -> Any:
    x, scale, zero = (*arrays, None)[:3]
    if scale.size > 1:
        axis = call.attributes.get("axis", 1) % x.ndim
        shape = [-1 if a == axis else 1 for a in range(x.ndim)]
        scale, zero = scale.reshape(shape), None if zero is None else zero.reshape(shape)
    codes = x.astype(np.int32) if zero is None else x.astype(np.int32) - zero.astype(np.int32)
    return codes.astype(np.float32) * scale
