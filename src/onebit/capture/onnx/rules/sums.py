"""Float sums that a file writes out, so that every runtime adds in the same order, are one node again."""

from __future__ import annotations

import numpy as np

from onebit.capture.onnx.call import Call, Running, rule
from onebit.capture.values import Value
from onebit.ir import Node
from onebit.ir import dim as dims
from onebit.ir.kinds.reduction import PARTIALS


@rule("CumSum")
def running(call: Call) -> Running:
    """Running sums: only the last of them can be read."""
    axis = int(call.needed(1, "an axis").reshape(()).item())
    if call.dtype != "float32" or call.attributes.get("exclusive", 0) or call.attributes.get("reverse", 0):
        raise call.unsupported("running sums that are exclusive, reversed or not float32", "write them out")
    x = call.b.floats(call.value(0))
    return Running(x, axis % len(x.shape))


def last_sum(call: Call) -> Value:
    """The last running sum, a ``Gather``: the product with a row of ones, which adds in the same order."""
    b, index, made = call.b, call.needed(1, "an index"), call.inputs[0]
    assert made is not None
    x, axis = made.value.x, made.value.axis
    rank, size = len(x.shape), x.shape[axis]
    if not isinstance(size, int) or rank < 2 or index.ndim or int(index) not in (-1, size - 1):
        raise call.unsupported("running sums of which others than the last are read", "make it a sum")
    if call.attributes.get("axis", 0) % rank != axis:
        raise call.unsupported("running sums that are read along another axis", "make it a sum")
    others = [other for other in range(rank) if other != axis]
    x = b.lay_out(x, [*others[:-1], axis, others[-1]])
    row = b.tensor(np.ones((1, size), np.float32))
    product = b.value(b.emit("matmul", row, x.name))
    return b.squeeze(product, [rank - 2])


def halved(call: Call) -> Value | None:
    """The sum over the last axis where an ``Add`` is the last of its additions in halves; None for another one.

    What is padded with zeros, and cut into blocks of 16 that are summed by ``CumSum``, is what is summed.
    """
    part, size, split = call, 1, None
    while size < PARTIALS and (found := _split(part, 2 * size)) is not None:
        split, size = found, 2 * size
        before = split.maker(0, "Add")
        if before is None:
            break
        part = before
    if split is None:
        return None
    source: Call = split
    gather = split.maker(0, "Gather") if size == PARTIALS else None
    cumsum = gather.maker(0, "CumSum") if gather is not None else None
    if cumsum is not None:
        blocks = cumsum.value(0)
        reshape = cumsum.maker(0, "Reshape")
        merged = (*blocks.shape[:-2], dims.product(blocks.shape[-2:]))
        if reshape is None or reshape.value(0).shape != merged or blocks.shape[-1] != PARTIALS:
            return None
        if cumsum.needed(1, "an axis").reshape(()).item() % len(blocks.shape) != len(blocks.shape) - 2:
            return None
        source = reshape
    pad = source.maker(0, "Pad")
    x = pad.value(0) if pad is not None and _pads_the_end(pad, source.value(0)) else source.value(0)
    if not isinstance(x.shape[-1], int):
        return None
    last, b = len(x.shape) - 1, call.b
    x = b.floats(x) if x.order[-1] == last else b.channels_last(b.floats(x), last)
    return b.value(b.emit("reduce", x.name, op="sum", keepdims=True), x.order)


