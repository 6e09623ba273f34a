"""Weather and light: what lies between the scene and the camera."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from onebit.data.corruptions.draws import Draws, registry


@registry.register("fog")
def fog(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """``(1 - t) x + t f``: a share ``t`` of .2, .35, .45, .55, .65 is fog ``f``, patches of light and dark
    [Hendrycks2019].

    The fog is a sum of random grids of 2, 3, 5 and 9 points a side, interpolated, each weighing half as much as the one
    before, stretched to 0..1; one for all channels. Ours: these grids in place of the diamond-square fractal.
    """
    sizes = (2, 3, 5, 9)
    values = draws.uniform(sum(size * size for size in sizes)).split([size * size for size in sizes], 1)
    fields = [
        F.interpolate(value.view(-1, 1, size, size), x.shape[2:], mode="bilinear", align_corners=True) / 2**octave
        for octave, (size, value) in enumerate(zip(sizes, values))
    ]
    field = sum(fields, torch.zeros(()))
    low, high = field.amin((2, 3), keepdim=True), field.amax((2, 3), keepdim=True)
    share = (0.2, 0.35, 0.45, 0.55, 0.65)[severity - 1]
    return (1 - share) * x + share * ((field - low) / (high - low).clamp(min=1e-6))


@registry.register("brightness")
def brightness(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """``x + b``, ``b`` of .1, .2, .3, .4, .5 [Hendrycks2019]."""
    return x + severity / 10


@registry.register("contrast")
def contrast(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """``m + c (x - m)``: about the channel's mean ``m``, contrast ``c`` of .75, .6, .45, .3, .2 [Hendrycks2019]."""
    mean = x.double().mean((2, 3), keepdim=True).float()
    return mean + (0.75, 0.6, 0.45, 0.3, 0.2)[severity - 1] * (x - mean)
