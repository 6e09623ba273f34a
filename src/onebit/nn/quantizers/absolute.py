"""Scales that are read off absolute values: ternary weights by the mean, integers of each token by the maximum."""

from __future__ import annotations

import torch
from torch import Tensor

from onebit.core.errors import check_positive
from onebit.nn.operators import Round
from onebit.nn.quantizers.base import Encoded, Quantizer, mean_abs
from onebit.nn.quantizers.dorefa import _check_bits
from onebit.nn.quantizers.registry import activation_registry, weight_registry


class AbsmeanWeight(Quantizer):
    """``w -> s * clamp(round_half_even(w / s), -1, 1)`` with one ``s = max(mean|w|, eps)`` for the tensor.

    Backward: straight through, ``dL/dw = G``; the scale takes no part.

    Args:
        eps: the smallest scale, above 0: a tensor of zeros has codes 0.

    Shape: ``(O, ...)``, floating point.

    Reference: [Ma2024].

    Example:
        >>> AbsmeanWeight()(torch.tensor([[0.5, -0.25, 1.0, -1.25]]))
        tensor([[ 0.7500,  0.0000,  0.7500, -0.7500]])
    """

    num_bits = 2

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = float(check_positive("eps", eps))
        self.round = Round(-1, 1)

    def encode(self, x: Tensor) -> Encoded:
        scale = mean_abs(x.detach()).clamp(min=self.eps)
        return Encoded(self.round(x / scale), scale)

    def forward(self, x: Tensor) -> Tensor:
        return straight_through(self, x)

    def extra_repr(self) -> str:
        return f"eps={self.eps}"


class AbsmaxActivation(Quantizer):
    """``x -> s * round_half_even(x / s)``, a scale for each token: ``s = max(max|x|, eps) / n``, ``n = 2^(k-1) - 1``.

    A token is a row, the last axis, of a linear layer's input; of a convolution's it is a sample. The scale is read off
    every input, in training and afterwards: there is nothing to calibrate, and a token does not depend on the others.
    Codes are ``-n..n``; one of zeros has codes 0. Backward: straight through, ``dL/dx = G`` (nothing is clipped); the
    scale takes no part.

    Args:
        num_bits: k, 2..8.
        eps: the smallest maximum, above 0.

    Shape: ``(..., C)`` or ``(N, C, ...)``, as attached.

    Reference: [Ma2024].

    Example:
        >>> quantizer = AbsmaxActivation(num_bits=4)
        >>> quantizer.attach(torch.empty(0, 3), -1)
        >>> quantizer(torch.tensor([[0.6, 2.5, 7.0], [0.0, 0.3, -0.7]]))
        tensor([[ 1.0000,  2.0000,  7.0000],
                [ 0.0000,  0.3000, -0.7000]])
    """

    def __init__(self, num_bits: int = 8, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_bits = _check_bits(num_bits, 2, 8)
        self.high: int = 2 ** (num_bits - 1) - 1
        self.eps = float(check_positive("eps", eps))
        self.round = Round(-self.high, self.high)
        self.channel_dim = -1

    def attach(self, reference: Tensor, channel_dim: int) -> None:
        self.channel_dim = channel_dim

    def encode(self, x: Tensor) -> Encoded:
        dims = -1 if self.channel_dim == -1 else tuple(range(1, x.dim()))
        scale = x.detach().abs().amax(dims, keepdim=True).clamp(min=self.eps) / self.high
        if torch.compiler.is_exporting():
            return Encoded(torch.ops.onebit.quantize(x / scale, x.new_ones(()), 0, -self.high, self.high), scale)
        return Encoded(self.round(x / scale), scale)

    def forward(self, x: Tensor) -> Tensor:
        return straight_through(self, x)

    def extra_repr(self) -> str:
        return f"num_bits={self.num_bits}, eps={self.eps}"


def straight_through(quantizer: Quantizer, x: Tensor) -> Tensor:
    """What the codes of ``x`` stand for, with the gradient of ``x`` itself."""
    codes, scale, *_ = quantizer.encode(x)
    return codes.detach() * scale + (x - x.detach())


for _name in ("absmean", "bitnet"):
    weight_registry.add(_name, AbsmeanWeight)
for _name in ("absmax", "bitnet"):
    activation_registry.add(_name, AbsmaxActivation)
