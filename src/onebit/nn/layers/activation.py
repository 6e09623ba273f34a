"""Learned shifts and PReLU between shifts (ReActNet)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Shift(nn.Module):
    """``y = x + shift`` with one learned number per channel, 0 at the start.

    Args:
        channels: size of axis ``channel_dim``.
        channel_dim: 1 for images, -1 for the last axis.

    Shape: ``(N, C, ...)`` to the same.

    Reference: [Liu2020].
    """

    def __init__(self, channels: int, channel_dim: int = 1) -> None:
        super().__init__()
        self.channel_dim = channel_dim
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + per_channel(self.shift, x, self.channel_dim)

    def extra_repr(self) -> str:
        return f"{self.shift.numel()}, channel_dim={self.channel_dim}"


class RPReLU(nn.Module):
    """``y = prelu(x - before) + after``: shifts and slope learned per channel (0 and 0.25 at the start).

    Args:
        channels: size of axis ``channel_dim``.
        channel_dim: 1 for images, -1 for the last axis.

    Shape: ``(N, C, ...)`` to the same.

    Reference: [Liu2020].

    Example:
        >>> RPReLU(2)(torch.tensor([[-4.0, 3.0]]))
        tensor([[-1.,  3.]], grad_fn=...)
    """

    def __init__(self, channels: int, channel_dim: int = 1) -> None:
        super().__init__()
        self.channel_dim = channel_dim
        self.before = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), 0.25))
        self.after = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        z = x - per_channel(self.before, x, self.channel_dim)
        # torch's own PReLU knows axis 1 only; transposing is what makes it one node of the graph for the last axis too
        axis = self.channel_dim % x.dim()
        y = F.prelu(z, self.slope) if axis == 1 else F.prelu(z.transpose(1, axis), self.slope).transpose(1, axis)
        return y + per_channel(self.after, x, self.channel_dim)

    def extra_repr(self) -> str:
        return f"{self.slope.numel()}, channel_dim={self.channel_dim}"


def per_channel(values: Tensor, x: Tensor, channel_dim: int) -> Tensor:
    """``values (C,)`` in the shape that broadcasts along axis ``channel_dim`` of ``x``."""
    return values.view(-1, *[1] * (x.dim() - 1 - channel_dim % x.dim()))
