"""Two indicators of any gradient estimator: how far its surrogate is from the sign, how unsteady its gradients are."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def estimating_error(
    weights: Iterable[Tensor], surrogate: Callable[[Tensor], Tensor], normalized: bool = False
) -> float:
    """``sum over layers of || sign(w) - f(w) ||_2``.

    Args:
        weights: one tensor a layer, any shapes.
        surrogate: f, the function whose derivative is used backward: ``Operator.surrogate``.
        normalized: divide each layer's norm by the root of its size, so that layers of other sizes compare.

    Reference: [Wu2023].

    Example:
        >>> z = torch.tensor([0.25, -4.0])
        >>> round(estimating_error([z], lambda z: torch.sign(z) * z.abs().sqrt()), 6)
        1.118034
    """
    total = 0.0
    for weight in weights:
        sign = torch.where(weight >= 0, 1.0, -1.0).to(weight.dtype)
        norm = torch.linalg.vector_norm(sign - surrogate(weight))
        total += float(norm) / (weight.numel() ** 0.5 if normalized else 1.0)
    return total


def gradient_instability(gradients: Iterable[Tensor], normalized: bool = False) -> float:
    """``sum over layers of Var(|g|)``, the unbiased variance over a layer's entries.

    Args:
        gradients: one tensor a layer, each of two entries or more.
        normalized: divide each layer's variance by its mean square, so that the size of the loss does not count.

    Reference: [Wu2023].

    Example:
        >>> round(gradient_instability([torch.tensor([1.0, -1.0, 3.0, -3.0])]), 6)
        1.333333
    """
    total = 0.0
    for gradient in gradients:
        variance = float(gradient.abs().var())
        mean_square = float(gradient.square().mean())
        total += variance / mean_square if normalized and mean_square else variance
    return total
