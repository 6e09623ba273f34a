"""Value and gradient of an operator, drawn from the operator itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from onebit.core.errors import check_range, require
from onebit.core.progress import Progress
from onebit.nn.operators.base import Operator
from onebit.nn.operators.periodic import PeriodicSign
from onebit.nn.operators.registry import build


def finished(operator: str | Operator) -> Operator:
    """An operator object as it is; for a name, the operator with its defaults at the end of its schedule if it has one.

    At the start of their schedules the annealed operators are nearly or exactly straight-through.
    """
    if isinstance(operator, Operator):
        return operator
    made = build(operator)
    schedule = getattr(made, "on_progress", None)
    if callable(schedule):
        schedule(Progress.complete())
    return made


def span(operator: str | Operator) -> tuple[float, float]:
    """The interval that shows an operator: four periods of a wave, [-2, 2] for all others.

    Example:
        >>> span("clipped")
        (-2.0, 2.0)
    """
    operator = finished(operator)
    end = 4 * math.pi / float(operator.freq) if isinstance(operator, PeriodicSign) else 2.0
    return -end, end


def curve(
    operator: str | Operator, low: float = -2.0, high: float = 2.0, n: int = 401
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value and gradient at ``n`` points of ``[low, high]``, the gradient as autograd returns it.

    Args:
        operator: an operator, or a name, see :func:`finished`.
        low, high: finite, ``low < high``.
        n: at least 2.

    Returns:
        x, forward, gradient: float64 ``(n,)`` each.

    Example:
        >>> x, forward, gradient = curve("polynomial", -1, 1, 3)
        >>> forward.tolist(), gradient.tolist()
        ([-1.0, 1.0, 1.0], [0.0, 2.0, 0.0])
    """
    check_range("low", low)
    check_range("high", high)
    if low >= high:
        raise ValueError(f"low must be below high, got {low} and {high}")
    if n < 2:
        raise ValueError(f"n must be at least 2, got {n}")
    x = torch.linspace(low, high, n, dtype=torch.float64, requires_grad=True)
    y = finished(operator)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    return x.detach().numpy(), y.detach().numpy(), gradient.numpy()


def plot(
    operator: str | Operator, ax: Any = None, low: float | None = None, high: float | None = None, n: int = 401
) -> Any:
    """Draw value and gradient into ``ax`` (a matplotlib axes; a new one without) and return it.

    Args:
        operator: an operator, or a name, see :func:`finished`.
        ax: where to; a new one without.
        low, high: ends of the x axis; those of :func:`span` without.
        n: number of points.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    pyplot = require("matplotlib.pyplot", "train", "plotting operators")
    operator = finished(operator)
    ends = span(operator)
    x, forward, gradient = curve(operator, ends[0] if low is None else low, ends[1] if high is None else high, n)
    if ax is None:
        _, ax = pyplot.subplots(figsize=(4, 3))
    ax.axhline(0, color="0.85", linewidth=0.8)
    ax.plot(x, forward, label="forward")
    ax.plot(x, gradient, label="gradient", linestyle="--")
    ax.set_title(type(operator).__name__)
    ax.set_xlabel("x")
    ax.legend(loc="upper left", fontsize="small")
    return ax
