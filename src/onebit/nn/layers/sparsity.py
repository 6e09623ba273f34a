"""Terms of the loss that keep a share of stochastic units off."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onebit.core.errors import check_positive, check_range
from onebit.nn.operators.stochastic import fine

EPSILON = 1e-6


def sparsity_cross_entropy(q: Tensor, target: float, weight: float = 1.0) -> Tensor:
    """``-weight sum_i [ s log(eps + q_i) + (1-s) log(eps + 1-q_i) ]``: least where every unit is on with chance s.

    Args:
        q: ``(U,)``, how often each unit is on, 0..1.
        target: s, between 0 and 1.
        weight: 0 or more.

    Returns:
        0-d; eps is 1e-6.

    Reference: [Bengio2013].

    Example:
        >>> q = torch.tensor([0.1, 0.5], requires_grad=True)
        >>> sparsity_cross_entropy(q, 0.1).backward()
        >>> q.grad.round(decimals=3)  # -s/q + (1-s)/(1-q)
        tensor([0.0000, 1.6000])
    """
    q = q.to(fine(q.dtype))
    off = (1 - target) * torch.log(EPSILON + 1 - q)
    return -weight * (target * torch.log(EPSILON + q) + off).sum()


class SparsityCrossEntropy(nn.Module):
    """:func:`sparsity_cross_entropy` of the batch mean of each unit's probability to be on.

    It moves the mean of a unit, not each decision: units that are on with chance s for every example satisfy it.

    Args:
        target: s, above 0 and below 1.
        weight: of the term in the loss.

    Reference: [Bengio2013].
    """

    def __init__(self, target: float = 0.1, weight: float = 1.0) -> None:
        super().__init__()
        self.target, self.weight = check_share("target", target), float(check_range("weight", weight, 0))

    def forward(self, h: Tensor, probability: Tensor) -> Tensor:
        return sparsity_cross_entropy(probability.mean(0), self.target, self.weight)

    def extra_repr(self) -> str:
        return f"target={self.target}, weight={self.weight}"


class AdaptiveL1(nn.Module):
    """``w sum |h|`` over examples and units, with a weight that follows how many units are on.

    With e the share of numbers in h that are not 0: where ``e > target + tolerance`` w is multiplied by ``1 + step``,
    where ``e < target - tolerance`` by ``1 - step``, and kept within [low, high]. Once a call in training.

    Args:
        target: share of the units that are on, above 0 and below 1.
        tolerance: around the target, 0 or more.
        step: above 0, below 1.
        start, low, high: of w, above 0.

    Reference: [Bengio2013].

    Example:
        >>> term = AdaptiveL1(target=0.1, start=1.0, high=2.0)
        >>> term(torch.ones(4, 5), torch.ones(4, 5)), term.weight  # all are on
        (tensor(22.), tensor(1.1000))
    """

    weight: Tensor

    def __init__(
        self,
        target: float = 0.1,
        tolerance: float = 0.01,
        step: float = 0.1,
        start: float = 1e-5,
        low: float = 1e-13,
        high: float = 1.0,
    ) -> None:
        super().__init__()
        self.target, self.tolerance = check_share("target", target), float(check_range("tolerance", tolerance, 0))
        self.step = check_share("step", step)
        self.low, self.high = float(check_positive("low", low)), float(check_positive("high", high))
        if not self.low <= check_positive("start", start) <= self.high:
            raise ValueError(f"start must be {low}..{high}, got {start}")
        self.register_buffer("weight", torch.tensor(float(start)))

    def forward(self, h: Tensor, probability: Tensor) -> Tensor:
        if self.training:
            self.follow(float((h != 0).double().mean()))
        return self.weight.clone() * h.abs().sum()

    def follow(self, share: float) -> None:
        """Move the weight once, for a batch in which ``share`` of the units were on."""
        if share > self.target + self.tolerance:
            self.weight.mul_(1 + self.step)
        elif share < self.target - self.tolerance:
            self.weight.mul_(1 - self.step)
        self.weight.clamp_(self.low, self.high)

    def extra_repr(self) -> str:
        return f"target={self.target}, tolerance={self.tolerance}, step={self.step}"


def check_share(name: str, value: float) -> float:
    """``value`` if it is above 0 and below 1, else ``ValueError``."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1:
        raise ValueError(f"{name} must be above 0 and below 1, got {value!r}")
    return float(value)
