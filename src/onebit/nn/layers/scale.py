"""Scales of a convolution's output that differ from pixel to pixel (XNOR-Net++, XNOR-Net)."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.core.errors import Unsupported
from onebit.nn.ops import conv_sums


class ScaleMap(nn.Module):
    """``y -> y * h[row] * v[column]``, two learned vectors that start at 1; in one dimension ``y * v[position]``.

    With a learned scale per output channel it is XNOR-Net++'s tensor of rank 1, ``alpha x beta x gamma``. The vectors
    have ``size`` entries, of which a map takes as many as it has rows and columns, so that a model is built before
    its maps are known; a packed network has one constant for the maps that it was captured with, and takes no others.

    Args:
        spatial: dimensions of the map, 1 or 2.
        size: of the vectors: the largest map.
        reference: a tensor on the device and of the dtype of the parameters.

    Shape: ``y: (N, O, L)`` or ``(N, O, H, W)`` to the same.

    Raises:
        ValueError: a map larger than ``size``.
        Unsupported: a packed network is to take maps of any size.

    References: [Bulat2019], [Qin2023].

    Example:
        >>> ScaleMap(2, 8)(torch.ones(1, 2, 3, 3), torch.empty(0)).shape
        torch.Size([1, 2, 3, 3])
    """

    rows: nn.Parameter | None

    def __init__(self, spatial: int, size: int, reference: Tensor | None = None) -> None:
        super().__init__()
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"size must be an integer of at least 1, got {size!r}")
        like = torch.empty(0) if reference is None else reference

        def ones() -> nn.Parameter:
            return nn.Parameter(torch.ones(size, device=like.device, dtype=like.dtype))

        self.register_parameter("rows", ones() if spatial == 2 else None)
        self.columns = ones()
        self.size = size

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        scale = self._part(self.columns, y.shape[-1])
        if self.rows is not None:
            scale = self._part(self.rows, y.shape[-2]).view(-1, 1) * scale
        return y * scale

    def _part(self, vector: Tensor, length: int) -> Tensor:
        if not isinstance(length, int):
            raise Unsupported("a map of scales needs maps of one size: make height and width static")
        if length > self.size:
            raise ValueError(f"size must be at least {length}, the size of this map, got {self.size}")
        return vector[:length]

    def extra_repr(self) -> str:
        return f"size={self.size}"


class MagnitudeMap(nn.Module):
    """``y -> y * K``, K the mean of ``|x|`` under the kernel at each output pixel.

    ``K = conv(mean over channels of |x|, box of the kernel's size)`` with the stride, padding and dilation of the
    layer, per group of channels; not differentiated. It is computed from every input, also in a packed network.

    Args:
        layer: the convolution whose output is scaled.

    Shape: ``y: (N, O, ...)``, ``x: (N, I, ...)``.

    Reference: [Rastegari2016].
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.spatial = layer.spatial
        self.kernel, self.stride, self.dilation = layer.kernel_size, layer.stride, layer.dilation
        self.groups, self.out_channels, self.padding_mode = layer.groups, layer.out_channels, layer.padding_mode
        self.sides = tuple(layer._reversed_padding_repeated_twice)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return y * self.scale(x.detach())

    def scale(self, x: Tensor) -> Tensor:
        """K: ``(N, O or 1, ...)``."""
        size = x.abs().unflatten(1, (self.groups, x.shape[1] // self.groups)).mean(2)
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        size = F.pad(size, self.sides, mode=mode) if any(self.sides) else size
        box = size.new_full((self.groups, 1, *self.kernel), 1 / functools.reduce(int.__mul__, self.kernel))
        none = [0] * (2 * self.spatial)
        means = conv_sums(size, box, list(self.stride), none, list(self.dilation), self.groups, 0)
        return means if self.groups == 1 else means.repeat_interleave(self.out_channels // self.groups, 1)
