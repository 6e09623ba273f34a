"""Layers of few-bit integers whose input has a bound for each channel, and convolutions with TensorFlow's padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.core.errors import check_positive
from onebit.nn.layers.conv import Conv2d
from onebit.nn.layers.linear import Linear
from onebit.nn.layers.quantized import Quantized, QuantizerLike
from onebit.nn.ops import conv_sums
from onebit.nn.quantizers.base import smallest, start_from


class _Bounded(Quantized):
    """``product(Q_x(x / B), Q_w(weight B)) + bias`` with a bound ``B_c`` for each input channel.

    B_c is the larger magnitude of the running maximum and the running minimum of the channel, over the batches seen in
    training: the first batch, then ``m += momentum (new - m)``. Dividing the input and multiplying the weight by it
    changes nothing but what is rounded, and leaves sums of integers, which a scale for each channel of the input alone
    would not: the published code multiplies dequantized tensors, here ``Q_w`` sees ``weight B``.
    """

    extremes: Tensor
    initialized: Tensor
    weight: Any

    def __init__(self, *arguments: Any, momentum: float = 0.1, **settings: Any) -> None:
        if check_positive("momentum", momentum) > 1:
            raise ValueError(f"momentum must be above 0 and at most 1, got {momentum}")
        super().__init__(*arguments, **settings)
        self.momentum = float(momentum)

    def attach(
        self, weight_quantizer: QuantizerLike, input_quantizer: QuantizerLike, output: nn.Module | None = None
    ) -> None:
        start = torch.ones(2, self.input_channels(), device=self.weight.device, dtype=self.weight.dtype)
        self.register_buffer("extremes", start)  # largest and smallest value of each channel
        self.register_buffer("initialized", torch.tensor(False, device=self.weight.device))
        super().attach(weight_quantizer, input_quantizer, output)

    def bound(self) -> Tensor:
        """B, ``(C,)``, above 0."""
        return self.extremes.abs().amax(0).clamp(min=smallest(self.extremes.dtype))

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Move the bounds towards the range of the batch ``x``; one that holds NaN or an infinity moves nothing."""
        if not x.numel():
            return
        dims = tuple(d for d in range(x.dim()) if d != self.channel_dim % x.dim())
        new = torch.stack([x.amax(dims), x.amin(dims)]).to(self.extremes.dtype)
        follow = self.initialized & torch.isfinite(new).all()
        self.extremes.copy_(torch.where(follow, self.extremes + self.momentum * (new - self.extremes), self.extremes))
        start_from(self.initialized, self.extremes, new)

    def latent_weight(self) -> Tensor:
        weight = super().latent_weight()
        groups, (outputs, inputs) = getattr(self, "groups", 1), weight.shape[:2]
        bound = self.bound().view(groups, 1, inputs).expand(groups, outputs // groups, inputs)
        return weight * bound.reshape(outputs, inputs, *[1] * self.spatial)

    def compute(self, x: Tensor) -> Tensor:
        if self.training and not torch.compiler.is_exporting():
            self.observe(x)
        return super().compute(x / self.bound().view(-1, *[1] * self.spatial))


class BoundedConv2d(_Bounded, Conv2d):
    """A :class:`Conv2d` of integers of few bits, its input divided by a running bound of each channel.

    Args:
        in_channels, ..., pad_value: as in :class:`Conv2d`; the input quantizer is for numbers in [-1, 1]
            (:class:`~onebit.nn.quantizers.FixedRange`), or None for a float product.
        momentum: of the running bounds, above 0 and at most 1.

    Shape: ``(N, in_channels, H, W) -> (N, out_channels, H', W')``.

    Reference: [Zhang2022].

    Example:
        >>> from onebit.nn.quantizers import FixedRange, UniformWeight
        >>> layer = BoundedConv2d(3, 8, 3, weight_quantizer=UniformWeight(8), input_quantizer=FixedRange(8))
        >>> layer(torch.randn(2, 3, 5, 5)).shape
        torch.Size([2, 8, 3, 3])
    """


class BoundedLinear(_Bounded, Linear):
    """A :class:`Linear` of integers of few bits, its input divided by a running bound of each channel.

    Arguments as in :class:`Linear`, and ``momentum`` as in :class:`BoundedConv2d`.

    Shape: ``(..., in_features) -> (..., out_features)``.

    Reference: [Zhang2022].

    Example:
        >>> from onebit.nn.quantizers import FixedRange, UniformWeight
        >>> layer = BoundedLinear(3, 8, weight_quantizer=UniformWeight(8), input_quantizer=FixedRange(8))
        >>> layer(torch.randn(2, 3)).shape
        torch.Size([2, 8])
    """


def same_padding(sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> list[int]:
    """Padding with which a map of ``sizes`` becomes ``ceil(size / stride)``: top, bottom, left, right.

    Where the sum is odd the larger part comes after, as in TensorFlow and JAX: (0, 1) for a kernel of 3 with stride 2
    on an even size, where PyTorch's ``padding=1`` has (1, 1).

    Example:
        >>> same_padding((8, 7), (3, 3), (2, 2))
        [0, 1, 1, 1]
    """
    sides = []
    for size, k, s in zip(sizes, kernel, stride):
        total = max(0, (-(-size // s) - 1) * s + k - size)
        sides += [total // 2, total - total // 2]
    return sides


def _torch_order(padding: Sequence[int]) -> list[int]:
    """Top, bottom, left, right as ``F.pad`` takes it."""
    return [*padding[2:], *padding[:2]]


class SameConv2d(nn.Conv2d):
    """A float convolution padded by :func:`same_padding`.

    Shape: ``(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))``.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, _torch_order(_padding(self, x))))


class SameQuantizedConv2d(Conv2d):
    """A :class:`Conv2d` padded with zeros, after its input has become codes, by :func:`same_padding`.

    Shape: ``(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))``.
    """

    any_size = False

    def check_input(self, x: Tensor) -> None:
        Quantized.check_input(self, x)  # no map is too small

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        product = torch.ops.onebit.conv if torch.compiler.is_exporting() else conv_sums
        padding = _padding(self, x)
        return product(x, weight, list(self.stride), padding, list(self.dilation), self.groups, self.pad_value)


def _padding(conv: Any, x: Tensor) -> list[int]:
    return same_padding(x.shape[2:], conv.kernel_size, conv.stride)
