"""How far predictions agree with labels beyond chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def matthews(predicted: Tensor, labels: Tensor) -> float:
    """Matthews' correlation of classes, in its form for two or more [Gorodkin2004].

    ``(c s - sum_k p_k t_k) / sqrt((s^2 - sum_k p_k^2) (s^2 - sum_k t_k^2))``: of ``s`` examples ``c`` are right,
    ``p_k`` are predicted to be of class ``k`` and ``t_k`` are.

    Args:
        predicted, labels: ``(N,)`` int64, 0 or more, N of 1 or more.

    Returns:
        -1..1: 1 where all are right, 0 by chance, and 0 where all predictions or all labels are the same.

    Example:
        >>> matthews(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1]))
        0.5773502691896258
    """
    if predicted.shape != labels.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            "predicted and labels must be equally many, 1 or more, "
            f"got shapes {tuple(predicted.shape)} and {tuple(labels.shape)}"
        )
    classes = int(max(predicted.max(), labels.max())) + 1
    p, t = (torch.bincount(x, minlength=classes).tolist() for x in (predicted, labels))
    return correlation(int((predicted == labels).sum()), p, t)


def correlation(right: int, predicted: Sequence[int], labels: Sequence[int]) -> float:
    """:func:`matthews` from counts: examples that are right, and of each class as predicted and as labelled."""
    count = sum(labels)
    spread = (count**2 - sum(n * n for n in predicted)) * (count**2 - sum(n * n for n in labels))
    above = right * count - sum(p * t for p, t in zip(predicted, labels))
    return above / math.sqrt(spread) if spread else 0.0
