"""Activations."""

from __future__ import annotations

import math

import torch

from onebit.capture.builder import Builder
from onebit.capture.rules.table import rule
from onebit.capture.values import Constant, Value, constant


@rule("aten.hardtanh.default", "aten.hardtanh_.default")
def hardtanh(b: Builder, x, low=-1.0, high=1.0) -> Value:
    return b.float_op("clip", x, low=float(low), high=float(high))


@rule("aten.relu6.default")
def relu6(b: Builder, x) -> Value:
    return hardtanh(b, x, 0.0, 6.0)


@rule("aten.clamp.default", "aten.clip.default")
def clamp(b: Builder, x, min=None, max=None) -> Value:
    if not b.out.floating:
        for kind, bound in (("max", min), ("min", max)):
            x = x if bound is None else b.arithmetic(kind, x, int(bound))
        return x
    if min is not None and max is not None:
        return hardtanh(b, x, min, max)
    return clamp_min(b, x, min) if max is None else clamp_max(b, x, max)


@rule("aten.clamp_min.default")
def clamp_min(b: Builder, x, min) -> Value:
    return b.arithmetic("max", x, min)


@rule("aten.clamp_max.default")
def clamp_max(b: Builder, x, max) -> Value:
    return b.arithmetic("min", x, max)


@rule("aten.prelu.default", "aten._prelu_kernel.default")
def prelu(b: Builder, x: Value, slope: Constant) -> Value:
    axis = 1 if len(x.shape) > 1 else 0
    x = b.floats(x)
    if isinstance(slope, Constant) and slope.tensor.numel() > 1:
        x = b.channels_last(x, axis)
    return b.value(b.emit("prelu", x.name, b.vector(slope)), x.order)


@rule("aten.leaky_relu.default", "aten.leaky_relu_.default")
def leaky_relu(b: Builder, x: Value, slope=0.01) -> Value:
    return prelu(b, x, constant(torch.tensor([slope])))


@rule("aten.elu.default")
def elu(b: Builder, x, alpha=1.0, scale=1.0, input_scale=1.0) -> Value:
    if scale != 1 or input_scale != 1:
        raise b.unsupported("a scaled ELU", "use ELU with scale 1")
    below = b.float_op("mul", b.float_op("sub", b.float_op("exp", x), 1.0), float(alpha))
    positive = b.elementwise("compare", x, 0.0, dtypes=["float32"] * 2, op="gt")
    return b.elementwise("where", positive, x, below, dtypes=["bool", "float32", "float32"])


@rule("aten.gelu.default")
def gelu(b: Builder, x, approximate="none") -> Value:
    half = b.float_op("mul", x, 0.5)
    if approximate == "none":
        inner = b.float_op("erf", b.float_op("mul", x, math.sqrt(0.5)))
    else:
        cube = b.float_op("mul", b.float_op("mul", x, x), x)
        inner = b.float_op("add", x, b.float_op("mul", cube, 0.044715))
        inner = b.float_op("tanh", b.float_op("mul", inner, math.sqrt(2 / math.pi)))
    return b.float_op("mul", half, b.float_op("add", inner, 1.0))


@rule("aten.silu.default", "aten.silu_.default")
def silu(b: Builder, x) -> Value:
    return b.float_op("mul", x, b.float_op("sigmoid", x))


@rule("aten.hardsigmoid.default")
def hardsigmoid(b: Builder, x) -> Value:
    return b.float_op("div", hardtanh(b, b.float_op("add", x, 3.0), 0.0, 6.0), 6.0)


@rule("aten.hardswish.default", "aten.hardswish_.default")
def hardswish(b: Builder, x) -> Value:
    return b.float_op("mul", x, hardsigmoid(b, x))


@rule("aten.softmax.int", "aten._softmax.default", "aten._safe_softmax.default")
def softmax(b: Builder, x: Value, dim: int, *_, **__) -> Value:
    x = b.channels_last(b.floats(x), dim % len(x.shape))
    return b.value(b.emit("softmax", x.name), x.order)


@rule("aten.dropout.default", "aten.native_dropout.default")
def dropout(b: Builder, x, p, train) -> Value:
    if train and p > 0:
        raise b.unsupported("dropout that is on in evaluation mode", "switch it off")
    return x
