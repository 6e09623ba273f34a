"""Blur: every pixel becomes a mean of its surroundings; beyond the edge the edge goes on."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from onebit.data.corruptions.draws import Draws, registry


def filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Correlation of images ``(n, C, H, W)`` with one kernel, or one for each, ``(1 or n, k, k)``, k odd.

    Tap by tap, so that an image's bits do not depend on how many come with it.
    """
    height, width = x.shape[2:]
    size = kernel.shape[-1]
    padded = F.pad(x, (size // 2,) * 4, mode="replicate")
    total = torch.zeros_like(x)
    for i in range(size):
        for j in range(size):
            weight = kernel[:, i, j]
            if weight.any():
                total += padded[:, :, i : i + height, j : j + width] * weight.view(-1, 1, 1, 1)
    return total


def places(radius: float) -> Tensor:
    """``-r..r``, ``r`` being ``radius`` rounded up: the distances of a kernel's taps from its centre; float64."""
    reach = math.ceil(radius)
    return torch.arange(-reach, reach + 1, dtype=torch.float64)


def _one(kernel: Tensor) -> Tensor:
    return (kernel / kernel.sum()).float()[None]


def _gaussian(deviation: float) -> Tensor:
    line = torch.exp(-((places(3 * deviation) / deviation) ** 2) / 2)
    return _one(line[:, None] * line)


@registry.register("defocus_blur")
def defocus_blur(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """The mean over a disc of radius .75, 1, 1.5, 2, 2.5 pixels, its edge soft over one pixel [Hendrycks2019].

    Ours: smaller than the discs for photographs of 224 pixels.
    """
    radius = (0.75, 1.0, 1.5, 2.0, 2.5)[severity - 1]
    at = places(radius + 0.5)
    return filtered(x, _one((radius + 0.5 - torch.hypot(at[:, None], at)).clamp(0, 1)))


@registry.register("box_blur")
def box_blur(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """The mean over a square of side 2, 3, 3, 5, 5 pixels about the pixel.

    Of an even side, half of the pixels at its edge: nothing is moved. Severity 3 is 2, and 5 is 4.
    """
    width = (2, 3, 3, 5, 5)[severity - 1]
    line = ((width + 1) / 2 - places(width / 2 - 0.5).abs()).clamp(0, 1)
    return filtered(x, _one(line[:, None] * line))


@registry.register("motion_blur")
def motion_blur(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """The mean along a line through the pixel, of length 2, 3, 4, 6, 8 pixels, at an angle of -45 to 45 degrees that
    each image has of its own [Hendrycks2019].

    Ours: the lengths, and that all points of the line weigh the same.
    """
    length = (2, 3, 4, 6, 8)[severity - 1]
    angle = (draws.uniform().double() - 0.5) * math.pi / 2
    along = torch.linspace(-length / 2, length / 2, 4 * length + 1, dtype=torch.float64)
    at = places(length / 2)
    y, x_ = ((1 - (f(angle)[:, None, None] * along - at[:, None]).abs()).clamp(min=0) for f in (torch.sin, torch.cos))
    return filtered(x, (y[:, :, None] * x_[:, None]).mean(-1).float())  # a point is shared out among its four pixels


@registry.register("zoom_blur")
def zoom_blur(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """The mean of the image enlarged by 8 factors from 1 to 1.1, 1.2, 1.3, 1.4, 1.5 [Hendrycks2019].

    Ours: factors twice as far from 1 as those of CIFAR-10-C, for the middle of the image, where digits are.
    """
    factors = torch.linspace(1, 1 + severity / 10, 8).tolist()
    return sum((moved(x, lattice(x) / factor) for factor in factors), torch.zeros_like(x)) / len(factors)


@registry.register("glass_blur")
def glass_blur(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """Every pixel shows another within .75, 1, 1.5, 2, 2.5 pixels of it each way, rounded, then a Gaussian blur of
    deviation .5 [Hendrycks2019].

    Ours: all pixels at once in place of one exchange after the other.
    """
    n, channels, height, width = x.shape
    steps = ((2 * draws.uniform(2, height, width) - 1) * (0.75, 1.0, 1.5, 2.0, 2.5)[severity - 1]).round().long()
    rows = (torch.arange(height)[:, None] + steps[:, 0]).clamp(0, height - 1)
    columns = (torch.arange(width) + steps[:, 1]).clamp(0, width - 1)
    chosen = (rows * width + columns).view(n, 1, -1).expand(-1, channels, -1)
    return filtered(x.flatten(2).gather(2, chosen).view_as(x), _gaussian(0.5))


def lattice(x: Tensor) -> Tensor:
    """Where the pixels of ``x`` ``(n, C, H, W)`` are: ``(H, W, 2)``, across and down, -1 to 1 from edge to edge."""
    down, across = (torch.linspace(-1, 1, size) for size in x.shape[2:])
    return torch.stack([across.expand(len(down), -1), down[:, None].expand(-1, len(across))], -1)


def moved(x: Tensor, points: Tensor) -> Tensor:
    """``x`` read at ``points`` ``(H, W, 2)`` or ``(n, H, W, 2)`` of :func:`lattice`, bilinearly."""
    grid = points.expand(len(x), *x.shape[2:], 2)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)
