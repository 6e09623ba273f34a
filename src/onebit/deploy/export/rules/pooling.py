"""Pooling over windows of an image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onebit.deploy.export.exporter import Exporter
from onebit.deploy.export.rules.products import CHANNELS_SECOND
from onebit.deploy.export.rules.sums import sums_of_windows
from onebit.deploy.export.rules.table import onnx_rules
from onebit.ir import Node
from onebit.ir import dim as dims

LOWEST = -np.float32(np.inf)
MOST_TAPS = 9  # of a window whose sum is written out


@onnx_rules("max_pool")
def max_pool(e: Exporter, node: Node) -> None:
    """``MaxPool``; bits are floats of -1 and +1 here, of which the largest is the OR. ONNX does not say which is the
    larger of a number and NaN, and ONNX Runtime forgets NaN."""
    a = e.attributes(node)
    x = e.get(node.inputs[0], "float32", CHANNELS_SECOND).name
    top, bottom, left, right = _trimmed(e, node, a)
    if _is_wide(a, (top, bottom, left, right)):
        x = e.emit("Pad", x, e.constant([0, 0, top, left, 0, 0, bottom, right], np.int64), e.constant(LOWEST))
        top = bottom = left = right = 0
    windows = {"kernel_shape": a["kernel"], "strides": a["stride"], "dilations": a["dilation"]}
    e.set(node.output, e.emit("MaxPool", x, **windows, pads=(top, left, bottom, right)), CHANNELS_SECOND)


@onnx_rules("avg_pool")
def avg_pool(e: Exporter, node: Node) -> None:
    """``AveragePool``; where the padding is as wide as the window, a convolution with ones, and a division.

    Where bits depend on it, the sums over small windows without padding are written out in their order.
    """
    a = e.attributes(node)
    x = e.get(node.inputs[0], "float32", CHANNELS_SECOND).name
    top, bottom, left, right = sides = _trimmed(e, node, a)
    windows = {"kernel_shape": a["kernel"], "strides": a["stride"], "pads": (top, left, bottom, right)}
    counts = e.types[node.output].shape[1:3]
    if node.output in e.deciding and _is_small(a["kernel"], sides, counts):
        sums = sums_of_windows(e, x, a["kernel"], a["stride"], [dims.evaluate(count, {}) for count in counts])
        result = e.emit("Div", sums, e.constant(np.float32(math.prod(a["kernel"]))))
    elif _is_wide(a, sides):
        channels = dims.evaluate(e.types[node.output].shape[3], {})
        ones = e.codes(np.ones((channels, 1, *a["kernel"]), np.int8), True)
        sums = e.emit("Conv", x, ones, **windows, group=channels)
        result = e.emit("Div", sums, e.constant(np.float32(math.prod(a["kernel"]))))
    else:
        result = e.emit("AveragePool", x, **windows, count_include_pad=int(a["count_include_pad"]))
    e.set(node.output, result, CHANNELS_SECOND)


def _is_small(kernel: Sequence[int], sides: Sequence[int], counts: Sequence[dims.Dim]) -> bool:
    """Whether windows have few taps, all of them in the map, and are counted."""
    return 1 < math.prod(kernel) <= MOST_TAPS and not any(sides) and all(isinstance(count, int) for count in counts)


def _is_wide(a: Mapping[str, Any], sides: Sequence[int]) -> bool:
    """Whether the padding is as wide as the window, which runtimes refuse."""
    return any(side >= size for side, size in zip(sides, np.repeat(a["kernel"], 2)))


def _trimmed(e: Exporter, node: Node, a: Mapping[str, Any]) -> tuple[int, ...]:
    """The padding, less at the ends where no window reaches it."""
    sides = list(a["padding"])
    sizes, windows = e.types[node.inputs[0]].shape[1:3], e.types[node.output].shape[1:3]
    for axis, dilation in enumerate(a.get("dilation", (1, 1))):
        if isinstance(sizes[axis], int):
            reach = (dims.evaluate(windows[axis], {}) - 1) * a["stride"][axis] + dilation * (a["kernel"][axis] - 1) + 1
            needed = reach - dims.evaluate(sizes[axis], {}) - sides[2 * axis]
            sides[2 * axis + 1] = min(sides[2 * axis + 1], max(0, needed))
    return tuple(sides)
