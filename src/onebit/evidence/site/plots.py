"""Matplotlib's plots as SVG inside a page: text stays text, and black is the page's ink, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from onebit.core.errors import require

WIDTH, HEIGHT = 4.6, 3.1  # inches; on a phone the letters are as high as those of the text around
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "onebit",  # the same plot is the same text
    "font.size": 10,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.framealpha": 0.0,
}
# Readable on white and on black alike.
COLOURS = ["#2a78d6", "#d9541e", "#2c9a5b", "#9467bd", "#b8860b", "#c3478a", "#4b9aa8"]


def figure(
    draw: Callable[[Any], None], label: str, caption: str, height: float = HEIGHT, **more: Any
) -> dict[str, str]:
    """A plot and what is written under it, as the pages' templates take them; arguments as those of :func:`svg`."""
    return {"svg": svg(draw, label, height, **more), "caption": caption}


def svg(
    draw: Callable[[Any], None],
    label: str,
    height: float = HEIGHT,
    width: float = WIDTH,
    projection: str | None = None,
) -> str:
    """What ``draw`` draws into a matplotlib axes, as an ``<svg>`` element that scales with the page.

    Args:
        draw: draws into an axes.
        label: what the plot shows, for those who cannot see it.
        height, width: of the plot in inches: how large its letters are beside those of the page.
        projection: of the axes, a name of matplotlib's: ``"polar"``.
    """
    require("matplotlib", "train", "drawing plots")
    from cycler import cycler
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: Any = STYLE | {"axes.prop_cycle": cycler(color=COLOURS)}
    with rc_context(style):
        canvas = Figure(figsize=(width, height), layout="constrained")
        draw(canvas.add_subplot(projection=projection))
        file = io.StringIO()
        canvas.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'(<svg[^>]*?) (?:height|width)="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) (?:height|width)="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg", f'<svg role="img" aria-label="{_quoted(label)}"', 1)
    # black, written or by default, is the colour of the page's text
    text = re.sub(r"(stroke|fill): ?#000000", r"\1: currentColor", text)
    return re.sub(r"<text(?![^>]*fill)", '<text fill="currentColor"', text)


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
