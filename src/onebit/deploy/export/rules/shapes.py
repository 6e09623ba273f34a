"""What moves values: transpose, reshape, concat, slice, pad, broadcast_to."""

from __future__ import annotations

from collections.abc import Sequence

from onebit.deploy.export.exporter import Exporter
from onebit.deploy.export.rules.table import onnx_rules
from onebit.ir import Node
from onebit.ir import dim as dims


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
