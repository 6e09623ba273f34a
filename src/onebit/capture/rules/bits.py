"""The operators of onebit: sign, quantize, convolution and linear on codes."""

from __future__ import annotations

import numpy as np

from onebit.capture.builder import Builder, to_numpy
from onebit.capture.rules.convolution import convolve
from onebit.capture.rules.table import rule
from onebit.capture.values import Constant, Value


@rule("onebit.sign.default")
def sign(b: Builder, x: Value) -> Value:
    if x.dtype == "bit":
        return x
    x = b.floats(x)
    return b.value(b.emit("sign", x.name), x.order)


@rule("onebit.quantize.default")
def quantize(b: Builder, x: Value, scale: Constant, zero_point: int, low: int, high: int) -> Value:
    dtype = "uint8" if low >= 0 else "int8"
    limits = np.iinfo(dtype)
    if low < limits.min or high > limits.max:
        raise b.unsupported(f"codes in {low}..{high}", "the graph holds codes of at most 8 bits")
    x = b.floats(x)
    if not isinstance(scale, Constant):
        raise b.unsupported("a scale that is computed from the input", "use a static scale")
    if scale.tensor.numel() > 1:
        axes = [axis + len(x.shape) - scale.tensor.dim() for axis, size in enumerate(scale.tensor.shape) if size > 1]
        if len(axes) > 1:
            raise b.unsupported("a scale over more than one axis", "use one scale, or one a channel")
        x = b.channels_last(x, axes[0])
    attributes = {"zero_point": zero_point, "low": low, "high": high, "dtype": dtype}
    return b.value(b.emit("quantize", x.name, b.vector(scale), **attributes), x.order)


@rule("onebit.conv.default")
def conv(b: Builder, x: Value, weight: Constant, stride, padding, dilation, groups: int, pad_value: int) -> Value:
    if not isinstance(weight, Constant):
        raise b.unsupported("weights that are computed from the input", "make them constants in evaluation mode")
    x, dtype = number_system(b, x, weight)
    if pad_value and x.dtype != weight_bits(dtype, x) and any(padding):
        x = pad_bits(b, x, padding, pad_value)
        padding = [0] * len(padding)
    return convolve(b, x, weight.tensor, dtype, stride, padding, dilation, groups, pad_value if any(padding) else 0)


@rule("onebit.linear.default")
def linear(b: Builder, x: Value, weight: Constant) -> Value:
    if not isinstance(weight, Constant):
        raise b.unsupported("weights that are computed from the input", "make them constants in evaluation mode")
    x, dtype = number_system(b, x, weight)
    x = b.channels_last(x, len(x.shape) - 1) if x.order[-1] != len(x.shape) - 1 else x
    name = b.emit("linear", x.name, b.tensor(to_numpy(weight.tensor, dtype), dtype=dtype))
    return b.value(name, x.order)


def number_system(b: Builder, x: Value, weight: Constant) -> tuple[Value, str]:
    """Input and dtype of the weights in a number system of the graph: bits where all weights are -1 or +1, ternary
    where some are 0, integers where the input has integers and all weights are, floats else."""
    x = b.as_dtype(x, "uint8") if x.dtype == "bool" else x  # the codes 0 and 1 of a step
    codes = weight.tensor.double()
    if bool((codes.abs() == 1).all()):
        return b.floats(x) if x.dtype in ("int32", "int64") else x, "bit"
    if codes.numel() > 0 and bool(((codes.abs() == 1) | (codes == 0)).all()):
        return b.floats(x) if x.dtype in ("int32", "int64") else x, "ternary"
    whole = bool((codes == codes.round()).all()) and codes.numel() > 0 and codes.min() >= -128 and codes.max() <= 127
    if x.dtype in ("bit", "int8", "uint8") and whole:
        return x, "int8"
    return b.floats(x), "float32"


def weight_bits(dtype: str, x: Value) -> str:
    """The dtype of input for which the graph pads with -1 or +1: bits with bit weights, and float32."""
    return "bit" if dtype == "bit" and x.dtype == "bit" else "float32"


def pad_bits(b: Builder, x: Value, padding, pad_value: int) -> Value:
    """``x`` with its padding written out: for integers the graph pads convolutions with 0 only."""
    if x.dtype != "bit":
        raise b.unsupported(f"padding of {x.dtype} codes with {pad_value}", "pad with 0")
    pairs = [[0, 0], [0, 0], *([padding[i], padding[i + 1]] for i in range(0, len(padding), 2))]
    name = b.emit("pad", x.name, pads=[pairs[axis] for axis in x.order], value=float(pad_value))
    return b.value(name, x.order)
