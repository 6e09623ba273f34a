"""Activations."""

from __future__ import annotations

import numpy as np
import torch

from onebit.capture.onnx.call import Call, rule
from onebit.capture.rules import activations
from onebit.capture.values import Value, constant
from onebit.ir import Node


@rule("PRelu")
def prelu(call: Call) -> Value:
    b, x = call.b, call.b.floats(call.operand(0))
    slope = call.constant(1)
    if slope is None:
        return _where_positive(call, x, b.float_op("mul", x, call.operand(1)))
    axes = [axis for axis, size in enumerate(slope.shape) if size != 1]
    if len(axes) > 1:
        return _where_positive(call, x, b.float_op("mul", x, call.operand(1)))
    if axes:
        x = b.channels_last(x, axes[0] - slope.ndim + len(x.shape))
    name = b.emit("prelu", x.name, b.vector(constant(torch.from_numpy(slope.reshape(-1).copy()))))
    return b.value(name, x.order)


def _where_positive(call: Call, x: Value, below: Value) -> Value:
    positive = call.b.elementwise("compare", x, 0.0, dtypes=["float32"] * 2, op="gt")
    return call.b.elementwise("where", positive, x, below, dtypes=["bool", "float32", "float32"])


@rule("LeakyRelu")
def leaky_relu(call: Call) -> Value:
    return activations.leaky_relu(call.b, call.value(0), call.attributes.get("alpha", 0.01))


@rule("Elu")
def elu(call: Call) -> Value:
    return activations.elu(call.b, call.operand(0), call.attributes.get("alpha", 1.0))


@rule("Gelu")
def gelu(call: Call) -> Value:
    return activations.gelu(call.b, call.operand(0), call.attributes.get("approximate", "none"))


@rule("HardSwish")
def hard_swish(call: Call) -> Value:
    return activations.hardswish(call.b, call.operand(0))


@rule("HardSigmoid")
def hard_sigmoid(call: Call) -> Value:
    b = call.b
    scaled = b.float_op("mul", call.operand(0), call.attributes.get("alpha", 0.2))
    return activations.hardtanh(b, b.float_op("add", scaled, call.attributes.get("beta", 0.5)), 0.0, 1.0)


@rule("Softmax")
def softmax(call: Call) -> Value:
    x = call.operand(0)
    axis = call.attributes.get("axis", -1 if call.opset >= 13 else 1) % len(x.shape)
    if call.opset < 13 and axis != len(x.shape) - 1:
        raise call.unsupported(f"a softmax over axis {axis} and all after it", "convert the file to opset 13 or newer")
    return activations.softmax(call.b, x, axis)


@rule("Clip")
def clip(call: Call) -> Value:
    """``Clip``; after a ``QuantizeLinear`` it narrows the range of that."""
    b, x = call.b, call.operand(0)
    if call.opset < 11:
        low, high = call.attributes.get("min"), call.attributes.get("max")
    else:
        limits = [call.needed(index, "a limit").reshape(()).item() if call.has(index) else None for index in (1, 2)]
        low, high = limits
    if call.maker(0, "QuantizeLinear") is not None and isinstance(x, Value):
        narrowed = _narrowed(call, x, low, high)
        if narrowed is not None:
            return narrowed
    if call.dtype not in ("float32", "int32", "int64"):
        raise call.unsupported(f"a clip of {call.dtype}", "clip before you quantize")
    if call.dtype == "float32" and low is not None and high is not None and not -np.inf < low <= high < np.inf:
        raise ValueError(f"the limits are {low} and {high}")
    return activations.clamp(b, x, low, high)


def _narrowed(call: Call, x: Value, low: int | None, high: int | None) -> Value | None:
    """The quantization that makes ``x``, with a narrower range; None where its zero point lies outside."""
    made: Node | None = call.b.producer(x.name)
    if made is None or made.kind != "quantize":
        return None
    limits = np.iinfo(made.attributes["dtype"])
    low = limits.min if low is None else max(limits.min, low)
    high = limits.max if high is None else min(limits.max, high)
    if not low <= made.attributes["zero_point"] <= high:
        return None
    attributes = {**made.attributes, "low": int(low), "high": int(high)}
    return call.b.value(call.b.emit("quantize", *made.inputs, **attributes), x.order)
