"""Parts of a value."""

from __future__ import annotations

from typing import NoReturn

import torch

from onebit.capture.builder import Builder
from onebit.capture.rules.table import rule
from onebit.capture.values import Constant, Value
from onebit.ir.dim import Dim


def _bound(b: Builder, index, size: Dim, default: int) -> int | None:
    """A slice's bound in 0..size, or None for the end of a dynamic size."""
    if index is None:
        index = default
    if isinstance(size, str):
        if index == 0:
            return 0
        if (isinstance(index, str) and index == size) or (isinstance(index, int) and index >= 2**31):
            return None
        raise b.unsupported("a slice of a dynamic axis", "make that size static")
    if isinstance(index, str):
        raise b.unsupported("a slice with a dynamic bound", "make that size static")
    return min(max(index + size if index < 0 else index, 0), size)


@rule("aten.slice.Tensor")
def slice_(b: Builder, x, axis=0, start=None, stop=None, step=1) -> Value:
    x = b.materialize(x)
    axis %= len(x.shape)
    size = x.shape[axis]
    first, last = _bound(b, start, size, 0), _bound(b, stop, size, 2**63 - 1)
    if isinstance(size, str) or first is None or last is None:
        if first == 0 and last is None and step == 1:
            return x
        raise b.unsupported("a slice of a dynamic axis", "make that size static")
    return b.slice(x, axis, first, max(first, last), step)


@rule("aten.narrow.default")
def narrow(b: Builder, x, axis, start, length) -> Value:
    return slice_(b, x, axis, start, start + length)


@rule("aten.select.int")
def select(b: Builder, x, axis, index) -> Value:
    x = b.materialize(x)
    axis %= len(x.shape)
    size = x.shape[axis]
    if isinstance(size, str) or isinstance(index, str):
        raise b.unsupported("one entry of a dynamic axis", "make that size static")
    index %= size
    return b.squeeze(b.slice(x, axis, index, index + 1), [axis])


@rule("aten.split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default")
def split(b: Builder, x, *args, **kwargs) -> list[Value]:
    x = b.materialize(x)
    axis = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % len(x.shape)
    parts, start = [], 0
    for part in b.outs:
        size = part.shape[axis]
        if isinstance(size, str):
            raise b.unsupported("splitting a dynamic axis", "make that size static")
        parts.append(b.slice(x, axis, start, start + size))
        start += size
    return parts


@rule("aten.unbind.int")
def unbind(b: Builder, x, axis=0) -> list[Value]:
    return [select(b, x, axis, index) for index in range(len(b.outs))]


@rule("aten.index_select.default")
def index_select(b: Builder, x, axis, index) -> Value:
    return _take(b, b.materialize(x), axis % len(x.shape), _numbers(b, index))


@rule("aten.index.Tensor")
def index(b: Builder, x: Value, indices) -> Value:
    """Indexing by constants along one axis, or by all rows of a dynamic axis and constants along the next one."""
    x = b.materialize(x)
    given = {axis: entry for axis, entry in enumerate(indices) if entry is not None}
    ranges = [axis for axis, entry in given.items() if isinstance(entry, Constant) and entry.counts]
    if len(given) == 2 and ranges == [0] and set(given) == {0, 1}:
        return (
            b.reshape(_take(b, x, 1, _numbers(b, given[1])), b.out.shape) if _grid(given[0], given[1]) else _refuse(b)
        )
    if len(given) == 1 and not ranges:
        ((axis, entry),) = given.items()
        if len(entry.shape) <= 1:
            return _take(b, x, axis, _numbers(b, entry))
    return _refuse(b)


def _grid(rows: Constant, columns: Constant) -> bool:
    """Whether the rows vary along an axis before the only one along which the columns do."""
    rank = max(len(rows.shape), len(columns.shape))
    vary = [[axis - len(c.shape) + rank for axis, size in enumerate(c.shape) if size != 1] for c in (rows, columns)]
    return len(vary[0]) == 1 and len(vary[1]) <= 1 and all(vary[0][0] < axis for axis in vary[1])


def _refuse(b: Builder) -> NoReturn:
    raise b.unsupported("indexing by a tensor", "index by constants along one axis, or use an embedding")


def _numbers(b: Builder, entry) -> list[int]:
    if not isinstance(entry, Constant) or entry.counts or entry.tensor.dtype.is_floating_point:
        _refuse(b)
    values = entry.tensor.reshape(-1)
    return (values.nonzero().reshape(-1) if values.dtype == torch.bool else values).tolist()


def _take(b: Builder, x: Value, axis: int, numbers: list[int]) -> Value:
    """The entries ``numbers`` along ``axis``: one slice where they are evenly spaced, else one for each, joined."""
    size = x.shape[axis]
    if isinstance(size, str):
        raise b.unsupported("indexing a dynamic axis", "make that size static")
    numbers = [number % size for number in numbers]
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    if step > 0 and numbers == list(range(numbers[0], numbers[-1] + 1, step)):
        return b.slice(x, axis, numbers[0], numbers[-1] + 1, step)
    if not 0 < len(numbers) <= 64:
        raise b.unsupported(f"{len(numbers)} indices without a regular step", "use an embedding")
    parts = [b.lay_out(b.slice(x, axis, number, number + 1), x.order).name for number in numbers]
    return b.value(b.emit("concat", *parts, axis=x.order.index(axis)), x.order)


@rule("aten.select_scatter.default")
def select_scatter(b: Builder, x, part, axis, index) -> Value:
    """``x`` with ``x.select(axis, index)`` replaced by ``part``: what ``x[:, 0] = part`` becomes."""
    axis %= len(x.shape)
    size = x.shape[axis]
    if isinstance(size, str) or isinstance(index, str):
        raise b.unsupported("writing to one entry of a dynamic axis", "make that size static")
    return _replace(b, x, b.unsqueeze(b.materialize(part), axis), axis, index % size)


@rule("aten.slice_scatter.default")
def slice_scatter(b: Builder, x, part, axis=0, start=None, stop=None, step=1) -> Value:
    """``x`` with ``x[start:stop]`` along ``axis`` replaced by ``part``."""
    axis %= len(x.shape)
    first, last = _bound(b, start, x.shape[axis], 0), _bound(b, stop, x.shape[axis], 2**63 - 1)
    if first == 0 and last is None:
        return part
    if step != 1 or first is None or last is None:
        raise b.unsupported("writing to a slice with a step", "use torch.where with a mask")
    return _replace(b, x, b.materialize(part), axis, first)


def _replace(b: Builder, x, part: Value, axis: int, start: int) -> Value:
    x = b.materialize(x)
    stop, size = start + int(part.shape[axis]), int(x.shape[axis])
    dtype = x.dtype if x.dtype == part.dtype else "float32" if b.out.floating else "int64"
    x, part = b.as_dtype(x, dtype), b.lay_out(b.as_dtype(part, dtype), x.order)
    names = [b.slice(x, axis, 0, start).name] if start else []
    names += [part.name, *([b.slice(x, axis, stop, size).name] if stop < size else [])]
    if len(names) == 1:
        return part
    return b.value(b.emit("concat", *names, axis=x.order.index(axis)), x.order)
