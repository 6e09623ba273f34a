"""Linear layers of bits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.nn.layers.quantized import Quantized, QuantizerLike


def linear_product(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T``, the custom operator while exporting."""
    return torch.ops.onebit.linear(x, weight) if torch.compiler.is_exporting() else F.linear(x, weight)


class Linear(Quantized, nn.Linear):
    """``y = Q_x(x) Q_w(W)^T + b``: a drop-in for ``torch.nn.Linear``.

    Args:
        in_features, out_features, bias, device, dtype: as in ``torch.nn.Linear``.
        weight_quantizer: a name (``"bnn"``, ``"biper"``, ...), a quantizer, a factory of one, or None for float
            weights.
        input_quantizer: the same for the input.
        output: a module ``output(y, x) -> y`` before the bias.

    Shape: ``(..., in_features) -> (..., out_features)``.

    Raises:
        KeyError: unknown quantizer name. ValueError: an input of the wrong size.

    Example:
        >>> layer = Linear(8, 4, weight_quantizer="bnn", input_quantizer="sign", bias=False).eval()
        >>> layer(torch.randn(2, 8)).abs().le(8).all()
        tensor(True)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        weight_quantizer: QuantizerLike = "binary",
        input_quantizer: QuantizerLike = "sign",
        output: nn.Module | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.attach(weight_quantizer, input_quantizer, output)

    def input_channels(self) -> int:
        return self.in_features

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return linear_product(x, weight)


class TransposedLinear(Quantized):
    """A linear layer whose weight is ``(in_features, out_features)``: what Hugging Face calls ``Conv1D``.

    Made by ``quantize_`` from such a layer (:meth:`from_float`), whose parameters it holds. The quantizer sees the
    transposed weight, output channels first.

    Shape: ``(..., in_features) -> (..., out_features)``.
    """

    weight: Tensor

    def latent_weight(self) -> Tensor:
        return self.weight.t()

    def input_channels(self) -> int:
        return self.weight.shape[0]

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return linear_product(x, weight)
