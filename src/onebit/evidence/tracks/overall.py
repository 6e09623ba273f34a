"""The overall metrics of BiBench: each evaluation track in one number, a quadratic mean of ratios to the float twin.

UNVERIFIED: the body of the paper [Qin2023] could not be read. The six metrics are as they are remembered; none of their
numbers was compared with a published one. With E the mean over the settings of a part, *bi* the network of bits:

| track | overall metric |
| --- | --- |
| accuracy | sqrt(mean over tasks of E(A_bi / A)^2) |
| architectures | sqrt(mean over families of E(A_bi / A)^2) |
| robustness | sqrt(mean over corruptions of E(G / G_bi)^2), with the gap G = (A_clean - A_corrupted) / A_clean |
| training | sqrt((E(T / T_bi)^2 + E(std A / std A_bi)^2) / 2), T the time of training, std over optimizers |
| cost | sqrt((r_c^2 + r_s^2) / 2), r_c and r_s as :func:`compression_ratio` and :func:`speedup_ratio` |
| hardware | sqrt((E(T / T_bi)^2 + E(S / S_bi)^2) / 2), time of inference and size of the file |

Larger is better, and 1 is the float twin. A quadratic mean is never below the mean and leans to the largest ratios, so
both are given.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from onebit.core.errors import check_range

UNVERIFIED = "Overall metrics as remembered from [Qin2023], whose formulas could not be checked: unverified."


class Overall(NamedTuple):
    """The overall metric of one method in one track.

    Args:
        metric: quadratic mean of the parts.
        mean: their mean.
        parts: mean ratio to the float twin by part: a task, a family, a corruption.
    """

    metric: float
    mean: float
    parts: dict[str, float]


def quadratic_mean(ratios: Sequence[float]) -> float:
    """``sqrt(mean(r^2))``.

    Args:
        ratios: one or more finite numbers of 0 or more.

    Raises:
        ValueError: none, or one that is negative or not finite.

    Example:
        >>> round(quadratic_mean([0.98, 0.70, 0.55]), 6), quadratic_mean([1.0, 1.0])
        (0.764395, 1.0)
    """
    if not ratios or not all(math.isfinite(ratio) and ratio >= 0 for ratio in ratios):
        raise ValueError(f"ratios must be one or more finite numbers of 0 or more, got {list(ratios)}")
    return math.sqrt(statistics.fmean(ratio**2 for ratio in ratios))


def overall(parts: Mapping[str, Sequence[float]]) -> Overall:
    """The metric of a track from the ratios of every part's settings.

    Example:
        >>> found = overall({"mnist": [1.0, 0.96], "sst2": [0.70], "fsdd": [0.55]})
        >>> round(found.metric, 6), round(found.mean, 6)
        (0.764395, 0.743333)
    """
    means = {}
    for name, ratios in parts.items():
        quadratic_mean(ratios)  # says what is wrong with them
        means[name] = statistics.fmean(ratios)
    return Overall(quadratic_mean(list(means.values())), statistics.fmean(means.values()), means)


def corruption_gap(clean: float, corrupted: Sequence[float]) -> float:
    """``(A_clean - A_corrupted) / A_clean``, the severities averaged.

    Args:
        clean: accuracy on clean images, above 0..1.
        corrupted: accuracies at the severities of one corruption, 0..1.

    Example:
        >>> round(corruption_gap(0.8, [0.8, 0.6, 0.4]), 12)
        0.25
    """
    check_range("clean", clean, 0, 1)
    if not clean or not corrupted:
        raise ValueError(f"a gap needs a clean accuracy above 0 and one or more corrupted, got {clean}, {corrupted}")
    return (clean - statistics.fmean(corrupted)) / clean


def compression_ratio(parameters: int, real: int) -> float:
    """``r_c = P / ((P - P_f) / 32 + P_f)``: how many times fewer 32-bit words the parameters take.

    Args:
        parameters: of the float network, P.
        real: those of the network of bits that are no bits, scales included, P_f; 0..P.

    Example:
        >>> round(compression_ratio(1000, 100), 6)
        7.804878
    """
    return _ratio("parameters", parameters, real, 32)


def speedup_ratio(operations: int, real: int) -> float:
    """``r_s = F / ((F - F_f) / 64 + F_f)``: how many times fewer operations, 64 on bits being one.

    Args:
        operations: of the float network, F.
        real: those of the network of bits that are not on bits, F_f; 0..F.

    Example:
        >>> round(speedup_ratio(1_000_000, 50_000), 6)
        15.421687
    """
    return _ratio("operations", operations, real, 64)


def _ratio(said: str, total: int, real: int, word: int) -> float:
    if not 0 <= real <= total or not total:
        raise ValueError(f"{said} must be above 0, and real ones 0 to as many, got {total} and {real}")
    return total / ((total - real) / word + real)
