"""Reductions over the last axis, in a fixed order of 16 partial results."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onebit.ir import dim as dims
from onebit.ir.kind import Attribute, Attributes, Kind, boolean, choice, expect, register
from onebit.ir.types import TensorType, maximum, minimum

PARTIALS = 16


def _fold(x: np.ndarray, operation: Callable[[np.ndarray, np.ndarray], np.ndarray], start: float) -> np.ndarray:
    """Element i into partial ``i % 16``, ascending; then p[i] with p[i + 8], +4, +2, +1. The last axis stays,
    of size 1.

    The last block is filled up with ``start``, which changes nothing: no partial sum is ever -0.0.
    """
    if x.shape[-1] == 0:  # a symbolic size that turned out to be 0
        raise ValueError("x must have a last axis that is not empty")
    partials = np.full((*x.shape[:-1], PARTIALS), start, np.float32)
    for first in range(0, x.shape[-1], PARTIALS):
        block = x[..., first : first + PARTIALS]
        size = block.shape[-1]
        partials[..., :size] = operation(partials[..., :size], block)
    for half in (8, 4, 2, 1):
        partials = operation(partials[..., :half], partials[..., half : 2 * half])
    return partials


def total(x: np.ndarray) -> np.ndarray:
    """The sum over the last axis, which is kept as size 1."""
    return _fold(x, np.add, 0.0)


def mean(x: np.ndarray) -> np.ndarray:
    """The sum over the last axis, divided once by its size."""
    return total(x) / np.float32(x.shape[-1])


def largest(x: np.ndarray) -> np.ndarray:
    """The maximum over the last axis; NaN if one is there."""
    return _fold(x, maximum, -np.inf)


def smallest(x: np.ndarray) -> np.ndarray:
    """The minimum over the last axis; NaN if one is there."""
    return _fold(x, minimum, np.inf)


OPERATIONS = {"sum": total, "mean": mean, "max": largest, "min": smallest}


def expect_last_axis(x: TensorType) -> None:
    """``ValueError`` unless ``x`` is float32 with a last axis that is not empty."""
    expect("x", x, ("float32",))
    if not x.shape or x.shape[-1] == 0:
        raise ValueError(f"x must have a last axis that is not empty, got {x}")


def _infer_reduce(attributes: Attributes, x: TensorType) -> TensorType:
    expect_last_axis(x)
    return TensorType("float32", (*x.shape[:-1], 1) if attributes["keepdims"] else x.shape[:-1])


def _run_reduce(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    return OPERATIONS[attributes["op"]](x).reshape(shape)


def _reduce_cost(attributes: Attributes, output: TensorType, x: TensorType) -> dict[str, dims.Dim]:
    return {"float_ops": dims.product(x.shape)}


register(
    Kind(
        "reduce",
        ("x",),
        {"op": Attribute(choice(*OPERATIONS)), "keepdims": Attribute(boolean, False)},
        _infer_reduce,
        _run_reduce,
        _reduce_cost,
    )
)
