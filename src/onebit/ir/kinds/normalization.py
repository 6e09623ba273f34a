"""Normalisations: softmax, layer_norm, batch_norm."""

from __future__ import annotations

import numpy as np

from onebit.ir import dim as dims
from onebit.ir import elementary
from onebit.ir.kind import Attribute, Attributes, Kind, expect, expect_channels, real, register
from onebit.ir.kinds.reduction import expect_last_axis, largest, mean, total
from onebit.ir.types import TensorType


def _infer_softmax(attributes: Attributes, x: TensorType) -> TensorType:
    expect_last_axis(x)
    return x


def _run_softmax(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    e = elementary.exp(x - largest(x))
    return e / total(e)


def _softmax_cost(attributes: Attributes, output: TensorType, *inputs: TensorType) -> dict[str, dims.Dim]:
    return {"float_ops": dims.product((5, *output.shape))}


register(Kind("softmax", ("x",), {}, _infer_softmax, _run_softmax, _softmax_cost))


def _epsilon(value: object) -> float:
    eps = real(value)
    if eps < 0:
        raise ValueError(f"must be 0 or more, got {value!r}")
    return eps


def _infer_layer_norm(attributes: Attributes, x: TensorType, weight: TensorType, bias: TensorType) -> TensorType:
    expect_last_axis(x)
    expect("weight", weight, ("float32",))
    expect("bias", bias, ("float32",))
    expect_channels(x, ("weight", weight), ("bias", bias))
    return x


def _run_layer_norm(
    attributes: Attributes, shape: tuple[int, ...], x: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    d = x - mean(x)
    r = np.sqrt(mean(d * d) + np.float32(attributes["eps"]))
    y = (d / r) * weight
    return y + bias


def _layer_norm_cost(attributes: Attributes, output: TensorType, *inputs: TensorType) -> dict[str, dims.Dim]:
    return {"float_ops": dims.product((7, *output.shape))}


register(
    Kind(
        "layer_norm",
        ("x", "weight", "bias"),
        {"eps": Attribute(_epsilon)},
        _infer_layer_norm,
        _run_layer_norm,
        _layer_norm_cost,
        constants=("weight", "bias"),
    )
)


def _infer_batch_norm(attributes: Attributes, x: TensorType, *vectors: TensorType) -> TensorType:
    expect("x", x, ("float32",))
    for name, vector in zip(("weight", "bias", "mean", "var"), vectors):
        expect(name, vector, ("float32",))
        expect_channels(x, (name, vector))
    return x


def _run_batch_norm(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray, *vectors: np.ndarray) -> np.ndarray:
    weight, bias, mean, var = vectors
    y = (x - mean) / np.sqrt(var + np.float32(attributes["eps"]))
    y = y * weight
    return y + bias


def _batch_norm_cost(attributes: Attributes, output: TensorType, *inputs: TensorType) -> dict[str, dims.Dim]:
    return {"float_ops": dims.product((4, *output.shape))}


register(
    Kind(
        "batch_norm",
        ("x", "weight", "bias", "mean", "var"),
        {"eps": Attribute(_epsilon)},
        _infer_batch_norm,
        _run_batch_norm,
        _batch_norm_cost,
        constants=("weight", "bias", "mean", "var"),
        packed=False,
    )
)
