"""What is said about a handful of runs: differences of pairs with their intervals, rank correlation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """An estimate with its confidence interval.

    Args:
        mean: the estimate.
        low, high: the ends; infinite where one run tells nothing of the spread.
        n: on how many pairs or runs it rests.
    """

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean and Student's t interval of independent values.

    Args:
        values: one or more finite numbers.
        confidence: between 0 and 1.

    Example:
        >>> print(interval([1.0, 2.0, 3.0]))
        +2.00 [-0.48, +4.48]
    """
    from scipy import stats

    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not x.size or not np.isfinite(x).all():
        raise ValueError(f"values must be one or more finite numbers, got {list(values)!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    mean = float(x.mean())
    if x.size == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    half = float(stats.t.ppf((1 + confidence) / 2, x.size - 1) * x.std(ddof=1) / math.sqrt(x.size))
    return Interval(mean, mean - half, mean + half, int(x.size))


def paired(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Interval:
    """:func:`interval` of ``a - b``, pair by pair: runs that share their seed.

    Example:
        >>> paired([2.0, 3.0], [1.0, 2.0]).mean
        1.0
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need equally many values, got {len(a)} and {len(b)}")
    return interval(np.subtract(a, b).tolist(), confidence)


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation, -1..1; NaN where one of them is constant.

    Example:
        >>> spearman([1, 2, 3], [9, 4, 1])
        -1.0
    """
    from scipy import stats

    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"rank correlation needs two or more pairs, got {len(x)} and {len(y)} values")
    if len(set(x)) == 1 or len(set(y)) == 1:
        return math.nan
    return float(round(stats.spearmanr(x, y).statistic, 12))


class Spread(NamedTuple):
    """Mean, standard deviation and number of values.

    Args:
        mean: of the values.
        std: sample standard deviation (divided by ``count - 1``); ``None`` for one value.
        count: of values.
    """

    mean: float
    std: float | None
    count: int  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"{self.mean:.4g}" if self.std is None else f"{self.mean:.4g} +- {self.std:.2g}"


def spread(values: Sequence[float]) -> Spread:
    """Mean, standard deviation and number of values.

    Args:
        values: one or more numbers.

    Example:
        >>> spread([1.0, 3.0])
        Spread(mean=2.0, std=1.4142135623730951, count=2)
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not x.size:
        raise ValueError(f"values must be one or more numbers, got {list(values)!r}")
    return Spread(float(x.mean()), float(x.std(ddof=1)) if x.size > 1 else None, int(x.size))
