"""Products: convolutions, matrix products, look-up."""

from __future__ import annotations

import numpy as np
import torch

from onebit.capture.onnx.call import Call, rule
from onebit.capture.onnx.rules.pooling import sides
from onebit.capture.rules import bits, linear
from onebit.capture.values import Constant, Value, constant
from onebit.ir import dim as dims

CODES = ("bit", "int8", "uint8")


@rule("Conv")
def conv(call: Call) -> Value:
    y = _convolve(call)
    if call.has(2):
        bias = call.operand(2)
        if not isinstance(bias, Constant):
            raise call.unsupported("a bias that is computed from the input", "add it afterwards")
        y = call.b.float_op("add", y, constant(bias.tensor.reshape(-1, *[1] * (len(y.shape) - 2))))
    return y


@rule("ConvInteger", dtype="int32")
def conv_integer(call: Call) -> Value:
    for index in (2, 3):
        if call.has(index) and call.needed(index, "a zero point").any():
            raise call.unsupported("zero points", "subtract them before")
    y = _convolve(call)
    return call.b.as_dtype(y, "int32")


def _convolve(call: Call) -> Value:
    """The sums; a padding of -1 or +1 just before goes into the convolution."""
    b, x, weight = call.b, call.value(0), call.operand(1)
    dimensions = len(x.shape) - 2
    if dimensions not in (1, 2) or len(weight.shape) != dimensions + 2:
        raise call.unsupported(f"a convolution of an input with {len(x.shape)} axes", "use 1 or 2 dimensions")
    if 0 in weight.shape:
        raise ValueError(f"the weights have shape {list(weight.shape)}")
    a = call.attributes
    strides, dilations = ([int(n) for n in a.get(name, [1] * dimensions)] for name in ("strides", "dilations"))
    kernel = [dims.evaluate(size, {}) for size in weight.shape[2:]]
    padding = sides(call, x, kernel, strides, dilations)
    groups, value = int(a.get("group", 1)), 0
    if isinstance(weight, Value):
        return _computed(call, x, weight, strides, padding, dilations, groups)
    padded = _padded(call, dimensions) if not any(padding) else None
    if padded is not None:
        source, found, number = padded
        narrow, dtype = bits.number_system(b, source, weight)
        if narrow.dtype == bits.weight_bits(dtype, narrow):
            x, padding, value = source, found, number
    return bits.conv(b, x, weight, strides, padding, dilations, groups, value)


def _computed(call: Call, x: Value, weight: Value, strides, padding, dilations, groups: int) -> Value:
    """A convolution with weights that are computed, which can be run but not packed."""
    b = call.b
    if len(x.shape) != 4:
        raise call.unsupported("weights of one dimension that are computed from the input", "make them constants")
    if x.dtype not in CODES or weight.dtype not in ("bit", "int8"):
        x, weight = b.floats(x), weight if weight.dtype == "bit" else b.floats(weight)
    names = b.channels_last(x).name, b.channels_last(weight).name
    attributes = {"stride": strides, "padding": padding, "dilation": dilations, "groups": groups}
    return b.value(b.emit("conv", *names, **attributes), (0, 2, 3, 1))


def _padded(call: Call, dimensions: int) -> tuple[Value, list[int], int] | None:
    """What a ``Pad`` with -1 or +1 before this node pads, its padding (before, after, ...), and the number."""
    pad = call.maker(0, "Pad")
    if pad is None or pad.opset < 11 or not pad.has(2) or pad.has(3):
        return None
    if pad.attributes.get("mode", "constant") != "constant":
        return None
    pads, number = pad.constant(1), pad.constant(2)
    if pads is None or number is None or number.size != 1 or abs(number.reshape(()).item()) != 1:
        return None
    before, after = pads[: dimensions + 2].tolist(), pads[dimensions + 2 :].tolist()
    if any([*before[:2], *after[:2]]) or min(*before, *after) < 0:
        return None
    padding = [size for pair in zip(before[2:], after[2:]) for size in pair]
    return pad.value(0), padding, int(number.reshape(()).item())


@rule("MatMul")
def matmul(call: Call) -> Value:
    x, y = call.operand(0), call.operand(1)
    if isinstance(x, Value) and isinstance(y, Constant) and len(y.shape) == 2 and 0 not in y.shape:
        return bits.linear(call.b, x, constant(y.tensor.t()))
    return linear.matmul(call.b, x, y)


@rule("MatMulInteger", dtype="int32")
def matmul_integer(call: Call) -> Value:
    for index in (2, 3):
        if call.has(index) and call.needed(index, "a zero point").any():
            raise call.unsupported("zero points", "subtract them before")
    weight = constant(torch.from_numpy(call.needed(1, "weights").T.copy()))
    return call.b.as_dtype(bits.linear(call.b, call.value(0), weight), "int32")


@rule("Gemm")
def gemm(call: Call) -> Value:
    b, a = call.b, call.attributes
    x, y = call.operand(0), call.operand(1)
    x = b.permute(b.materialize(x), (1, 0)) if a.get("transA", 0) else x
    if isinstance(y, Constant):
        y = y if a.get("transB", 0) else constant(y.tensor.t())
        if isinstance(x, Value) and 0 not in y.shape:
            result = bits.linear(b, x, y)
        else:
            result = linear.matmul(b, x, constant(y.tensor.t()))
    else:
        result = linear.matmul(b, x, b.permute(y, (1, 0)) if a.get("transB", 0) else y)
    if a.get("alpha", 1.0) != 1:
        result = b.float_op("mul", result, a["alpha"])
    if call.has(2) and a.get("beta", 1.0) != 0:
        bias = call.operand(2)
        result = b.float_op("add", result, bias if a.get("beta", 1.0) == 1 else b.float_op("mul", bias, a["beta"]))
    return result


def embedding(call: Call, table: np.ndarray, index: Value) -> Value:
    """Rows of a constant."""
    b = call.b
    index = b.lay_out(index)
    rows = table.reshape(len(table), -1).astype(np.float32)
    found = b.value(b.emit("embedding", b.tensor(rows), index.name))
    shape: tuple[dims.Dim, ...] = (*index.shape, *table.shape[1:])
    return b.reshape(found, shape)
