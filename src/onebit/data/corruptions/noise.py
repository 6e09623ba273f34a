"""Noise: every pixel and channel by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from onebit.data.corruptions.draws import Draws, registry


@registry.register("gaussian_noise")
def gaussian_noise(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """``x + s z``, ``z`` standard normal, deviation ``s`` of .04, .08, .12, .18, .26 [Hendrycks2019]."""
    return x + (0.04, 0.08, 0.12, 0.18, 0.26)[severity - 1] * draws.normal(*x.shape[1:])


@registry.register("shot_noise")
def shot_noise(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """``Poisson(c x) / c``: white is ``c`` of 300, 80, 35, 15, 7 photons [Hendrycks2019].

    Ours: so that middle grey gets about the deviation of ``gaussian_noise``. Black stays black. The one kind whose
    severities share no draws.
    """
    photons = (300, 80, 35, 15, 7)[severity - 1]
    return draws.poisson(x * photons) / photons


@registry.register("impulse_noise")
def impulse_noise(x: Tensor, severity: int, draws: Draws) -> Tensor:
    """A share of .01, .03, .06, .10, .17 of the values is 0 or 1, equally often [Hendrycks2019]."""
    hit, value = draws.uniform(2, *x.shape[1:]).unbind(1)
    return torch.where(hit < (0.01, 0.03, 0.06, 0.10, 0.17)[severity - 1], (value < 0.5).float(), x)
