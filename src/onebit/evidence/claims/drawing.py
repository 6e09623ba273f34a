"""Plots that several claims draw."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def strips(axes: Any, groups: Mapping[str, Sequence[float]], label: str) -> None:
    """One row a group: every value as a point, the mean as a bar; the first group on top.

    Args:
        axes: of matplotlib.
        groups: name -> values.
        label: of the values' axis.
    """
    for place, values in enumerate(groups.values()):
        axes.scatter(values, [place] * len(values), s=18, alpha=0.6)
        axes.scatter([statistics.fmean(values)], [place], marker="|", s=160, color="black")
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.set(xlabel=label)
