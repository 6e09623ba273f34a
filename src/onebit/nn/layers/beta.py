"""Noise before a stochastic unit: a centred Beta variable."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from onebit.core.errors import check_positive
from onebit.nn.layers.sparsity import check_share


class BetaLaw(NamedTuple):
    """The Beta distribution of :class:`BetaNoise`.

    Args:
        alpha, beta: its parameters.
        scale: what the centred variable is multiplied by.
    """

    alpha: float
    beta: float
    scale: float


def beta_law(beta: float = 40.1, sparsity: float = 0.1, ratio: float = 0.5) -> BetaLaw:
    """``alpha = (s (beta - 2) + 1) / (1 - s)``, which puts the mode at s; scale ``|ln(1/r0 - 1)|``, r0 = s^(1/ratio).

    Example:
        >>> alpha, beta, scale = beta_law()
        >>> round((alpha - 1) / (alpha + beta - 2), 9), round(scale, 3)
        (0.1, 4.595)
    """
    check_share("sparsity", sparsity)
    check_share("ratio", ratio)
    if check_positive("beta", beta) <= 1:
        raise ValueError(f"beta must be above 1, so that there is a mode, got {beta}")
    alpha = (sparsity * (beta - 2) + 1) / (1 - sparsity)
    scale = abs(float(torch.logit(torch.tensor(sparsity ** (1 / ratio), dtype=torch.float64))))
    return BetaLaw(alpha, beta, scale)


class BetaNoise(nn.Module):
    """Noise before a stochastic unit that keeps its decisions apart: ``a + scale (Beta(alpha, beta) - 1/2)``.

    In evaluation the mean of the noise stands in for it.

    Args:
        beta, sparsity, ratio: of :func:`beta_law`; ratio is that of the unit behind it.
        generator: the random stream; ``None``: PyTorch's own.

    Reference: [Bengio2013].

    Example:
        >>> BetaNoise().eval()(torch.zeros(1))  # 4.595 (5.344 / 45.444 - 1/2)
        tensor([-1.7572])
    """

    def __init__(
        self, beta: float = 40.1, sparsity: float = 0.1, ratio: float = 0.5, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.law, self.generator = beta_law(beta, sparsity, ratio), generator

    def forward(self, a: Tensor) -> Tensor:
        alpha, beta, scale = self.law
        if not self.training:
            return a + scale * (alpha / (alpha + beta) - 0.5)
        # a Beta variable is a Gamma variable's share of two
        first, second = (torch._standard_gamma(a.new_full(a.shape, k), self.generator) for k in (alpha, beta))
        return a + scale * (first / (first + second) - 0.5)

    def extra_repr(self) -> str:
        return f"alpha={self.law.alpha:.4g}, beta={self.law.beta}, scale={self.law.scale:.4g}"
