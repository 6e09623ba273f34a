"""Scaled dot-product attention, written out."""

from __future__ import annotations

import math

import torch

from onebit.capture.builder import Builder
from onebit.capture.rules.activations import softmax
from onebit.capture.rules.linear import matmul
from onebit.capture.rules.table import rule
from onebit.capture.values import Value, constant


@rule("aten.scaled_dot_product_attention.default")
def attention(b: Builder, q, k, v, mask=None, dropout=0.0, is_causal=False, scale=None, enable_gqa=False) -> Value:
    """``softmax(q k^T * scale + mask) v``; where a boolean mask hides every key, the result is 0."""
    q, k, v = b.floats(q), b.floats(k), b.floats(v)
    if dropout:
        raise b.unsupported("attention with dropout in evaluation mode", "switch it off")
    if enable_gqa:
        k, v = (_repeat_heads(b, x, q.shape[-3]) for x in (k, v))
    queries, keys, features = q.shape[-2], k.shape[-2], q.shape[-1]
    axes = list(range(len(k.shape)))
    axes[-1], axes[-2] = axes[-2], axes[-1]
    scores = matmul(b, q, b.permute(k, axes))
    scores = b.float_op("mul", scores, scale if scale is not None else 1 / math.sqrt(features))
    if is_causal:
        if isinstance(queries, str) or isinstance(keys, str):
            raise b.unsupported("a causal mask over a dynamic size", "make that size static")
        mask = constant(torch.ones(queries, keys, dtype=torch.bool).tril())
    boolean = mask is not None and (
        mask.dtype == "bool" if isinstance(mask, Value) else mask.tensor.dtype == torch.bool
    )
    if mask is None:
        weights = softmax(b, scores, -1)
    elif boolean:
        picked = b.elementwise("where", mask, scores, -math.inf, dtypes=["bool", "float32", "float32"])
        weights = softmax(b, picked, -1)
        if isinstance(mask, Value) or not bool(mask.tensor.any(-1).all()):
            weights = b.elementwise("where", mask, weights, 0.0, dtypes=["bool", "float32", "float32"])
    else:
        weights = softmax(b, b.float_op("add", scores, mask), -1)
    return matmul(b, weights, v)


def _repeat_heads(b: Builder, x: Value, heads) -> Value:
    """Each head of ``x`` as often as makes ``heads`` of them."""
    have = x.shape[-3]
    if have == heads:
        return x
    axis = len(x.shape) - 2
    x = b.unsqueeze(x, axis)
    x = b.spread(x, (*x.shape[:axis], heads // have, *x.shape[axis + 1 :]))
    return b.reshape(x, (*x.shape[: axis - 1], heads, *x.shape[axis + 1 :]))
