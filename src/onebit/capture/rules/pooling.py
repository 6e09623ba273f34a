"""Pooling of maps."""

from __future__ import annotations

from collections.abc import Sequence

from onebit.capture.builder import Builder
from onebit.capture.rules.table import rule
from onebit.capture.values import Value


def _two(value: int | Sequence[int]) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values


def _sizes(b: Builder, x: Value) -> list[int]:
    """Height and width of maps, which must be numbers."""
    if len(x.shape) != 4:
        raise b.unsupported(f"pooling of an input with {len(x.shape)} axes", "pool inputs (N, C, H, W)")
    sizes = [size for size in x.shape[2:] if isinstance(size, int)]
    if len(sizes) < 2:
        raise b.unsupported("pooling over a dynamic size", "make height and width static")
    return sizes


def _sides(sizes, kernel, stride, padding, dilation, ceil_mode: bool) -> tuple[list[int], bool]:
    """Padding as top, bottom, left, right, and whether rounding up added to it.

    Rounding up adds a window at the end if it starts inside the map or its padding before.
    """
    sides, more = [], False
    for size, k, s, p, d in zip(sizes, kernel, stride, padding, dilation):
        extra = 0
        if ceil_mode:
            reach = size + 2 * p - d * (k - 1) - 1
            count = -(-reach // s) + 1
            if (count - 1) * s >= size + p:
                count -= 1
            extra = max(0, (count - 1) * s - reach)
        sides += [p, p + extra]
        more |= extra > 0
    return sides, more


@rule("aten.max_pool2d.default")
def max_pool2d(b: Builder, x: Value, kernel, stride=(), padding=0, dilation=1, ceil_mode=False) -> Value:
    kernel, padding, dilation = _two(kernel), _two(padding), _two(dilation)
    stride = _two(stride) if stride else kernel
    sides, _ = _sides(_sizes(b, x), kernel, stride, padding, dilation, ceil_mode)
    x = b.channels_last(x if x.dtype == "bit" else b.floats(x))
    name = b.emit("max_pool", x.name, kernel=kernel, stride=stride, padding=sides, dilation=dilation)
    return b.value(name, x.order)


@rule("aten.max_pool2d_with_indices.default")
def max_pool2d_with_indices(b: Builder, *args, **kwargs) -> tuple[Value, None]:
    return max_pool2d(b, *args, **kwargs), None


@rule("aten.avg_pool2d.default")
def avg_pool2d(
    b: Builder, x, kernel, stride=(), padding=0, ceil_mode=False, count_include_pad=True, divisor=None
) -> Value:
    kernel, padding = _two(kernel), _two(padding)
    stride = _two(stride) if stride else kernel
    sides, more = _sides(_sizes(b, x), kernel, stride, padding, [1, 1], ceil_mode)
    if divisor is not None:
        raise b.unsupported("divisor_override", "divide afterwards")
    if more and count_include_pad and any(padding):
        raise b.unsupported("ceil_mode with padding that is counted", "set count_include_pad=False or ceil_mode=False")
    return _average(b, x, kernel, stride, sides, count_include_pad and any(padding))


def _average(b: Builder, x: Value, kernel, stride, padding, count_include_pad: bool) -> Value:
    x = b.channels_last(b.floats(x))
    attributes = {"kernel": kernel, "stride": stride, "padding": padding, "count_include_pad": bool(count_include_pad)}
    return b.value(b.emit("avg_pool", x.name, **attributes), x.order)


@rule("aten.adaptive_avg_pool2d.default", "aten._adaptive_avg_pool2d.default")
def adaptive_avg_pool2d(b: Builder, x: Value, size) -> Value:
    sizes = _sizes(b, x)
    if any(have % want for have, want in zip(sizes, size)):
        raise b.unsupported(
            f"adaptive pooling of {sizes} to {list(size)}", "pool to a size that divides the map, such as 1"
        )
    kernel = [have // want for have, want in zip(sizes, size)]
    return _average(b, x, kernel, kernel, [0, 0, 0, 0], True)


def global_average(b: Builder, x: Value, keepdim: bool) -> Value:
    """The mean over height and width of ``(N, C, H, W)``."""
    kernel = _sizes(b, x)
    y = _average(b, x, kernel, kernel, [0, 0, 0, 0], True)
    return y if keepdim else b.squeeze(y, [2, 3])
