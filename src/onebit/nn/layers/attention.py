"""Attention and the transformer encoder layer with projections of bits.

PyTorch's own take a fast path in eval mode that reads the parameters of their children and never calls them; these
never do.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.nn.layers.linear import Linear, linear_product
from onebit.nn.layers.quantized import QuantizerLike, fresh, keep_own, quantized_product, take_over
from onebit.nn.quantizers import Quantizer, build_activation, build_weight, centred

_PROJECTIONS = ("q", "k", "v")


class MultiheadAttention(nn.MultiheadAttention):
    """``torch.nn.MultiheadAttention`` with quantized projections of query, key, value and output.

    Each of the three input projections has a weight quantizer and an input quantizer of its own; ``out_proj`` is a
    :class:`Linear`. Scores and the weighted sum stay float. Parameter names are PyTorch's (``in_proj_weight``, ...).
    Without quantizers the outputs are PyTorch's.

    Args:
        embed_dim, num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, batch_first, device, dtype: as in
            ``torch.nn.MultiheadAttention``.
        weight_quantizer, input_quantizer: names, factories, or quantizers, which are copied for each projection.

    Shape: query ``(N, L, E)``, key ``(N, S, kdim)``, value ``(N, S, vdim)`` with ``batch_first``, else ``(L, N, E)``,
    ...; without a batch ``(L, E)``. Returns output and weights as PyTorch's does.

    Example:
        >>> layer = MultiheadAttention(8, 2, batch_first=True, weight_quantizer="binary", input_quantizer="sign")
        >>> x = torch.randn(3, 5, 8)
        >>> output, weights = layer(x, x, x)
        >>> output.shape, weights.shape
        (torch.Size([3, 5, 8]), torch.Size([3, 5, 5]))
    """

    weight_quantizers: nn.ModuleDict
    input_quantizers: nn.ModuleDict
    packed: Any  # as of Quantized, for each input projection

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *arguments: Any,
        weight_quantizer: QuantizerLike = "binary",
        input_quantizer: QuantizerLike = "sign",
        **settings: Any,
    ) -> None:
        super().__init__(embed_dim, num_heads, *arguments, **settings)
        self._attach(weight_quantizer, input_quantizer)

    @classmethod
    def from_float(
        cls, module: nn.MultiheadAttention, weight_quantizer: QuantizerLike, input_quantizer: QuantizerLike
    ) -> MultiheadAttention:
        """The same attention with quantizers; it holds the very parameters of ``module``."""
        layer = cls.__new__(cls)
        take_over(layer, module)
        layer._attach(weight_quantizer, input_quantizer)
        layer.train(module.training)
        return layer

    def _attach(self, weight_quantizer: QuantizerLike, input_quantizer: QuantizerLike) -> None:
        self.out_proj = Linear.from_float(  # type: ignore[assignment]
            self.out_proj, fresh(weight_quantizer), fresh(input_quantizer)
        )
        self.packed = None
        self.weight_quantizers = nn.ModuleDict()
        self.input_quantizers = nn.ModuleDict()
        with torch.no_grad():
            for name, weight in zip(_PROJECTIONS, self._weights()):
                if (of_weight := build_weight(fresh(weight_quantizer))) is not None:
                    of_weight.attach(weight, 0)
                    self.weight_quantizers[name] = of_weight
                if (of_input := build_activation(fresh(input_quantizer))) is not None:
                    of_input.attach(weight.new_empty(0, weight.shape[1]), -1)
                    self.input_quantizers[name] = of_input

    def _weights(self) -> tuple[Tensor, ...]:
        if self._qkv_same_embed_dim:
            return tuple(cast(Tensor, self.in_proj_weight).chunk(3))
        return cast(Tensor, self.q_proj_weight), cast(Tensor, self.k_proj_weight), cast(Tensor, self.v_proj_weight)

    def _biases(self) -> tuple[Tensor | None, ...]:
        return (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)

    def projection(self, name: str) -> Linear:
        """A layer that computes what the projection ``"q"``, ``"k"`` or ``"v"`` does, on the same numbers."""
        index = _PROJECTIONS.index(name)
        weight, bias = self._weights()[index], self._biases()[index]
        layer = Linear.__new__(Linear)
        nn.Module.__init__(layer)
        layer.out_features, layer.in_features = weight.shape
        layer.weight = weight.detach()  # type: ignore[assignment]
        layer.bias = None if bias is None else bias.detach()
        layer.weight_quantizer = cast(Quantizer, dict(self.weight_quantizers.items()).get(name))
        layer.input_quantizer = cast(Quantizer, dict(self.input_quantizers.items()).get(name))
        layer.output = layer.packed = None
        return layer.train(self.training)

    def train(self, mode: bool = True) -> MultiheadAttention:
        """As PyTorch's; what is trained is no longer accelerated."""
        if mode:
            self.packed = None
        return super().train(mode)

    def _project(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        outputs = []
        for name, x, weight, bias in zip(_PROJECTIONS, inputs, self._weights(), self._biases()):
            packed = None if self.packed is None or self.training else self.packed[name]
            if packed is not None and packed.takes(self, x):
                outputs.append(packed.run(self, x))
                continue
            of_input = cast(Quantizer, self.input_quantizers[name]) if name in self.input_quantizers else None
            of_weight = cast(Quantizer, self.weight_quantizers[name]) if name in self.weight_quantizers else None
            y = quantized_product(linear_product, x, weight, of_input, of_weight, [-1], self.training)
            outputs.append(y if bias is None else y + bias)
        return outputs

    def penalty(self) -> Tensor:
        """The regularisers of the three input projections (``out_proj`` answers for itself)."""
        total = torch.zeros(())
        for name, weight in zip(_PROJECTIONS, self._weights()):
            if name in self.weight_quantizers:
                total = total + cast(Quantizer, self.weight_quantizers[name]).penalty(weight)
        return total

    def forward(  # type: ignore[override]
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        batched = query.dim() == 3
        if query.dim() not in (2, 3) or key.dim() != query.dim() or value.dim() != query.dim():
            got = f"{query.dim()}, {key.dim()}, {value.dim()}"
            raise ValueError(f"query, key and value must have 2 or 3 dimensions each, got {got}")
        if is_causal and attn_mask is None:
            raise ValueError("is_causal=True is a hint about attn_mask and needs it: give the causal mask")
        inputs: tuple[Tensor, ...] = (query, key, value)
        if not batched:
            inputs = tuple(x.unsqueeze(0) for x in inputs)
        elif not self.batch_first:
            inputs = tuple(x.transpose(0, 1) for x in inputs)
        q, k, v = self._project(inputs)
        mask = self._mask(attn_mask, key_padding_mask, q, k.shape[1])
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(k.shape[0], 1, -1)], 1)
            v = torch.cat([v, self.bias_v.expand(v.shape[0], 1, -1)], 1)
            mask = _open_column(mask)
        if self.add_zero_attn:
            k, v = (torch.cat([x, x.new_zeros(x.shape[0], 1, x.shape[2])], 1) for x in (k, v))
            mask = _open_column(mask)
        q, k, v = (x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2) for x in (q, k, v))
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = q @ k.transpose(-2, -1) * self.head_dim**-0.5
            weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
            weights = F.dropout(weights, dropout) if dropout else weights
            heads = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            heads = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        output = self.out_proj(heads.transpose(1, 2).flatten(-2))
        if not batched:
            return output.squeeze(0), None if weights is None else weights.squeeze(0)
        return output if self.batch_first else output.transpose(0, 1), weights

    def _mask(self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor, keys: int) -> Tensor | None:
        """Both masks as one that is added to the scores: ``(N or 1, heads or 1, L, S)``."""
        mask = None
        if attn_mask is not None:
            mask = _additive(attn_mask, q.dtype)
            if mask.dim() == 3:
                if mask.shape[0] != q.shape[0] * self.num_heads:
                    raise ValueError(f"attn_mask must be (L, S) or (N * num_heads, L, S), got {tuple(attn_mask.shape)}")
                mask = mask.unflatten(0, (q.shape[0], self.num_heads))
            elif mask.dim() == 2:
                mask = mask[None, None]
            else:
                raise ValueError(f"attn_mask must be (L, S) or (N * num_heads, L, S), got {tuple(attn_mask.shape)}")
        if key_padding_mask is not None:
            if key_padding_mask.shape[-1] != keys:
                raise ValueError(f"key_padding_mask must be (N, {keys}), got {tuple(key_padding_mask.shape)}")
            padding = _additive(key_padding_mask.reshape(-1, 1, 1, keys), q.dtype)
            mask = padding if mask is None else mask + padding
        return mask

    def _load_from_state_dict(self, state_dict, prefix, *arguments) -> None:
        keep_own(self, ("weight_quantizers", "input_quantizers"), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


class TransformerEncoderLayer(nn.TransformerEncoderLayer):
    """``torch.nn.TransformerEncoderLayer`` with projections of bits, without PyTorch's fast path.

    Args:
        d_model, nhead, ...: as in ``torch.nn.TransformerEncoderLayer``.
        weight_quantizer, input_quantizer: as in :class:`MultiheadAttention`.
        hidden_quantizer: for the input of the second feed-forward layer, which cannot be negative after ReLU; without
            it, a sign with a centred shift after ReLU and ``input_quantizer`` after anything else.

    Shape: ``(N, L, d_model)`` with ``batch_first``, else ``(L, N, d_model)``.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        *arguments: Any,
        weight_quantizer: QuantizerLike = "binary",
        input_quantizer: QuantizerLike = "sign",
        hidden_quantizer: QuantizerLike = None,
        **settings: Any,
    ) -> None:
        super().__init__(d_model, nhead, *arguments, **settings)
        self._attach(weight_quantizer, input_quantizer, hidden_quantizer)

    @classmethod
    def from_float(
        cls,
        module: nn.TransformerEncoderLayer,
        weight_quantizer: QuantizerLike,
        input_quantizer: QuantizerLike,
        hidden_quantizer: QuantizerLike = None,
    ) -> TransformerEncoderLayer:
        """The same layer with quantizers; it holds the very parameters of ``module``."""
        layer = cls.__new__(cls)
        take_over(layer, module)
        layer._attach(weight_quantizer, input_quantizer, hidden_quantizer)
        layer.train(module.training)
        return layer

    def _attach(
        self, weight_quantizer: QuantizerLike, input_quantizer: QuantizerLike, hidden_quantizer: QuantizerLike
    ) -> None:
        if hidden_quantizer is None:
            hidden_quantizer = input_quantizer
            if self.hidden_is_non_negative and input_quantizer is not None:
                hidden_quantizer = _centred_input(input_quantizer)
        self.self_attn = MultiheadAttention.from_float(self.self_attn, weight_quantizer, input_quantizer)
        self.linear1 = Linear.from_float(self.linear1, fresh(weight_quantizer), fresh(input_quantizer))
        self.linear2 = Linear.from_float(self.linear2, fresh(weight_quantizer), fresh(hidden_quantizer))
        # what nn.TransformerEncoder reads to decide whether it may hand this layer nested tensors: it may not
        self.activation_relu_or_gelu = 0

    @property
    def hidden_is_non_negative(self) -> bool:
        """Whether the activation between the feed-forward layers is a ReLU."""
        return self.activation is F.relu or self.activation is torch.relu or isinstance(self.activation, nn.ReLU)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        if self.norm_first:
            x = src + self._sa_block(self.norm1(src), src_mask, src_key_padding_mask, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(src + self._sa_block(src, src_mask, src_key_padding_mask, is_causal))
        return self.norm2(x + self._ff_block(x))


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask (True: not allowed) as one that is added: 0 or minus infinity."""
    if mask.dtype == torch.bool:
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, float("-inf"))
    return mask.to(dtype)


def _open_column(mask: Tensor | None) -> Tensor | None:
    """One more key that everyone may attend to."""
    return None if mask is None else F.pad(mask, (0, 1))


def _centred_input(quantizer: QuantizerLike) -> Quantizer | None:
    built = build_activation(quantizer)
    return None if built is None else centred(built)
