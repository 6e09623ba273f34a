"""Between number systems: sign, threshold, quantize, cast."""

from __future__ import annotations

import numpy as np

from onebit.ir import dim as dims
from onebit.ir.kind import (
    Attribute,
    Attributes,
    Kind,
    choice,
    dtype,
    expect,
    expect_channels,
    integer,
    no_cost,
    register,
)
from onebit.ir.types import NUMPY, TensorType

PLUS, MINUS = np.int8(1), np.int8(-1)


def sign(x: np.ndarray) -> np.ndarray:
    """``+1 if x >= 0 else -1`` as int8: +1 for both zeros, -1 for NaN."""
    return np.where(x >= 0, PLUS, MINUS)


def _infer_sign(attributes: Attributes, x: TensorType) -> TensorType:
    expect("x", x, ("float32",))
    return TensorType("bit", x.shape)


def _run_sign(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    return sign(x)


register(Kind("sign", ("x",), {}, _infer_sign, _run_sign))


def _infer_threshold(attributes: Attributes, x: TensorType, limit: TensorType, sense: TensorType) -> TensorType:
    expect("x", x, ("int32",))
    expect("limit", limit, ("int32",))
    expect("sense", sense, ("bit",))
    expect_channels(x, ("limit", limit), ("sense", sense))
    return TensorType("bit", x.shape)


def _run_threshold(
    attributes: Attributes, shape: tuple[int, ...], x: np.ndarray, limit: np.ndarray, sense: np.ndarray
) -> np.ndarray:
    return np.where(np.where(sense > 0, x >= limit, x <= limit), PLUS, MINUS)


register(Kind("threshold", ("x", "limit", "sense"), {}, _infer_threshold, _run_threshold, constants=("limit", "sense")))


def _infer_quantize(attributes: Attributes, x: TensorType, scale: TensorType) -> TensorType:
    expect("x", x, ("float32",))
    expect("scale", scale, ("float32",))
    expect_channels(x, ("scale", scale), scalar=True)
    low, high, limits = attributes["low"], attributes["high"], np.iinfo(NUMPY[attributes["dtype"]])
    if not limits.min <= low <= attributes["zero_point"] <= high <= limits.max:
        raise ValueError(
            f"low <= zero_point <= high must hold within {limits.min}..{limits.max} ({attributes['dtype']}), "
            f"got low {low}, zero_point {attributes['zero_point']}, high {high}"
        )
    return TensorType(attributes["dtype"], x.shape)


def _run_quantize(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    low, high, zero = (np.float32(attributes[name]) for name in ("low", "high", "zero_point"))
    code = np.rint(x / scale) + zero
    code = np.where(code < low, low, np.where(code > high, high, code))
    return np.where(code == code, code, zero).astype(attributes["dtype"])


def _quantize_cost(attributes: Attributes, output: TensorType, *inputs: TensorType) -> dict[str, dims.Dim]:
    return {"float_ops": dims.product((2, *output.shape))}


register(
    Kind(
        "quantize",
        ("x", "scale"),
        {
            "zero_point": Attribute(integer(-128, 255), 0),
            "low": Attribute(integer(-128, 255), -127),
            "high": Attribute(integer(-128, 255), 127),
            "dtype": Attribute(choice("int8", "uint8"), "int8"),
        },
        _infer_quantize,
        _run_quantize,
        _quantize_cost,
        constants=("scale",),
    )
)

#: What each dtype can be cast to, besides itself; from float32 to an integer truncates.
CASTS = {
    "bit": ("int8", "int32", "int64", "float32", "bool"),
    "ternary": ("int8", "int32", "int64", "float32", "bool"),
    "bool": ("int8", "uint8", "int32", "int64", "float32"),
    "int8": ("int32", "int64", "float32", "bool"),
    "uint8": ("int32", "int64", "float32", "bool"),
    "int32": ("int64", "float32", "bool"),
    "int64": ("float32", "bool"),
    "float32": ("int8", "uint8", "int32", "int64", "bool"),
}


def _infer_cast(attributes: Attributes, x: TensorType) -> TensorType:
    dtype = attributes["dtype"]
    if dtype != x.dtype and dtype not in CASTS[x.dtype]:
        raise ValueError(f"{x.dtype} cannot be cast to {dtype}, only to {', '.join(CASTS[x.dtype])}")
    return TensorType(dtype, x.shape)


def _run_cast(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    dtype = NUMPY[attributes["dtype"]]
    if x.dtype == np.float32 and dtype.kind in "iu":
        # Both bounds are 0 or powers of two, exact in float32; the upper one is the first value out of range.
        limits = np.iinfo(dtype)
        whole = np.trunc(x)
        inside = (whole >= np.float32(limits.min)) & (whole < np.float32(float(limits.max) + 1.0))
        return np.where(inside, whole, np.float32(0)).astype(dtype)
    if dtype == np.bool_:
        return np.asarray(x != 0)
    return x.astype(dtype)


register(Kind("cast", ("x",), {"dtype": Attribute(dtype)}, _infer_cast, _run_cast, no_cost))
