"""The four custom operators that layers call while a program is being exported.

Capture finds them in the exported program and turns each into one kind of the graph. They have no autograd: outside
``torch.compiler.is_exporting()`` nothing calls them, and layers are ordinary differentiable code.

- ``onebit::sign(x)``: ``+1 if x >= 0 else -1``, in the dtype of ``x``.
- ``onebit::quantize(x, scale, zero_point, low, high)``: ``clamp(round_half_even(x / scale) + zero_point, low, high)``,
  integers in the dtype of ``x``; NaN gives ``zero_point``. ``scale`` broadcasts against ``x``.
- ``onebit::conv(x, weight, stride, padding, dilation, groups, pad_value)``: sums of a convolution without bias.
- ``onebit::linear(x, weight)``: sums of ``x @ weight.T``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def sign_of(x: Tensor) -> Tensor:
    """``+1 if x >= 0 else -1`` in the dtype of ``x``: zeros of both signs give +1, NaN gives -1.

    Example:
        >>> sign_of(torch.tensor([0.0, -0.0, float("nan"), -2.0]))
        tensor([ 1.,  1., -1., -1.])
    """
    return (x >= 0).to(x.dtype) * 2 - 1


def quantize_codes(x: Tensor, scale: Tensor | float, zero_point: int, low: float, high: float) -> Tensor:
    """``clamp(round_half_even(x / scale) + zero_point, low, high)`` in the dtype of ``x``; NaN gives ``zero_point``."""
    codes = torch.clamp(torch.round(x / scale) + zero_point, low, high)
    return torch.where(torch.isnan(codes), torch.full_like(codes, zero_point), codes)


def conv_sums(
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    pad_value: int,
) -> Tensor:
    """A convolution without bias in one or two spatial dimensions.

    Args:
        x: ``(N, C, L)`` or ``(N, C, H, W)``.
        weight: ``(O, C / groups, k)`` or ``(O, C / groups, kH, kW)``.
        stride, dilation: one integer per spatial dimension.
        padding: ``(left, right)`` or ``(top, bottom, left, right)``.
        groups: of channels.
        pad_value: what a tap in the padding reads: 0, +1 or -1.
    """
    before, after = padding[::2], padding[1::2]
    if any(padding) and (pad_value != 0 or tuple(before) != tuple(after)):
        pairs = [side for dim in reversed(range(len(before))) for side in (before[dim], after[dim])]
        x = F.pad(x, pairs, value=float(pad_value))
        before = [0] * len(before)
    conv = F.conv1d if weight.dim() == 3 else F.conv2d
    return conv(x, weight, None, list(stride), list(before), list(dilation), groups)


def conv_shape(
    x: Sequence[int], weight: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> list[int]:
    """The shape of :func:`conv_sums`: ``(N, O, ...)``."""
    spatial = [
        (size + padding[2 * i] + padding[2 * i + 1] - dilation[i] * (weight[2 + i] - 1) - 1) // stride[i] + 1
        for i, size in enumerate(x[2:])
    ]
    return [x[0], weight[0], *spatial]


@torch.library.custom_op("onebit::sign", mutates_args=())
def sign(x: Tensor) -> Tensor:
    """See :func:`sign_of`."""
    return sign_of(x)


@sign.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("onebit::quantize", mutates_args=())
def quantize(x: Tensor, scale: Tensor, zero_point: int, low: int, high: int) -> Tensor:
    """See :func:`quantize_codes`; ``scale`` broadcasts against ``x``."""
    return quantize_codes(x, scale, zero_point, low, high)


@quantize.register_fake
def _(x: Tensor, scale: Tensor, zero_point: int, low: int, high: int) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("onebit::conv", mutates_args=())
def conv(
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    pad_value: int,
) -> Tensor:
    """See :func:`conv_sums`."""
    return conv_sums(x, weight, stride, padding, dilation, groups, pad_value)


@conv.register_fake
def _(x, weight, stride, padding, dilation, groups, pad_value):
    return x.new_empty(conv_shape(x.shape, weight.shape, stride, padding, dilation))


@torch.library.custom_op("onebit::linear", mutates_args=())
def linear(x: Tensor, weight: Tensor) -> Tensor:
    """``(..., I), (O, I) -> (..., O)``: sums without a bias."""
    return F.linear(x, weight)


@linear.register_fake
def _(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty([*x.shape[:-1], weight.shape[0]])
