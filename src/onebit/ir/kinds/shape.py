"""Kinds that move values and compute nothing: reshape, transpose, concat, slice, pad, broadcast_to."""

from __future__ import annotations

import numpy as np

from onebit.core.errors import shown
from onebit.ir import dim as dims
from onebit.ir.kind import (
    Attribute,
    Attributes,
    Kind,
    expect,
    integer,
    integers,
    no_cost,
    optional_integer,
    pairs,
    real,
    register,
)
from onebit.ir.kind import shape as shape_attribute
from onebit.ir.types import MAX_RANK, TensorType


def _infer_reshape(attributes: Attributes, x: TensorType) -> TensorType:
    shape = attributes["shape"]
    if dims.product(x.shape) != dims.product(shape):
        raise ValueError(f"{x} cannot be reshaped to {dims.text(shape)}: the number of elements differs")
    return TensorType(x.dtype, shape)


def _run_reshape(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    return x.reshape(shape)


register(Kind("reshape", ("x",), {"shape": Attribute(shape_attribute)}, _infer_reshape, _run_reshape, no_cost))


def _infer_transpose(attributes: Attributes, x: TensorType) -> TensorType:
    perm = attributes["perm"]
    if sorted(perm) != list(range(len(x.shape))):
        raise ValueError(f"perm must hold each of 0..{len(x.shape) - 1} once for {x}, got {shown(list(perm))}")
    return TensorType(x.dtype, tuple(x.shape[axis] for axis in perm))


def _run_transpose(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(attributes["perm"])).reshape(shape)


register(Kind("transpose", ("x",), {"perm": Attribute(integers(None, 0))}, _infer_transpose, _run_transpose, no_cost))


def _check_axis(axis: int, x: TensorType) -> None:
    if axis >= len(x.shape):
        raise ValueError(f"axis must be 0..{len(x.shape) - 1} for {x}, got {axis}")


def _infer_concat(attributes: Attributes, *inputs: TensorType) -> TensorType:
    axis, first = attributes["axis"], inputs[0]
    _check_axis(axis, first)
    total: dims.Dim = 0
    for given in inputs:
        expect("every input", given, (first.dtype,), rank=len(first.shape))
        if (given.shape[:axis], given.shape[axis + 1 :]) != (first.shape[:axis], first.shape[axis + 1 :]):
            raise ValueError(f"inputs must agree in every axis but {axis}, got {first} and {given}")
        total = dims.add(total, given.shape[axis])
    return TensorType(first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :]))


def _run_concat(attributes: Attributes, shape: tuple[int, ...], *inputs: np.ndarray) -> np.ndarray:
    return np.concatenate(inputs, axis=attributes["axis"])


register(
    Kind(
        "concat",
        ("a", "b", "c..."),
        {"axis": Attribute(integer(0, MAX_RANK - 1))},
        _infer_concat,
        _run_concat,
        no_cost,
    )
)


def _infer_slice(attributes: Attributes, x: TensorType) -> TensorType:
    axis, start, stop, step = (attributes[name] for name in ("axis", "start", "stop", "step"))
    _check_axis(axis, x)
    size = x.shape[axis]
    if not isinstance(size, int):
        coefficient, symbols = dims.parse(size)
        if start or stop is not None or coefficient % step:
            raise ValueError(
                f"axis {axis} of {x} is symbolic: only the whole of it can be taken, with a step that divides it"
            )
        return TensorType(x.dtype, (*x.shape[:axis], dims.write(coefficient // step, symbols), *x.shape[axis + 1 :]))
    stop = size if stop is None else stop
    if not start <= stop <= size:
        raise ValueError(f"0 <= start <= stop <= {size} must hold for {x}, got start {start} and stop {stop}")
    count = len(range(start, stop, step))
    return TensorType(x.dtype, (*x.shape[:axis], count, *x.shape[axis + 1 :]))


def _run_slice(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    part = slice(attributes["start"], attributes["stop"], attributes["step"])
    return x[(slice(None),) * attributes["axis"] + (part,)]


register(
    Kind(
        "slice",
        ("x",),
        {
            "axis": Attribute(integer(0, MAX_RANK - 1)),
            "start": Attribute(integer(0), 0),
            "stop": Attribute(optional_integer(0), None),
            "step": Attribute(integer(1), 1),
        },
        _infer_slice,
        _run_slice,
        no_cost,
    )
)


def _infer_pad(attributes: Attributes, x: TensorType) -> TensorType:
    pads, value = attributes["pads"], attributes["value"]
    expect("x", x, ("float32", "bit"))
    if len(pads) != len(x.shape):
        raise ValueError(f"pads must have one [before, after] for each of the {len(x.shape)} axes, got {len(pads)}")
    if x.dtype == "bit" and value not in (1.0, -1.0):
        raise ValueError(f"value must be 1 or -1 for bits, got {value}")
    shape = []
    for size, (before, after) in zip(x.shape, pads):
        if isinstance(size, int):
            size = size + before + after
        elif before or after:
            raise ValueError(f"an axis can be padded only where its size is an integer, got {x}")
        shape.append(size)
    return TensorType(x.dtype, tuple(shape))


def _run_pad(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    result = np.full(shape, x.dtype.type(attributes["value"]), x.dtype)
    result[tuple(slice(before, before + size) for (before, _), size in zip(attributes["pads"], x.shape))] = x
    return result


register(Kind("pad", ("x",), {"pads": Attribute(pairs), "value": Attribute(real)}, _infer_pad, _run_pad, no_cost))


def _infer_broadcast_to(attributes: Attributes, x: TensorType) -> TensorType:
    shape = attributes["shape"]
    if dims.broadcast(x.shape, shape) != shape:
        raise ValueError(f"{x} cannot be broadcast to {dims.text(shape)}")
    return TensorType(x.dtype, shape)


def _run_broadcast_to(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    return np.broadcast_to(x, shape)


register(
    Kind(
        "broadcast_to",
        ("x",),
        {"shape": Attribute(shape_attribute)},
        _infer_broadcast_to,
        _run_broadcast_to,
        no_cost,
    )
)
