"""What happens on the way from the camera to the network: bending, coarse pixels, JPEG, something in front."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from onebit.core.errors import require
from onebit.data.corruptions.blur import lattice, moved
from onebit.data.corruptions.draws import Draws, registry


@registry.register("elastic")
def elastic(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """The image bent smoothly: displacements of deviation .015, .03, .045, .06, .075 of the side [Simard2003]
    [Hendrycks2019].

    Ours: drawn at 4x4 points and interpolated bicubically between them.
    """
    size = (x.shape[2], x.shape[3])
    bends = F.interpolate(draws.normal(2, 4, 4), size, mode="bicubic", align_corners=True)
    return moved(x, lattice(x) + 2 * 0.015 * severity * bends.permute(0, 2, 3, 1))


@registry.register("pixelate")
def pixelate(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """Larger pixels, by a factor of 1.25, 1.5, 2, 2.5, 3 each way or the nearest of which a whole number fits in:
    means over their areas, seen through the pixels of the image, those on a border in part [Hendrycks2019].
    """
    factor = (1.25, 1.5, 2.0, 2.5, 3.0)[severity - 1]
    for axis in (2, 3):
        shares = _shares(x.shape[axis], max(1, round(x.shape[axis] / factor)))
        # Pixel by pixel, not as one matrix product, whose last bits would depend on the number of images.
        total = torch.zeros_like(x)
        for line, share in zip(x.split(1, axis), shares.T):
            total += line * share.view(-1, *[1] * (3 - axis))
        x = total
    return x


def _shares(size: int, count: int) -> Tensor:
    """``(size, size)``: what each pixel of a line gets of each where ``count`` larger ones take their place."""
    ends = torch.arange(count + 1, dtype=torch.float64) * (size / count)
    at = torch.arange(size, dtype=torch.float64)[:, None]
    covered = (torch.minimum(ends[1:], at + 1) - torch.maximum(ends[:-1], at)).clamp(min=0)
    return (covered @ covered.T * (count / size)).float()


@registry.register("jpeg")
def jpeg(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """Written as JPEG of quality 60, 40, 25, 15, 8 and read again [Hendrycks2019]; the bits are those of the codec that
    Pillow has."""
    image = require("PIL.Image", "train", "JPEG")
    quality = (60, 40, 25, 15, 8)[severity - 1]
    pixels = (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    read = np.empty_like(pixels)
    for before, after in zip(pixels, read):
        file = io.BytesIO()
        image.fromarray(before[:, :, 0] if before.shape[2] == 1 else before).save(file, "JPEG", quality=quality)
        after[:] = np.asarray(image.open(file)).reshape(before.shape)
    return torch.from_numpy(read).permute(0, 3, 1, 2).float() / 255


@registry.register("occlusion")
def occlusion(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """A square of middle grey somewhere, its side 10, 20, 30, 40, 50 % of the image's shorter side [DeVries2017].

    Rounded, at least 1 pixel; all of it inside. The square of a severity contains that of the one below.
    """
    height, width = x.shape[2:]
    side = max(1, round(severity / 10 * min(height, width)))
    room = torch.tensor([height - side + 1, width - side + 1])
    first = (draws.uniform(2) * room).long().minimum(room - 1)  # a draw just below 1 may round up to it
    down, across = (
        (torch.arange(size) >= start[:, None]) & (torch.arange(size) < start[:, None] + side)
        for size, start in ((height, first[:, 0]), (width, first[:, 1]))
    )
    return torch.where((down[:, :, None] & across[:, None])[:, None], 0.5, x)
