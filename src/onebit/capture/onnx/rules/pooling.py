"""Pooling over windows of an image."""

from __future__ import annotations

from collections.abc import Sequence

from onebit.capture.onnx.call import Call, rule
from onebit.capture.rules.pooling import global_average
from onebit.capture.values import Value
from onebit.ir import dim as dims


def sides(
    call: Call, x: Value, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], ceil: bool = False
) -> list[int]:
    """The padding of a node as before and after for each dimension, with what rounding up adds at the ends."""
    dimensions = len(kernel)
    auto = call.attributes.get("auto_pad", "NOTSET")
    pads = list(call.attributes.get("pads", [0] * 2 * dimensions))
    if len(pads) != 2 * dimensions or len(strides) != dimensions or len(dilations) != dimensions:
        raise ValueError(f"pads, strides and dilations must fit {dimensions} dimensions")
    if min(pads) < 0:
        raise call.unsupported("negative padding", "slice instead")
    found = []
    for axis, (size, k, stride, dilation) in enumerate(zip(x.shape[2:], kernel, strides, dilations)):
        reach = dilation * (k - 1) + 1
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            if not isinstance(size, int):
                raise call.unsupported("padding to the same size of a dynamic size", "make that size static")
            total = max(0, (-(-size // stride) - 1) * stride + reach - size)
            small = total // 2
            before, after = (small, total - small) if auto == "SAME_UPPER" else (total - small, small)
        else:
            before, after = (0, 0) if auto == "VALID" else (pads[axis], pads[dimensions + axis])
        if ceil:
            if not isinstance(size, int):
                raise call.unsupported("rounding up with a dynamic size", "make that size static")
            slack = size + before + after - reach
            windows = -(-slack // stride) + 1
            if (windows - 1) * stride >= size + before:  # a window that starts in the padding at the end is left out
                windows -= 1
            after += max(0, (windows - 1) * stride - slack)
        found += [before, after]
    return found


def _windows(call: Call) -> tuple[Value, list[int], list[int], list[int], list[int]]:
    x, a = call.value(0), call.attributes
    kernel = [int(n) for n in a["kernel_shape"]]
    if len(x.shape) != 4 or len(kernel) != 2:
        raise call.unsupported(f"pooling of an input with {len(x.shape)} axes", "pool inputs (N, C, H, W)")
    if a.get("storage_order", 0) or call.outputs > 1:
        raise call.unsupported("the places of the maxima", "use the maxima alone")
    strides, dilations = ([int(n) for n in a.get(name, [1, 1])] for name in ("strides", "dilations"))
    return x, kernel, strides, dilations, sides(call, x, kernel, strides, dilations, bool(a.get("ceil_mode", 0)))


@rule("MaxPool")
def max_pool(call: Call) -> Value:
    x, kernel, strides, dilations, padding = _windows(call)
    b = call.b
    x = b.channels_last(x if x.dtype == "bit" else b.floats(x))
    name = b.emit("max_pool", x.name, kernel=kernel, stride=strides, padding=padding, dilation=dilations)
    return b.value(name, x.order)


@rule("AveragePool")
def average_pool(call: Call) -> Value:
    x, kernel, strides, dilations, padding = _windows(call)
    counted = bool(call.attributes.get("count_include_pad", 0))
    if dilations != [1, 1]:
        raise call.unsupported("a dilated average", "use a convolution")
    if counted and call.attributes.get("ceil_mode", 0) and any(padding):
        raise call.unsupported("ceil_mode with padding that is counted", "set ceil_mode or count_include_pad to 0")
    b = call.b
    x = b.channels_last(b.floats(x))
    attributes = {"kernel": kernel, "stride": strides, "padding": padding, "count_include_pad": counted}
    return b.value(b.emit("avg_pool", x.name, **attributes), x.order)


@rule("GlobalAveragePool")
def global_average_pool(call: Call) -> Value:
    return global_average(call.b, call.value(0), True)


@rule("GlobalMaxPool")
def global_max_pool(call: Call) -> Value:
    b, x = call.b, call.value(0)
    if len(x.shape) != 4 or not all(isinstance(size, int) for size in x.shape[2:]):
        raise call.unsupported("pooling over a dynamic size", "make height and width static")
    kernel = [dims.evaluate(size, {}) for size in x.shape[2:]]
    x = b.channels_last(x if x.dtype == "bit" else b.floats(x))
    return b.value(b.emit("max_pool", x.name, kernel=kernel, stride=kernel), x.order)
