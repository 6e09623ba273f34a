"""Operators as pictures: what goes forward and what goes backward."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from onebit.evidence.svg import Series, line_chart


def cards(names: Iterable[str] | None = None) -> list[dict[str, str]]:
    """Name, forward and backward curve as SVG of operators, drawn as they end if they change in training.

    Args:
        names: which; all of them by default.
    """
    from onebit.nn import operators

    found = []
    for name in operators.registry if names is None else names:
        operator = operators.finished(name)
        x, forward, gradient = operators.curve(operator, *operators.span(operator), 321)
        found.append(
            {
                "name": name,
                "forward": _curve(x, forward, "a", "value"),
                "backward": _curve(x, gradient, "b", "gradient"),
            }
        )
    return found


def _curve(x: np.ndarray, y: np.ndarray, style: str, label: str) -> str:
    return line_chart([Series(label, x.tolist(), y.tolist(), style)], width=260, height=110, count=3)
