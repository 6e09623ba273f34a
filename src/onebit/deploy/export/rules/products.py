"""Products: convolution, linear, matmul."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onebit.deploy.export.exporter import SUMS, Exporter
from onebit.deploy.export.rules.table import onnx_rules
from onebit.ir import Node
from onebit.ir import dim as dims
from onebit.ir.kinds.convolution import EXACT_FLOAT32, MAGNITUDE

CHANNELS_SECOND = (0, 3, 1, 2)


@onnx_rules("conv")
def conv(e: Exporter, node: Node) -> None:
    """``Conv``; a padding of -1 or +1 is a ``Pad`` before it."""
    a = e.attributes(node)
    x = e.get(node.inputs[0], "float32", CHANNELS_SECOND).name
    top, bottom, left, right = a["padding"]
    if a["pad_value"] and any(a["padding"]):
        pads = e.constant([0, 0, top, left, 0, 0, bottom, right], np.int64)
        x = e.emit("Pad", x, pads, e.constant(np.float32(a["pad_value"])))
        top = bottom = left = right = 0
    more = {"strides": a["stride"], "dilations": a["dilation"], "group": a["groups"]}
    more["pads"] = (top, left, bottom, right)
    product(e, node, CHANNELS_SECOND, CHANNELS_SECOND, lambda weight: e.emit("Conv", x, weight, **more))


@onnx_rules("linear")
def linear(e: Exporter, node: Node) -> None:
    """``MatMul`` with the transposed weight."""
    order = e.order(node.inputs[0])
    if order[-1] != len(order) - 1:
        order = tuple(range(len(order)))
    x = e.get(node.inputs[0], "float32", order).name
    product(e, node, (1, 0), order, lambda weight: e.emit("MatMul", x, weight))


@onnx_rules("matmul")
def matmul(e: Exporter, node: Node) -> None:
    e.set(node.output, e.emit("MatMul", *map(e.plain, node.inputs)))


def product(
    e: Exporter,
    node: Node,
    weight_order: tuple[int, ...],
    order: tuple[int, ...],
    multiply: Callable[[str], str],
) -> None:
    """The result of a convolution or linear node, in ``order``, from ``multiply(weight)``.

    Integers are multiplied as floats, which is exact where no sum can reach 2^24 (and faster in ONNX Runtime
    than ``ConvInteger``). Where one can, the weights are taken apart into digits of fewer bits, the sums of which
    stay below, and put together as int32.
    """
    x, weight = node.inputs
    if e.types[node.output].dtype == "float32":
        e.set(node.output, multiply(e.get(weight, "float32", weight_order).name), order)
        return
    largest = MAGNITUDE[e.types[x].dtype]
    if not e.graph.is_constant(weight):
        taps = dims.evaluate(dims.product(e.types[weight].shape[1:]), {})
        bound = taps * MAGNITUDE[e.types[weight].dtype] * largest
        if bound >= EXACT_FLOAT32:
            raise e.unsupported(node, f"sums up to {bound} with weights that are no constants", "make them constants")
        e.set(node.output, multiply(e.get(weight, "float32", weight_order).name), order, SUMS)
        return
    codes = e.graph.tensors[weight].transpose(weight_order)
    if _bound(e, weight) * largest < EXACT_FLOAT32:
        e.set(node.output, multiply(e.codes(codes, weight in e.graph.bits)), order, SUMS)
        return
    total = ""
    for factor, digit in _digits(e, node, largest):
        sums = e.emit("Cast", multiply(e.codes(digit.transpose(weight_order), False)), to="int32")
        sums = sums if factor == 1 else e.emit("Mul", sums, e.constant(np.int32(factor)))
        total = e.emit("Add", total, sums) if total else sums
    e.set(node.output, total, order)


def _bound(e: Exporter, weight: str) -> int:
    """The largest sum of absolute weights of one output."""
    array = np.abs(e.graph.tensors[weight].astype(np.int64))
    return int(array.reshape(len(array), -1).sum(1).max(initial=0))


def _digits(e: Exporter, node: Node, largest: int) -> list[tuple[int, np.ndarray]]:
    """Weights as a sum of factor x digit, where the sums of no digit with ``x`` up to ``largest`` reach 2^24."""
    array = e.graph.tensors[node.inputs[1]].astype(np.int64)
    taps = array[0].size
    for bits in (7, 6, 5, 4, 3, 2, 1):
        if taps * largest * ((1 << bits) - 1) < EXACT_FLOAT32:
            found, shift = [], 0
            while shift < 8:
                last = shift + bits >= 8
                digit = array >> shift if last else (array >> shift) & ((1 << bits) - 1)
                found.append((1 << shift, digit.astype(np.int8)))
                shift += bits
            return found
    raise e.unsupported(node, f"sums of {taps} products, which float32 does not hold exactly", "use fewer channels")
