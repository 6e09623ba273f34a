"""Gradient estimators of stochastic units measured exactly, by enumeration of everything that can be drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from onebit.nn.operators.stochastic import NoisyThreshold, StochasticOperator

MOST_UNITS = 12
Loss = Callable[[Tensor], Tensor]  # (S, U) -> (S,)


def states(units: int) -> Tensor:
    """Every state of so many binary units: ``(2^units, units)`` of 0 and 1, float64, the last unit fastest.

    Example:
        >>> states(2).tolist()
        [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    if not isinstance(units, int) or isinstance(units, bool) or not 1 <= units <= MOST_UNITS:
        raise ValueError(f"units must be 1..{MOST_UNITS}, as 2^units states are enumerated, got {units!r}")
    bits = torch.arange(2**units)[:, None] >> torch.arange(units - 1, -1, -1)
    return (bits & 1).double()


def probabilities(q: Tensor) -> Tensor:
    """``P(state)`` of independent units that are on with probability ``q (U,)``: ``(2^U,)``; differentiable."""
    on = states(len(q)).bool()
    return torch.where(on, q, 1 - q).prod(1)


def exact_gradient(a: Tensor, loss: Loss, unit: StochasticOperator | None = None) -> Tensor:
    """``d E[L(h)] / d a``, float64, by enumeration of the states of h.

    Args:
        a: ``(U,)``, U at most 12.
        loss: ``(S, U) -> (S,)``, the loss of each state.
        unit: what draws h from a, an operator of two values; a Bernoulli unit of probability ``sigmoid(a)`` if
            ``None``.

    Example:
        >>> exact_gradient(torch.zeros(1), lambda h: 3 * h[:, 0])  # 3 p (1 - p)
        tensor([0.7500], dtype=torch.float64)
    """
    unit = unit or NoisyThreshold()
    with torch.enable_grad():
        a = a.detach().double().requires_grad_()
        chances = probabilities(unit.active(a))
        expected = (chances * loss(states(len(a)) * unit.value(a))).sum()
        (gradient,) = torch.autograd.grad(expected, a)
    return gradient


def score_function(a: Tensor, loss: Loss, baseline: Tensor | float = 0.0) -> Tensor:
    """``(h_i - p_i) (L - c_i)`` in every state of Bernoulli units: ``(2^U, U)``; baseline c: ``(U,)`` or a number."""
    h = states(len(a))
    return (h - torch.sigmoid(a.double())) * (loss(h)[:, None] - baseline)


def optimal_baseline(a: Tensor, loss: Loss) -> Tensor:
    """``E[(h_i - p_i)^2 L] / E[(h_i - p_i)^2]``, the constants ``(U,)`` of least variance.

    Example:
        >>> optimal_baseline(torch.tensor([0.3]), lambda h: 5 - 3 * h[:, 0])  # (1 - p) L(1) + p L(0)
        tensor([3.7233], dtype=torch.float64)
    """
    a = a.double()
    h, chances = states(len(a)), probabilities(torch.sigmoid(a))
    square = chances[:, None] * (h - torch.sigmoid(a)) ** 2
    return (square * loss(h)[:, None]).sum(0) / square.sum(0)


def mean_loss(a: Tensor, loss: Loss) -> Tensor:
    """``E[L]`` of Bernoulli units, 0-d."""
    return (probabilities(torch.sigmoid(a.double())) * loss(states(len(a)))).sum()


def pathwise(a: Tensor, loss: Loss, unit: StochasticOperator) -> Tensor:
    """What back-propagation through ``unit`` gives in every state: ``unit.gradient * dL/dh``, ``(2^U, U)``.

    Args:
        a: ``(U,)``.
        loss: differentiable in h.
        unit: an operator of two values that is on where its noise u is below ``active(a)``.
    """
    a = a.double()
    on = states(len(a))
    u = torch.where(on.bool(), 0.0, 1.0).double()  # draws that give each state
    with torch.enable_grad():
        h = (on * unit.value(a)).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(h).sum(), h, allow_unused=True)
    gradient = torch.zeros_like(h) if gradient is None else gradient
    return unit.gradient(a.expand_as(h), u) * gradient


@dataclass(frozen=True)
class Quality:
    """How good a gradient estimator is, exactly.

    Args:
        bias: Euclidean norm of the mean estimate minus the gradient, divided by the norm of the gradient.
        variance: of the estimate, summed over the units.
        cosine: between mean estimate and gradient.
        sign_agreement: share of the units in which they have the same sign.
    """

    bias: float
    variance: float
    cosine: float
    sign_agreement: float

    @property
    def unbiased(self) -> bool:
        """Whether the bias is one of rounding."""
        return self.bias < 1e-9


def quality(estimates: Tensor, chances: Tensor, gradient: Tensor) -> Quality:
    """Of ``estimates (S, U)`` that come with ``chances (S,)``, for the exact ``gradient (U,)``."""
    mean = chances @ estimates
    size, norm = float(gradient.norm()), float(mean.norm())
    return Quality(
        float((mean - gradient).norm()) / size if size else math.inf,
        float((chances @ (estimates - mean) ** 2).sum()),
        float(mean @ gradient) / (size * norm) if size * norm else 0.0,
        float((mean.sign() == gradient.sign()).double().mean()),
    )


def estimator_report(a: Tensor, loss: Loss) -> dict[str, Quality]:
    """Bias, variance and direction of the estimators for Bernoulli units, on your own loss.

    Score function with the optimal baseline, with the mean loss and without one; straight-through with the slopes
    ``"identity"`` and ``"density"``.

    Args:
        a: ``(U,)``, the units before their sigmoid, U at most 12: a small instance of the problem.
        loss: ``(S, U) -> (S,)``, the loss of each state; differentiable.

    Reference: [Bengio2013].

    Example:
        >>> report = estimator_report(torch.tensor([0.3, -1.0]), lambda h: (h.sum(1) - 0.7) ** 2)
        >>> [name for name, found in report.items() if found.unbiased]
        ['score function, optimal baseline', 'score function, mean loss', 'score function']
    """
    a = a.detach().double()
    gradient, chances = exact_gradient(a, loss), probabilities(torch.sigmoid(a))
    estimates = {
        "score function, optimal baseline": score_function(a, loss, optimal_baseline(a, loss)),
        "score function, mean loss": score_function(a, loss, mean_loss(a, loss)),
        "score function": score_function(a, loss),
        "straight-through, identity": pathwise(a, loss, NoisyThreshold()),
        "straight-through, density": pathwise(a, loss, NoisyThreshold(slope="density")),
    }
    return {name: quality(values, chances, gradient) for name, values in estimates.items()}
