"""Reductions and normalisations."""

from __future__ import annotations

import math

import numpy as np
import torch

from onebit.capture.onnx.call import Call, rule
from onebit.capture.rules import normalization, reductions
from onebit.capture.values import Value, constant
from onebit.ir import dim as dims


def _reduce(name: str, op: str) -> None:
    @rule(name)
    def reduce(call: Call):
        if call.dtype != "float32":
            raise call.unsupported(f"a reduction of {call.dtype}", "convert to float32 first")
        axes = call.integers("axes", 1)
        if not axes and call.attributes.get("noop_with_empty_axes", 0):
            return call.value(0)
        return reductions.reduce(call.b, op, call.value(0), axes, bool(call.attributes.get("keepdims", 1)))


for _name, _op in (("ReduceMean", "mean"), ("ReduceSum", "sum"), ("ReduceMax", "max"), ("ReduceMin", "min")):
    _reduce(_name, _op)


def _vector(call: Call, index: int, what: str, size: int):
    found = call.needed(index, what).astype(np.float32)
    return constant(torch.from_numpy(np.broadcast_to(found.reshape(-1), (size,)).copy()))


@rule("BatchNormalization")
def batch_norm(call: Call) -> Value:
    x, eps = call.value(0), call.attributes.get("epsilon", 1e-5)
    if call.attributes.get("training_mode", 0) or len(x.shape) < 2 or not isinstance(x.shape[1], int):
        raise call.unsupported("a batch norm that uses the statistics of the batch", "export in evaluation mode")
    vectors = [_vector(call, index, "a statistic", x.shape[1]) for index in (1, 2, 3, 4)]
    return normalization.batch_norm(call.b, x, *vectors, 0.0, eps)[0]


@rule("LayerNormalization")
def layer_norm(call: Call) -> Value:
    x = call.value(0)
    axis = call.attributes.get("axis", -1) % len(x.shape)
    shape = x.shape[axis:]
    if not all(isinstance(size, int) for size in shape) or call.outputs > 1:
        raise call.unsupported("a layer norm over a dynamic size, or its statistics", "make that size static")
    sizes = [dims.evaluate(size, {}) for size in shape]
    weight = _vector(call, 1, "a scale", math.prod(sizes))
    bias = _vector(call, 2, "a bias", math.prod(sizes)) if call.has(2) else None
    return normalization.layer_norm(call.b, x, sizes, weight, bias, call.attributes.get("epsilon", 1e-5))


def written_out(call: Call) -> Value | None:
    """A layer norm over the last axis where an ``Add`` ends its definition: ``(d / sqrt(v + eps)) * weight + bias``,
    where ``d = x - mean(x)`` and ``v = mean(d * d)``; None for another one."""
    mul = call.maker(0, "Mul")
    div = mul.maker(0, "Div") if mul is not None else None
    root = div.maker(1, "Sqrt") if div is not None else None
    add = root.maker(0, "Add") if root is not None else None
    if mul is None or div is None or add is None:
        return None
    weight, bias, eps = mul.constant(1), call.constant(1), add.constant(1)
    off, variance = div.known(0).value, add.known(0).value
    if weight is None or bias is None or eps is None or not isinstance(off, Value) or not isinstance(variance, Value):
        return None
    b, last = call.b, len(off.shape) - 1
    difference, square = b.producer(off.name), _mean_of(call, variance.name)
    product = b.producer(square) if square is not None else None
    if difference is None or product is None or (difference.kind, product.kind) != ("sub", "mul"):
        return None
    x, mean = difference.inputs
    if {*product.inputs} != {off.name} or _mean_of(call, mean) != x or off.order[-1] != last or eps.size != 1:
        return None
    number = eps.reshape(()).item()
    if weight.shape != off.shape[-1:] or bias.shape != off.shape[-1:] or not 0 <= number < math.inf:
        return None
    names = [b.vector(constant(torch.from_numpy(vector.copy()))) for vector in (weight, bias)]
    return b.value(b.emit("layer_norm", x, *names, eps=number), off.order)


def _mean_of(call: Call, name: str) -> str | None:
    """What a value is the mean of, over an axis that it keeps."""
    made = call.b.producer(name)
    mean = made is not None and made.kind == "reduce" and made.attributes["op"] == "mean"
    return made.inputs[0] if made is not None and mean and made.attributes.get("keepdims") else None
