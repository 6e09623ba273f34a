"""Scaled dot-product attention of bits."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from onebit.nn.layers.quantized import QuantizerLike, fresh, keep_own
from onebit.nn.quantizers import DoReFaActivation, Quantizer, build_activation


class DotProductAttention(nn.Module):
    """``softmax(Q(q) Q(k)^T / sqrt(d) + mask) Q(v)`` in each of several heads of ``d = embed_dim / num_heads`` numbers.

    Queries, keys and values have a quantizer each: with signs, a score is one of d + 1 numbers. The softmax is float;
    the weights that it gives to the values are then rounded to 8 bits, so that their sums over signs are exact: where
    values cancel out, the sign of the sum is no matter of rounding. (BiBench [Qin2023] has a step in place of the
    softmax, through which queries and keys get no gradient.)

    Args:
        embed_dim: of queries, keys and values, a multiple of num_heads.
        num_heads: 1 or more.
        quantizer: a name, a factory or a quantizer, which is copied for each of the three; None: float.

    Shape: query ``(N, L, embed_dim)``, key and value ``(N, S, embed_dim)``, padding ``(N, S)`` bool, True where nobody
    attends to, to ``(N, L, embed_dim)``. Where all is padding, all of it is attended to.

    Example:
        >>> q, k, v = torch.randn(3, 2, 5, 8)
        >>> y = DotProductAttention(8, 2, "sign")(q, k, v)  # means of signs, 5 weights rounded by up to 1 / 510
        >>> tuple(y.shape), bool(y.abs().max() < 1.01)
        ((2, 5, 8), True)
    """

    def __init__(self, embed_dim: int, num_heads: int, quantizer: QuantizerLike = "sign") -> None:
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"embed_dim must be a multiple of num_heads = {num_heads}, got {embed_dim}")
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.quantizers = nn.ModuleList()
        for _ in range(3):
            made = build_activation(fresh(quantizer))
            if made is not None:
                made.attach(torch.empty(0, embed_dim), -1)
                self.quantizers.append(made)

        self.weights = DoReFaActivation(8) if self.quantizers else None

    def forward(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None = None) -> Tensor:
        operands = [query, key, value]
        if self.quantizers:
            operands = [cast(Quantizer, quantizer)(x) for quantizer, x in zip(self.quantizers, operands)]
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in operands)
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        if padding is not None:
            scores = scores.masked_fill(padding[:, None, None, :], -1e30)  # not -inf: all of a row may be padding
        weights = torch.softmax(scores, -1)
        if self.weights is None:
            return (weights @ v).transpose(1, 2).flatten(2)
        codes, scale, *_ = self.weights.encode(weights)
        return (codes @ v * scale).transpose(1, 2).flatten(2)

    def _load_from_state_dict(self, state_dict, prefix, *arguments) -> None:
        keep_own(self, ("quantizers",), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, {self.num_heads}"
