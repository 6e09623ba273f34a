"""Pooling over windows of an image, channels last; taps row by row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from onebit.ir import dim as dims
from onebit.ir.kind import Attribute, Attributes, Kind, boolean, expect, integers, register
from onebit.ir.kinds.convolution import WINDOW, window_count
from onebit.ir.types import TensorType, maximum

NO_DILATION = (1, 1)


def _inside(kernel: int, stride: int, dilation: int, before: int, size: int, windows: int) -> list[tuple[int, slice]]:
    """The taps along one axis that lie in the map in some window, and in which windows they do."""
    found = []
    for tap in range(kernel):
        offset = tap * dilation - before  # window w reads w * stride + offset
        first = max(0, -(offset // stride))  # smallest w with w * stride + offset >= 0
        last = min(windows, (size - 1 - offset) // stride + 1)
        if first < last:
            found.append((tap, slice(first, last)))
    return found


def _every_window_has_a_tap_inside(
    size: int, kernel: int, stride: int, dilation: int, before: int, windows: int
) -> bool:
    if windows and ((windows - 1) * stride - before >= size or dilation * (kernel - 1) < before):
        return False
    # Windows that start before the map: their first tap at or after 0 lies at start mod dilation. The two sums differ
    # by the number of those where that is outside.
    early, start = min(windows, -(-before // stride)), -before % dilation
    outside = max(0, dilation - size)
    return _floor_sum(early, dilation, stride, start + outside) == _floor_sum(early, dilation, stride, start)


def _floor_sum(n: int, m: int, a: int, b: int) -> int:
    """The sum of ``(a * i + b) // m`` over ``0 <= i < n``, all at least 0, in the steps of Euclid's algorithm."""
    total = 0
    while n > 0:
        total += n * (n - 1) // 2 * (a // m) + n * (b // m)
        a, b = a % m, b % m
        last = a * n + b
        n, b, m, a = last // m, last % m, a, m
    return total


def _infer_pool(attributes: Attributes, x: TensorType) -> TensorType:
    top, bottom, left, right = attributes["padding"]
    sizes = []
    for name, size, kernel, stride, dilation, before, after in zip(
        ("the height of x", "the width of x"),
        x.shape[1:3],
        attributes["kernel"],
        attributes["stride"],
        attributes.get("dilation", NO_DILATION),
        (top, left),
        (bottom, right),
    ):
        windows = window_count(name, size, kernel, before, after, stride, dilation)
        if (
            not attributes.get("count_include_pad", False)
            and isinstance(size, int)
            and isinstance(windows, int)
            and not _every_window_has_a_tap_inside(size, kernel, stride, dilation, before, windows)
        ):
            raise ValueError(f"a window along {name} has no tap inside the map: use less padding")
        sizes.append(windows)
    return TensorType(x.dtype, (x.shape[0], *sizes, x.shape[3]))


def _check_sizes(attributes: Attributes, x: np.ndarray) -> None:
    """The check of the windows again, now that symbolic sizes have their values."""
    if 0 not in x.shape[1:3]:
        _infer_pool(attributes, TensorType("float32", x.shape))


def _taps(
    attributes: Attributes, shape: tuple[int, ...], x: np.ndarray
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """For each tap, row-major: the windows (rows, columns) whose tap lies in the map, and what they read there."""
    _, height, width, _ = shape
    top, _, left, _ = attributes["padding"]
    (stride_h, stride_w), (dilation_h, dilation_w) = attributes["stride"], attributes.get("dilation", NO_DILATION)
    kernel_h, kernel_w = attributes["kernel"]
    all_columns = _inside(kernel_w, stride_w, dilation_w, left, x.shape[2], width)
    for row, rows in _inside(kernel_h, stride_h, dilation_h, top, x.shape[1], height):
        for column, columns in all_columns:
            first_row = rows.start * stride_h + row * dilation_h - top
            first_column = columns.start * stride_w + column * dilation_w - left
            yield (
                (rows, columns),
                x[
                    :,
                    first_row : first_row + (rows.stop - rows.start - 1) * stride_h + 1 : stride_h,
                    first_column : first_column + (columns.stop - columns.start - 1) * stride_w + 1 : stride_w,
                ],
            )


def _infer_max_pool(attributes: Attributes, x: TensorType) -> TensorType:
    expect("x", x, ("float32", "bit"), rank=4)
    return _infer_pool(attributes, x)


def _run_max_pool(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    _check_sizes(attributes, x)
    acc = np.empty(shape, x.dtype)
    seen = np.zeros((*shape[1:3], 1), np.bool_)
    for (rows, columns), tap in _taps(attributes, shape, x):
        so_far = acc[:, rows, columns]
        acc[:, rows, columns] = np.where(seen[rows, columns], maximum(so_far, tap), tap)
        seen[rows, columns] = True
    return acc


def _pool_cost(attributes: Attributes, output: TensorType, x: TensorType) -> dict[str, dims.Dim]:
    return {"float_ops": dims.product((*output.shape, *attributes["kernel"]))}


register(
    Kind(
        "max_pool",
        ("x",),
        {
            "kernel": Attribute(integers(2, 1, WINDOW)),
            "stride": Attribute(integers(2, 1, WINDOW)),
            "padding": Attribute(integers(4, 0, WINDOW), (0, 0, 0, 0)),
            "dilation": Attribute(integers(2, 1, WINDOW), NO_DILATION),
        },
        _infer_max_pool,
        _run_max_pool,
        _pool_cost,
    )
)


def _infer_avg_pool(attributes: Attributes, x: TensorType) -> TensorType:
    expect("x", x, ("float32",), rank=4)
    return _infer_pool(attributes, x)


def _run_avg_pool(attributes: Attributes, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    _check_sizes(attributes, x)
    acc = np.zeros(shape, np.float32)
    count = np.zeros((*shape[1:3], 1), np.float32)
    for (rows, columns), tap in _taps(attributes, shape, x):
        acc[:, rows, columns] += tap
        count[rows, columns] += np.float32(1)
    if attributes["count_include_pad"]:
        kernel_h, kernel_w = attributes["kernel"]
        count[:] = np.float32(kernel_h * kernel_w)
    return acc / count


register(
    Kind(
        "avg_pool",
        ("x",),
        {
            "kernel": Attribute(integers(2, 1, WINDOW)),
            "stride": Attribute(integers(2, 1, WINDOW)),
            "padding": Attribute(integers(4, 0, WINDOW), (0, 0, 0, 0)),
            "count_include_pad": Attribute(boolean, True),
        },
        _infer_avg_pool,
        _run_avg_pool,
        _pool_cost,
    )
)
