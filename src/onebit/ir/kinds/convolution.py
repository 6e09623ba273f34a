"""Multiply-accumulate kinds: conv, linear, matmul.

Integers are exact in any order, so they go through BLAS as floats that hold every partial sum exactly; floats are
accumulated in the order of k, one rounded multiplication and one rounded addition each.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from onebit.ir import dim as dims
from onebit.ir.kind import (
    INT32,
    Attribute,
    Attributes,
    Kind,
    choice,
    expect,
    expect_positive,
    integer,
    integers,
    register,
)
from onebit.ir.types import TensorType

MAGNITUDE = {"bit": 1, "ternary": 1, "int8": 128, "uint8": 255}  # the largest absolute value of the dtype
INPUTS = ("float32", "bit", "int8", "uint8")
WEIGHTS = ("float32", "int8", "bit", "ternary")
EXACT_FLOAT32 = 2**24
WINDOW = 65535  # the largest kernel, stride, padding and dilation


def _system(x: TensorType, weight: TensorType, taps: int, pad_value: int = 0) -> str:
    """The dtype of the result, after checking that the number system exists and that no sum can leave int32."""
    if x.dtype == "float32":
        expect("weight", weight, ("float32", "bit", "ternary"))
        return "float32"
    expect("x", x, INPUTS)
    expect("weight", weight, ("int8", "bit", "ternary"))
    if pad_value and (x.dtype, weight.dtype) != ("bit", "bit"):
        raise ValueError(f"pad_value must be 0 for {x.dtype} x with {weight.dtype} weights, got {pad_value}")
    if taps * MAGNITUDE[x.dtype] * MAGNITUDE[weight.dtype] > INT32:
        raise ValueError(f"sums of {taps} products of {x.dtype} and {weight.dtype} can leave int32")
    return "int32"


def macs_key(x: TensorType, weight: TensorType) -> str:
    """The number system of a multiply-accumulate kind, as the cost table calls it."""
    if x.dtype == "float32":
        return "float_macs"
    return "bit_macs" if x.dtype == weight.dtype == "bit" else "int8_macs"


def window_count(
    name: str, size: dims.Dim, kernel: int, before: int, after: int, stride: int, dilation: int
) -> dims.Dim:
    """Number of windows along one axis: ``(size + before + after - dilation * (kernel - 1) - 1) // stride + 1``.

    Along a symbolic axis it must be a multiple of the symbols: the size divided by the stride.
    """
    slack = before + after - dilation * (kernel - 1) - 1
    coefficient, symbols = dims.parse(size)
    if symbols:
        if coefficient % stride or slack // stride + 1:
            raise ValueError(f"{name} is symbolic ({size}), and the number of windows along it is no multiple of it")
        return dims.write(coefficient // stride, symbols)
    if coefficient + slack < 0:
        raise ValueError(
            f"{name} is {size}, which with padding {before} and {after} is less than a window of {kernel} taps "
            f"with dilation {dilation}"
        )
    return (coefficient + slack) // stride + 1


def _infer_conv(attributes: Attributes, x: TensorType, weight: TensorType) -> TensorType:
    expect("x", x, INPUTS, rank=4)
    expect("weight", weight, WEIGHTS, rank=4)
    outputs, kernel_h, kernel_w, channels = (expect_positive("a size of the weight", size) for size in weight.shape)
    groups = attributes["groups"]
    if x.shape[3] != channels * groups:
        raise ValueError(f"x must have {channels * groups} channels (weight's last axis x groups {groups}), got {x}")
    if outputs % groups:
        raise ValueError(f"{outputs} output channels cannot be split into {groups} groups")
    top, bottom, left, right = attributes["padding"]
    (stride_h, stride_w), (dilation_h, dilation_w) = attributes["stride"], attributes["dilation"]
    height = window_count("the height of x", x.shape[1], kernel_h, top, bottom, stride_h, dilation_h)
    width = window_count("the width of x", x.shape[2], kernel_w, left, right, stride_w, dilation_w)
    dtype = _system(x, weight, kernel_h * kernel_w * channels, attributes["pad_value"])
    return TensorType(dtype, (x.shape[0], height, width, outputs))


def _run_conv(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    top, bottom, left, right = attributes["padding"]
    (stride_h, stride_w), (dilation_h, dilation_w) = attributes["stride"], attributes["dilation"]
    batch, height, width, outputs = shape
    _, kernel_h, kernel_w, channels = weight.shape
    groups = attributes["groups"]
    if 0 in shape:
        return np.zeros(shape, np.float32 if x.dtype == np.float32 else np.int32)
    if top or bottom or left or right:
        pads = ((0, 0), (top, bottom), (left, right), (0, 0))
        x = np.pad(x, pads, constant_values=x.dtype.type(attributes["pad_value"]))
    x = x.reshape(*x.shape[:3], groups, channels)
    # (kH, kW, G, I/G, O/G)
    weight = weight.reshape(groups, outputs // groups, kernel_h, kernel_w, channels).transpose(2, 3, 0, 4, 1)

    def tap(row: int, column: int) -> np.ndarray:
        """What every window reads at this place of the kernel: (N, OH, OW, G, I/G)."""
        first_row, first_column = row * dilation_h, column * dilation_w
        return x[
            :,
            first_row : first_row + (height - 1) * stride_h + 1 : stride_h,
            first_column : first_column + (width - 1) * stride_w + 1 : stride_w,
        ]

    # One at a time: a kernel of bits may have more taps than a list of views has room for.
    taps = ((tap(row, column), weight[row, column]) for row in range(kernel_h) for column in range(kernel_w))
    if x.dtype == np.float32:
        return _float_sums(taps, (batch, height, width, groups, outputs // groups)).reshape(shape)
    return _integer_sums(taps, kernel_h * kernel_w * channels * _largest(x) * _largest(weight)).reshape(shape)


def _float_sums(taps: Iterable[tuple[np.ndarray, np.ndarray]], shape: tuple[int, ...]) -> np.ndarray:
    """For each tap and channel: ``acc = acc + x * w``, both rounded; x (..., G, I), w (G, I, O) -> (..., G, O)."""
    acc, product = np.zeros(shape, np.float32), np.empty(shape, np.float32)
    for x, weight in taps:
        rows = np.ascontiguousarray(weight.transpose(1, 0, 2), dtype=np.float32)
        for channel, row in enumerate(rows):
            np.multiply(x[..., channel : channel + 1], row, out=product)
            np.add(acc, product, out=acc)
    return acc


def _integer_sums(taps: Iterable[tuple[np.ndarray, np.ndarray]], largest: int) -> np.ndarray:
    """The exact int32 sums, none beyond ``largest``; x (..., G, I), w (G, I, O) -> (M, G, O)."""
    exact = np.float32 if largest < EXACT_FLOAT32 else np.float64
    acc: np.ndarray | None = None
    for x, weight in taps:
        groups, channels, _ = weight.shape
        rows = x.astype(exact).reshape(-1, groups, channels)
        weight = weight.astype(exact)
        sums = (rows[:, 0] @ weight[0])[None] if groups == 1 else np.matmul(rows.transpose(1, 0, 2), weight)
        acc = sums if acc is None else np.add(acc, sums, out=acc)
    assert acc is not None
    return acc.astype(np.int32).transpose(1, 0, 2)


def _largest(integers: np.ndarray) -> int:
    return max(int(integers.max()), -int(integers.min())) if integers.size else 0


def _conv_cost(attributes: Attributes, output: TensorType, x: TensorType, weight: TensorType) -> dict[str, dims.Dim]:
    return {macs_key(x, weight): dims.product((*output.shape, *weight.shape[1:]))}


register(
    Kind(
        "conv",
        ("x", "weight"),
        {
            "stride": Attribute(integers(2, 1, WINDOW), (1, 1)),
            "padding": Attribute(integers(4, 0, WINDOW), (0, 0, 0, 0)),
            "dilation": Attribute(integers(2, 1, WINDOW), (1, 1)),
            "groups": Attribute(integer(1), 1),
            "pad_value": Attribute(choice(0, 1, -1), 0),
        },
        _infer_conv,
        _run_conv,
        _conv_cost,
        constants=("weight",),
    )
)


def _infer_linear(attributes: Attributes, x: TensorType, weight: TensorType) -> TensorType:
    expect("x", x, INPUTS)
    expect("weight", weight, WEIGHTS, rank=2)
    outputs, channels = (expect_positive("a size of the weight", size) for size in weight.shape)
    if not x.shape or x.shape[-1] != channels:
        raise ValueError(f"x must have {channels} channels (weight's last axis), got {x}")
    return TensorType(_system(x, weight, channels), (*x.shape[:-1], outputs))


def _run_linear(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    taps = [(x.reshape(-1, 1, weight.shape[1]), weight.T[None])]
    if x.dtype == np.float32:
        return _float_sums(taps, (taps[0][0].shape[0], 1, len(weight))).reshape(shape)
    return _integer_sums(taps, weight.shape[1] * _largest(x) * _largest(weight)).reshape(shape)


def _linear_cost(attributes: Attributes, output: TensorType, x: TensorType, weight: TensorType) -> dict[str, dims.Dim]:
    return {macs_key(x, weight): dims.product((*output.shape, weight.shape[1]))}


register(Kind("linear", ("x", "weight"), {}, _infer_linear, _run_linear, _linear_cost, constants=("weight",)))


def _infer_matmul(attributes: Attributes, a: TensorType, b: TensorType) -> TensorType:
    expect("a", a, ("float32",))
    expect("b", b, ("float32",))
    if len(a.shape) < 2 or len(b.shape) < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"a (..., M, K) and b (..., K, N) must share K, got {a} and {b}")
    return TensorType("float32", (*dims.broadcast(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]))


def _run_matmul(attributes: Attributes, shape: tuple[int, ...], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    acc, product = np.zeros(shape, np.float32), np.empty(shape, np.float32)
    for k in range(a.shape[-1]):
        np.multiply(a[..., :, k, None], b[..., k, None, :], out=product)
        np.add(acc, product, out=acc)
    return acc


def _matmul_cost(attributes: Attributes, output: TensorType, a: TensorType, b: TensorType) -> dict[str, dims.Dim]:
    return {"float_macs": dims.product((*output.shape, a.shape[-1]))}


register(Kind("matmul", ("a", "b"), {}, _infer_matmul, _run_matmul, _matmul_cost))
