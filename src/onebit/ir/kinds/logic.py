"""Comparisons, logic, selection and look-up."""

from __future__ import annotations

import operator

import numpy as np

from onebit.ir import dim as dims
from onebit.ir.kind import Attribute, Attributes, Kind, choice, expect, no_cost, register
from onebit.ir.types import TensorType

COMPARISONS = {name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}


def _infer_compare(attributes: Attributes, a: TensorType, b: TensorType) -> TensorType:
    expect("b", b, (a.dtype,))
    return TensorType("bool", dims.broadcast(a.shape, b.shape))


def _run_compare(attributes: Attributes, shape: tuple[int, ...], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(COMPARISONS[attributes["op"]](a, b))


register(Kind("compare", ("a", "b"), {"op": Attribute(choice(*COMPARISONS))}, _infer_compare, _run_compare))


def _infer_logical(attributes: Attributes, a: TensorType, b: TensorType) -> TensorType:
    expect("a", a, ("bool",))
    expect("b", b, ("bool",))
    return TensorType("bool", dims.broadcast(a.shape, b.shape))


def _run_and(attributes: Attributes, shape: tuple[int, ...], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a & b)


def _run_or(attributes: Attributes, shape: tuple[int, ...], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a | b)


def _infer_not(attributes: Attributes, x: TensorType) -> TensorType:
    expect("x", x, ("bool",))
    return x


def _run_not(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    return np.asarray(~x)


register(Kind("logical_and", ("a", "b"), {}, _infer_logical, _run_and))
register(Kind("logical_or", ("a", "b"), {}, _infer_logical, _run_or))
register(Kind("logical_not", ("x",), {}, _infer_not, _run_not))


def _infer_where(attributes: Attributes, condition: TensorType, a: TensorType, b: TensorType) -> TensorType:
    expect("condition", condition, ("bool",))
    expect("b", b, (a.dtype,))
    return TensorType(a.dtype, dims.broadcast(condition.shape, a.shape, b.shape))


def _run_where(
    attributes: Attributes, shape: tuple[int, ...], condition: np.ndarray, a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    return np.where(condition, a, b)


register(Kind("where", ("condition", "a", "b"), {}, _infer_where, _run_where))


def _infer_embedding(attributes: Attributes, weight: TensorType, index: TensorType) -> TensorType:
    expect("weight", weight, ("float32",), rank=2)
    expect("index", index, ("int64", "int32"))
    return TensorType("float32", (*index.shape, weight.shape[1]))


def _run_embedding(attributes: Attributes, shape: tuple[int, ...], weight: np.ndarray, index: np.ndarray) -> np.ndarray:
    outside = (index < 0) | (index >= len(weight))
    if np.any(outside):
        raise ValueError(f"index must be 0..{len(weight) - 1}, got {index[outside][0]}")
    return weight[index]


register(Kind("embedding", ("weight", "index"), {}, _infer_embedding, _run_embedding, no_cost, constants=("weight",)))
