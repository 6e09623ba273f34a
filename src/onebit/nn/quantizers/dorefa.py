"""DoReFa: weights squeezed by tanh, activations clamped to [0, 1], both in k bits."""

from __future__ import annotations

import torch
from torch import Tensor

from onebit.nn.operators import Round
from onebit.nn.quantizers.activation import BinaryActivation
from onebit.nn.quantizers.base import Encoded, Quantizer, smallest
from onebit.nn.quantizers.binary import BinaryWeight
from onebit.nn.quantizers.registry import activation_registry, weight_registry


class DoReFaWeight(Quantizer):
    """``w -> 2 q(tanh(w) / (2 max|tanh(w)|) + 1/2) - 1`` with ``q(x) = round(n x) / n``, ``n = 2^k - 1``.

    The codes are the odd integers ``2 round(n x) - n`` in ``[-n, n]`` and the scale is ``1/n``, so that they fit int8.
    Backward: through tanh and the maximum, straight through the rounding.

    Args:
        num_bits: k, 2..7 (1 bit is :class:`BinaryWeight`).

    Shape: any, floating point. All zeros (below 1e-30) give the middle, rounded up, undivided.
    One NaN makes all codes the lowest.

    Reference: [Zhou2016].

    Example:
        >>> DoReFaWeight(2)(torch.tensor([-3.0, -0.1, 0.1, 3.0])).mul(3).round()
        tensor([-3., -1.,  1.,  3.])
    """

    def __init__(self, num_bits: int = 2) -> None:
        super().__init__()
        self.num_bits = _check_bits(num_bits, 2, 7)
        self.n = 2**num_bits - 1
        self.round = Round(0, self.n)

    def encode(self, x: Tensor) -> Encoded:
        squeezed = torch.tanh(x)
        top = squeezed.abs().max()
        half = squeezed / torch.where(top < smallest(x.dtype), torch.ones_like(top), 2 * top) + 0.5
        return Encoded(2 * self.round(half * self.n) - self.n, x.new_tensor(1 / self.n))

    def extra_repr(self) -> str:
        return f"num_bits={self.num_bits}"


class DoReFaActivation(Quantizer):
    """``x -> round(n clamp(x, 0, 1)) / n`` with ``n = 2^k - 1``; codes 0..n. Backward: 1 inside [0, 1], else 0.

    Args:
        num_bits: k, 1..8.

    Reference: [Zhou2016].

    Example:
        >>> DoReFaActivation(1)(torch.tensor([-1.0, 0.4, 0.6, 7.0]))
        tensor([0., 0., 1., 1.])
    """

    def __init__(self, num_bits: int = 2) -> None:
        super().__init__()
        self.num_bits = _check_bits(num_bits, 1, 8)
        self.n = 2**num_bits - 1
        self.scaled = self.n != 1
        self.round = Round(0, self.n)

    def encode(self, x: Tensor) -> Encoded:
        return Encoded(self.round(x * self.n), x.new_tensor(1 / self.n))

    def extra_repr(self) -> str:
        return f"num_bits={self.num_bits}"


def _check_bits(value: int, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"num_bits must be an integer {low}..{high}, got {value!r}")
    return value


@weight_registry.register("dorefa")
def dorefa_weight(num_bits: int = 1) -> Quantizer:
    """DoReFa weights: 1 bit as BiBench has it (sign times the mean of ``|w|`` per channel), else
    :class:`DoReFaWeight`."""
    return BinaryWeight("clipped", "channel", "ignored") if num_bits == 1 else DoReFaWeight(num_bits)


@activation_registry.register("dorefa")
def dorefa_activation(num_bits: int = 1) -> Quantizer:
    """DoReFa activations: 1 bit as BiBench has it (sign), else :class:`DoReFaActivation`."""
    return BinaryActivation("clipped") if num_bits == 1 else DoReFaActivation(num_bits)
