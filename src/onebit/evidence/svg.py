"""Line charts and pictures of bits as SVG text; their colours come from the page's style sheet, light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Args:
        label: its name in the legend.
        x, y: equally many numbers; points that are not finite break the line.
        style: the CSS class that colours it, ``"a"`` or ``"b"``.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "a"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers in ``[low, high]``.

    Example:
        >>> ticks(0, 1), ticks(0, 40)
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0, 10, 20, 30, 40])
    """
    span = high - low
    if not span > 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, -math.floor(math.log10(step)))
    return [round(k * step, decimals) if decimals else round(k * step) for k in range(first, last + 1)]


def line_chart(
    series: Sequence[Series],
    x_label: str = "",
    y_label: str = "",
    y_range: tuple[float, float] | None = None,
    width: int = 360,
    height: int = 220,
    count: int = 5,
) -> str:
    """A chart of lines with axes; it scales with the width of the page.

    Args:
        series: the lines.
        x_label, y_label: what the axes show.
        y_range: the ends of the y axis; by default what the points need.
        width, height: in units of the drawing; fonts are 11 units high.
        count: about so many numbers on each axis.
    """
    finite = [[(x, y) for x, y in zip(s.x, s.y) if math.isfinite(x) and math.isfinite(y)] for s in series]
    points = [p for line in finite for p in line]
    if not points:
        return ""
    x0, x1 = _widen(min(p[0] for p in points), max(p[0] for p in points))
    y0, y1 = y_range or _margin(*_widen(min(p[1] for p in points), max(p[1] for p in points)))
    left, right, top, bottom = 44 if y_label else 34, 8, 8, 34 if x_label else 20

    def at(x: float, y: float) -> tuple[float, float]:
        across = left + (x - x0) / (x1 - x0) * (width - left - right)
        return across, top + (y1 - min(max(y, y0), y1)) / (y1 - y0) * (height - top - bottom)

    said = ", ".join(s.label for s in series)
    out = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(f"{y_label or said} against {x_label}")}">'
    ]
    for value in ticks(y0, y1, count):
        _, py = at(x0, value)
        out.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{py:.1f}" y2="{py:.1f}"/>')
        out.append(f'<text class="tick" x="{left - 5}" y="{py + 3.5:.1f}" text-anchor="end">{value:g}</text>')
    for value in ticks(x0, x1, count):
        px, _ = at(value, y0)
        out.append(f'<text class="tick" x="{px:.1f}" y="{height - bottom + 14}" text-anchor="middle">{value:g}</text>')
    if x_label:
        middle = (left + width - right) / 2
        out.append(
            f'<text class="label" x="{middle:.1f}" y="{height - 4}" text-anchor="middle">{escape(x_label)}</text>'
        )
    if y_label:
        middle = (top + height - bottom) / 2
        place = f'x="10" y="{middle:.1f}" transform="rotate(-90 10 {middle:.1f})"'
        out.append(f'<text class="label" {place} text-anchor="middle">{escape(y_label)}</text>')
    for line, s in zip(finite, series):
        path = "".join(f"{'L' if i else 'M'}{px:.1f} {py:.1f}" for i, (px, py) in enumerate(at(*p) for p in line))
        out.append(f'<path class="line {s.style}" d="{path}"><title>{escape(s.label)}</title></path>')
        if len(line) == 1:
            px, py = at(*line[0])
            out.append(f'<circle class="dot {s.style}" cx="{px:.1f}" cy="{py:.1f}" r="3"/>')
    return "".join([*out, "</svg>"])


def bit_filters(weight: np.ndarray, label: str) -> str:
    """Filters of bits as squares: +1 filled, -1 empty; one row an output channel, one column an input channel.

    Args:
        weight: ``(O, I, kH, kW)`` of -1 and +1.
        label: what the picture shows, for those who cannot see it.
    """
    outputs, inputs, rows, columns = weight.shape
    squares, frames = [], []
    for o in range(outputs):
        for i in range(inputs):
            y, x = o * (rows + 1), i * (columns + 1)
            frames.append(f"M{x} {y}h{columns}v{rows}h-{columns}z")
            squares += [f"M{x + c} {y + r}h1v1h-1z" for r, c in zip(*np.nonzero(weight[o, i] > 0))]
    size = f"0 0 {inputs * (columns + 1) - 1} {outputs * (rows + 1) - 1}"
    drawn = f'<path class="zero" d="{"".join(frames)}"/><path class="one" d="{"".join(squares)}"/>'
    return f'<svg class="bits" viewBox="{size}" role="img" aria-label="{escape(label)}">{drawn}</svg>'


def _widen(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _margin(low: float, high: float) -> tuple[float, float]:
    return low - 0.06 * (high - low), high + 0.06 * (high - low)
