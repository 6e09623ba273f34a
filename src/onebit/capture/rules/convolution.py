"""Convolutions in float."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from onebit.capture.builder import Builder, to_numpy
from onebit.capture.rules.table import rule
from onebit.capture.values import Constant, Value


def convolve(
    b: Builder,
    x: Value,
    weight: torch.Tensor,
    dtype: str,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    pad_value: int = 0,
) -> Value:
    """The sums of a convolution of one or two dimensions.

    Args:
        b: the graph under construction.
        x: ``(N, C, L)`` or ``(N, C, H, W)``, in the dtype that the number system asks for.
        weight: ``(O, C / groups, k)`` or ``(O, C / groups, kH, kW)``.
        dtype: that of the weights in the graph.
        stride, dilation: one integer a dimension.
        padding: before and after, for each dimension.
        groups: of channels.
        pad_value: what the padding holds.
    """
    line = len(x.shape) == 3
    if len(x.shape) not in (3, 4):
        raise b.unsupported(
            f"a convolution of an input with {len(x.shape)} axes", "convolutions of 1 or 2 dimensions have 3 or 4"
        )
    name = b.channels_last(x).name
    if line:
        weight = weight.unsqueeze(2)
        stride, dilation, padding = (1, *stride), (1, *dilation), (0, 0, *padding)
        n, c, length = x.shape
        name = b.emit("reshape", name, shape=[n, 1, length, c])
    kernel = b.tensor(to_numpy(weight.permute(0, 2, 3, 1), dtype), dtype=dtype)
    attributes = {"stride": list(stride), "padding": list(padding), "dilation": list(dilation), "groups": groups}
    name = b.emit("conv", name, kernel, **attributes, pad_value=pad_value)
    if line:
        n, _, length, c = b.types[name].shape
        return b.value(b.emit("reshape", name, shape=[n, length, c]), (0, 2, 1))
    return b.value(name, (0, 2, 3, 1))


def float_conv(b: Builder, x: Value, weight, bias, stride, padding, dilation, groups: int) -> Value:
    """A convolution of floats with bias; ``padding`` is ``"same"``, ``"valid"`` or one integer a dimension."""
    if not isinstance(weight, Constant):
        raise b.unsupported("weights that are computed from the input", "make them constants in evaluation mode")
    dimensions = weight.tensor.dim() - 2
    stride, dilation = [_each(value, dimensions) for value in (stride, dilation)]
    if padding == "same":
        totals = [d * (size - 1) for d, size in zip(dilation, weight.tensor.shape[2:])]
        sides = [side for total in totals for side in (total // 2, total - total // 2)]
    else:
        sides = [side for p in _each(0 if padding == "valid" else padding, dimensions) for side in (p, p)]
    y = convolve(b, b.floats(x), weight.tensor, "float32", stride, sides, dilation, groups)
    if bias is None:
        return y
    return b.value(b.emit("add", y.name, b.vector(bias)), y.order)


def _each(value: int | Sequence[int], dimensions: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * dimensions if len(values) == 1 else values


@rule("aten.conv1d.default", "aten.conv2d.default", "aten.conv1d.padding", "aten.conv2d.padding")
def conv(b: Builder, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Value:
    return float_conv(b, x, weight, bias, stride, padding, dilation, groups)


@rule("aten.convolution.default")
def convolution(b: Builder, x, weight, bias, stride, padding, dilation, transposed, output_padding, groups) -> Value:
    if transposed:
        raise b.unsupported("a transposed convolution", "use upsampling and a convolution")
    return float_conv(b, x, weight, bias, stride, padding, dilation, groups)
