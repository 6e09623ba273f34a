"""Elementwise arithmetic: two operands with broadcasting, one operand, and per-channel functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onebit.ir import dim as dims
from onebit.ir import elementary
from onebit.ir.kind import Attribute, Attributes, Kind, expect, expect_channels, real, register
from onebit.ir.types import TensorType, maximum, minimum

ZERO, ONE = np.float32(0.0), np.float32(1.0)
NUMBERS = ("float32", "int32", "int64")


# Two operands


def _infer_two(allowed: tuple[str, ...]) -> Callable[..., TensorType]:
    def infer(attributes: Attributes, a: TensorType, b: TensorType) -> TensorType:
        expect("a", a, allowed)
        expect("b", b, (a.dtype,))
        return TensorType(a.dtype, dims.broadcast(a.shape, b.shape))

    return infer


def _two(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    def run(attributes: Attributes, shape: tuple[int, ...], a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(function(a, b))

    return run


TWO_OPERANDS: dict[str, Callable[..., np.ndarray]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "max": maximum,
    "min": minimum,
}
for _name, _function in TWO_OPERANDS.items():
    register(Kind(_name, ("a", "b"), {}, _infer_two(NUMBERS), _two(_function)))
register(Kind("div", ("a", "b"), {}, _infer_two(("float32",)), _two(np.divide)))


# One operand


def sigmoid(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))``."""
    return ONE / (ONE + elementary.exp(-x))


def relu(x: np.ndarray) -> np.ndarray:
    """``max(x, +0.0)``."""
    return maximum(x, ZERO)


def _infer_one(attributes: Attributes, x: TensorType) -> TensorType:
    expect("x", x, ("float32",))
    return x


def _one(function: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    def run(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
        return np.asarray(function(x))

    return run


ONE_OPERAND: dict[str, Callable[..., np.ndarray]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": elementary.exp,
    "tanh": elementary.tanh,
    "erf": elementary.erf,
    "sigmoid": sigmoid,
    "relu": relu,
}
for _name, _function in ONE_OPERAND.items():
    register(Kind(_name, ("x",), {}, _infer_one, _one(_function)))


def _infer_clip(attributes: Attributes, x: TensorType) -> TensorType:
    if attributes["low"] > attributes["high"]:
        raise ValueError(f"low must not be above high, got {attributes['low']} and {attributes['high']}")
    return _infer_one(attributes, x)


def _run_clip(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    low, high = np.float32(attributes["low"]), np.float32(attributes["high"])
    return np.where(x < low, low, np.where(x > high, high, x))


register(Kind("clip", ("x",), {"low": Attribute(real), "high": Attribute(real)}, _infer_clip, _run_clip))


# Per channel


def _infer_affine(attributes: Attributes, x: TensorType, scale: TensorType, shift: TensorType) -> TensorType:
    expect("x", x, ("float32", "int32"))
    expect("scale", scale, ("float32",))
    expect("shift", shift, ("float32",))
    expect_channels(x, ("scale", scale), ("shift", shift))
    return TensorType("float32", x.shape)


def _run_affine(
    attributes: Attributes, shape: tuple[int, ...], x: np.ndarray, scale: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    y = x.astype(np.float32) * scale
    return y + shift


def _affine_cost(attributes: Attributes, output: TensorType, *inputs: TensorType) -> dict[str, dims.Dim]:
    return {"float_ops": dims.product((2, *output.shape))}


register(
    Kind("affine", ("x", "scale", "shift"), {}, _infer_affine, _run_affine, _affine_cost, constants=("scale", "shift"))
)


def _infer_prelu(attributes: Attributes, x: TensorType, slope: TensorType) -> TensorType:
    expect("x", x, ("float32",))
    expect("slope", slope, ("float32",))
    expect_channels(x, ("slope", slope), scalar=True)
    return x


def _run_prelu(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, x * slope)


register(Kind("prelu", ("x", "slope"), {}, _infer_prelu, _run_prelu, constants=("slope",)))
