"""Norms in evaluation mode."""

from __future__ import annotations

import torch

from onebit.capture.builder import Builder
from onebit.capture.rules.table import rule
from onebit.capture.values import Value, constant


@rule("aten._native_batch_norm_legit_no_training.default")
def batch_norm(b: Builder, x: Value, weight, bias, mean, var, momentum, eps) -> tuple[Value, None, None]:
    x = b.channels_last(b.floats(x))
    channels = mean.tensor.numel()
    weight = constant(torch.ones(channels)) if weight is None else weight
    bias = constant(torch.zeros(channels)) if bias is None else bias
    vectors = [b.vector(vector) for vector in (weight, bias, mean, var)]
    return b.value(b.emit("batch_norm", x.name, *vectors, eps=float(eps)), x.order), None, None


@rule("aten.batch_norm.default")
def batch_norm_call(b: Builder, x, weight, bias, mean, var, training, momentum, eps, *_) -> Value:
    if training or mean is None:
        raise b.unsupported("batch norm that uses the statistics of the batch", "keep running statistics")
    return batch_norm(b, x, weight, bias, mean, var, momentum, eps)[0]


@rule("aten.layer_norm.default")
def layer_norm(b: Builder, x: Value, shape, weight=None, bias=None, eps=1e-5, *_) -> Value:
    size = torch.Size(shape).numel()
    whole = x.shape
    x = b.floats(x)
    x = (
        b.reshape(x, (*whole[: len(whole) - len(shape)], size))
        if len(shape) > 1
        else b.channels_last(x, len(whole) - 1)
    )
    weight = constant(torch.ones(size)) if weight is None else weight
    bias = constant(torch.zeros(size)) if bias is None else bias
    y = b.value(b.emit("layer_norm", x.name, b.vector(weight), b.vector(bias), eps=float(eps)), x.order)
    return b.reshape(y, whole) if len(shape) > 1 else y


@rule("aten.native_layer_norm.default")
def native_layer_norm(b: Builder, x, shape, weight, bias, eps) -> tuple[Value, None, None]:
    return layer_norm(b, x, shape, weight, bias, eps), None, None