def _split(add: Call, size: int) -> Call | None:
    """The node that cuts a last axis of ``size`` into the two halves that ``add`` adds."""
    first, second = add.maker(0, "Split"), add.maker(1, "Split")
    if first is None or first is not second or first.outputs != 2 or add.is_same(0, add, 1):
        return None
    x = first.known(0).value
    if not isinstance(x, Value) or x.shape[-1] != size or add.dtype != "float32":
        return None
    whole = first.attributes.get("axis", 0) % len(x.shape) == len(x.shape) - 1
    halves = [add.value(index).shape[-1] for index in (0, 1)]
    return first if whole and halves == [size // 2] * 2 else None


def _pads_the_end(pad: Call, padded: Value) -> bool:
    """Whether a node adds nothing but zeros, after the last axis."""
    pads, rank = pad.integers("pads", 1), len(padded.shape)
    if pads is None or pad.attributes.get("mode", "constant") != "constant" or pad.has(3) or len(pads) != 2 * rank:
        return False
    return not any(pads[:-1]) and (pad.scalar(2, 0.0) if pad.opset >= 11 else pad.attributes.get("value", 0.0)) == 0


def positive_zeros(call: Call) -> Call | None:
    """The node whose result has +0.0 for -0.0 after a ``Where``; None where that does something else."""
    made = call.maker(0, "Equal")
    zeros = [call.constant(1), made.constant(1)] if made is not None else []
    if made is None or any(zero is None or zero.size != 1 or zero.reshape(()).item() != 0 for zero in zeros):
        return None
    return call.known(2).call if call.is_same(2, made, 0) else None


def without_zeros(call: Call) -> Value | None:
    """The sum whose zeros a ``Where`` makes positive, which those of the graph are; None for another ``Where``."""
    if positive_zeros(call) is None:
        return None
    x = call.known(2).value
    return x if _sum(call, x) is not None else None


def _sum(call: Call, x: Value | np.ndarray) -> Node | None:
    """The sum of the graph that a value is."""
    made = call.b.producer(x.name) if isinstance(x, Value) else None
    return made if made is not None and made.kind == "reduce" and made.attributes["op"] == "sum" else None


def squeezed(call: Call, axes: list[int]) -> Value | None:
    """A sum without the axis of size 1 over which it was taken, which a ``Squeeze`` removes; None for another one."""
    b, x = call.b, call.value(0)
    made, last = _sum(call, x), len(x.shape) - 1
    if made is None or not made.attributes.get("keepdims") or axes != [last] or x.order[-1] != last:
        return None
    return b.value(b.emit("reduce", *made.inputs, op="sum"), x.order[:-1])


def mean(call: Call) -> Value | None:
    """A sum that is divided by the number of its terms is a mean, and one over windows an average."""
    divisor, x = call.constant(1), call.known(0).value
    if call.dtype != "float32" or divisor is None or divisor.size != 1 or not isinstance(x, Value):
        return None
    count = divisor.reshape(()).item()
    made = _sum(call, x)
    if made is None:
        return _average(call, count)
    if divisor.ndim > len(x.shape) or call.b.types[made.inputs[0]].shape[-1] != count:
        return None
    return call.b.value(call.b.emit("reduce", *made.inputs, **made.attributes | {"op": "mean"}), x.order)


def _average(call: Call, count: float) -> Value | None:
    """The average over the windows whose taps are slices of one image, added row by row."""
    where = call.maker(0, "Where")
    add = positive_zeros(where) if where is not None else None
    taps: list[Call | None] = []
    while add is not None and add.op == "Add":
        taps.append(add.maker(1, "Slice"))
        add = add.maker(0, "Add", "Slice")
    slices = [tap for tap in (add, *reversed(taps)) if tap is not None]
    if len(slices) != len(taps) + 1 or len(slices) != count:
        return None
    first = slices[0]
    x, steps = first.value(0), first.integers("steps", 4)
    starts = [tap.integers("starts", 1) for tap in slices]
    alike = all(tap.is_same(0, first, 0) and tap.integers("steps", 4) == steps for tap in slices)
    if len(x.shape) != 4 or starts[-1] is None or steps is None or len(steps) != 2 or not alike:
        return None
    kernel = [last + 1 for last in starts[-1]]
    if any(tap.integers("axes", 3) != [2, 3] for tap in slices) or starts != [list(tap) for tap in np.ndindex(*kernel)]:
        return None
    sizes = [dims.evaluate(size, {}) if isinstance(size, int) else 0 for size in x.shape[2:]]
    counts = tuple((size - side) // step + 1 for size, side, step in zip(sizes, kernel, steps))
    if call.value(0).shape[2:] != counts or 0 in sizes:
        return None
    x = call.b.channels_last(call.b.floats(x))
    return call.b.value(call.b.emit("avg_pool", x.name, kernel=kernel, stride=steps), x.order)
