"""How far predictions agree with labels beyond chance."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from onebit.data import Dataset
from onebit.learn.evaluation import outputs


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
    count, right = len(labels), int((predicted == labels).sum())
    spread = (count**2 - sum(n * n for n in p)) * (count**2 - sum(n * n for n in t))
    above = right * count - sum(a * b for a, b in zip(p, t))
    return above / math.sqrt(spread) if spread else 0.0


def measure(model: nn.Module, data: Dataset) -> float:
    """The measure that is customary for ``data``, on its test part: accuracy 0..1, or Matthews' correlation -1..1."""
    scores, labels = outputs(model, data), data.test.labels
    chosen = scores.argmax(1)
    if data.metric == "matthews":
        return matthews(chosen, labels)
    return float(((chosen == labels) & ~scores.isnan().any(1)).double().mean())
