"""The passage of one picture through a packed network, as an SVG: the picture, its bits layer by layer, the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

import numpy as np

from onebit.ir import Graph

# The picture stands on pages of others, light or dark, so it brings its colours with it.
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#5f5e5a}.ink{fill:#1a1a19}.ground{fill:#e8e7e2}.bar{fill:#2a78d6}"
    "@media(prefers-color-scheme:dark){text{fill:#a5a49e}.ink{fill:#f1f0ec}.ground{fill:#33322f}.bar{fill:#5a9cf0}}"
)
SIDE, GAP, TOP, TALL = 28, 4, 24, 4  # of a map, between maps, above all of them; maps above one another
CELL = SIDE + GAP
HEIGHT = TOP + TALL * CELL


def bits(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    """Every map of activation bits that the network makes of one picture, in the order of the graph.

    Args:
        graph: takes one picture ``(1, C, H, W)``.
        x: the picture as the graph takes it.

    Returns:
        for each ``sign`` or ``threshold`` with more than one place, an int8 array ``(H, W, C)`` of -1 and +1.
    """
    types = graph.types()
    names = [n.output for n in graph.nodes if types[n.output].dtype == "bit" and len(types[n.output].shape) == 4]
    values, _ = replace(graph, outputs=names).run(x) if names else ((), {})
    return [value[0] for value in values if value.shape[1] * value.shape[2] > 1]


def drawing(pixels: np.ndarray, maps: Sequence[np.ndarray], scores: Sequence[float], names: Sequence[str]) -> str:
    """The passage as the text of an SVG file.

    Args:
        pixels: the picture ``(H, W)`` uint8, light on dark.
        maps: bits ``(H, W, C)`` of each layer; of each the first eight channels are drawn.
        scores: one a class.
        names: of the classes.
    """
    out: list[str] = []
    left = TALL * CELL + 20
    out.append(_label(0, "one picture"))
    out.append(_grey(pixels, TALL * CELL - GAP))
    for number, layer in enumerate(maps, 1):
        out.append(_label(left, f"bits, layer {number}"))
        for channel in range(min(2 * TALL, layer.shape[2])):
            column, row = divmod(channel, TALL)
            out.append(_map(layer[:, :, channel] > 0, left + column * CELL, TOP + row * CELL))
        left += 2 * CELL + 24
    out.append(_label(left, "class"))
    powers = np.exp(np.asarray(scores, dtype=np.float64) - max(scores))
    step = (HEIGHT - TOP) / len(names)
    for row, (name, share) in enumerate(zip(names, powers / powers.sum())):
        y = TOP + row * step
        out.append(f'<text x="{left}" y="{y + step - 2:.1f}">{escape(name)}</text>')
        long = f"{1 + 70 * share:.1f}"
        out.append(f'<rect class="bar" x="{left + 16}" y="{y + 2:.1f}" width="{long}" height="{step - 3:.1f}"/>')
    width = left + 16 + 74
    said = f"A picture, the bits of {len(maps)} layers that it becomes, and the probability of each class"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" '
        f'role="img" aria-label="{said}"><style>{STYLE}</style>{"".join(out)}</svg>\n'
    )


def _label(x: float, text: str) -> str:
    return f'<text x="{x}" y="14">{escape(text)}</text>'


def _grey(pixels: np.ndarray, side: float) -> str:
    height, width = pixels.shape
    shades = [
        f'<rect class="ink" x="{c}" y="{r}" width="1" height="1" opacity="{pixels[r, c] / 255:.2f}"/>'
        for r, c in zip(*np.nonzero(pixels))
    ]
    ground = f'<rect class="ground" width="{width}" height="{height}"/>'
    place = f"translate(0 {TOP}) scale({side / max(height, width):.4g})"
    return f'<g transform="{place}" shape-rendering="crispEdges">{ground}{"".join(shades)}</g>'


def _map(ones: np.ndarray, x: float, y: float) -> str:
    """Bits as squares, +1 filled; runs of a row are one rectangle."""
    height, width = ones.shape
    runs = []
    for r, row in enumerate(ones):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(np.int8)))
        runs += [f"M{a} {r}h{b - a}v1h-{b - a}z" for a, b in zip(edges[::2], edges[1::2])]
    ground = f'<rect class="ground" width="{width}" height="{height}"/>'
    place = f"translate({x} {y}) scale({SIDE / max(height, width):.4g})"
    return f'<g transform="{place}">{ground}<path class="ink" d="{"".join(runs)}"/></g>'
