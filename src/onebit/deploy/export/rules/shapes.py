"""What moves values: transpose, reshape, concat, slice, pad, broadcast_to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onebit.deploy.export.exporter import Exporter
from onebit.deploy.export.rules.table import onnx_rules
from onebit.ir import Node
from onebit.ir import dim as dims

END = 2**63 - 1  # of an axis of any size


@onnx_rules("transpose")
def transpose(e: Exporter, node: Node) -> None:
    """No node: the same tensors in another order."""
    e.permute(node.output, node.inputs[0], node.attributes["perm"])


@onnx_rules("reshape")
def reshape(e: Exporter, node: Node) -> None:
    """``Reshape``; nothing where only axes of size 1 move."""
    x = node.inputs[0]
    have, want = e.types[x].shape, e.types[node.output].shape
    perm = _moved_ones(have, want)
    if perm is not None:
        e.permute(node.output, x, perm)
    else:
        e.set(node.output, e.shapes.reshape(e.plain(x), have, want))


def _moved_ones(have: Sequence[dims.Dim], want: Sequence[dims.Dim]) -> list[int] | None:
    """The permutation that a reshape is where only axes of size 1 move, else None."""
    full = [axis for axis, size in enumerate(have) if size != 1]
    if len(have) != len(want) or [have[axis] for axis in full] != [size for size in want if size != 1]:
        return None
    ones = [axis for axis, size in enumerate(have) if size == 1]
    return [(ones if size == 1 else full).pop(0) for size in want]


@onnx_rules("concat")
def concat(e: Exporter, node: Node) -> None:
    order = e.common_order(*node.inputs)
    names = [e.get(x, order=order).name for x in node.inputs]
    e.set(node.output, e.emit("Concat", *names, axis=order.index(e.attributes(node)["axis"])), order)


@onnx_rules("slice")
def slice_(e: Exporter, node: Node) -> None:
    x, a = e.get(node.inputs[0]), e.attributes(node)
    stop = END if a["stop"] is None else a["stop"]
    bounds = [e.constant([n], np.int64) for n in (a["start"], stop, x.order.index(a["axis"]), a["step"])]
    e.set(node.output, e.emit("Slice", x.name, *bounds), x.order)


@onnx_rules("pad")
def pad(e: Exporter, node: Node) -> None:
    x, a = e.get(node.inputs[0]), e.attributes(node)
    pairs = [a["pads"][axis] for axis in x.order]
    pads = e.constant([before for before, _ in pairs] + [after for _, after in pairs], np.int64)
    e.set(node.output, e.emit("Pad", x.name, pads, e.constant(np.float32(a["value"]))), x.order)


@onnx_rules("broadcast_to")
def broadcast_to(e: Exporter, node: Node) -> None:
    shape = e.types[node.output].shape
    order = tuple(range(len(shape)))
    e.set(node.output, e.emit("Expand", e.operand(node.inputs[0], order), e.shapes.tensor(shape)), order)
