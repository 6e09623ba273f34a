"""Reductions over the last axis, and the normalisations that stand on them."""

from __future__ import annotations

import numpy as np

from onebit.deploy.export.exporter import Exporter
from onebit.deploy.export.rules.sums import channels_last, total
from onebit.deploy.export.rules.table import onnx_rules
from onebit.ir import Node

OPERATIONS = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin"}
AXES_AS_INPUT = 18  # the first opset in which all reductions take their axes as an input; ReduceSum does from 13 on


@onnx_rules("reduce")
def reduce(e: Exporter, node: Node) -> None:
    """Sums and means that bits depend on are written out in their order (:mod:`.sums`); all else is one operator."""
    x, a = e.get(node.inputs[0]), e.attributes(node)
    last = len(x.order) - 1
    kept = x.order if a["keepdims"] else [other for other in x.order if other != last]
    size = e.types[node.inputs[0]].shape[-1]
    if a["op"] in ("sum", "mean") and node.output in e.deciding and isinstance(size, int) and size > 1:
        x, shape = channels_last(e, node.inputs[0])
        name = total(e, x.name, shape, keepdims=a["keepdims"], negative_zero=not _is_absolute(e, node.inputs[0]))
        name = name if a["op"] == "sum" else e.emit("Div", name, e.constant(np.float32(size)))
        e.set(node.output, name, x.order if a["keepdims"] else x.order[:-1])
        return
    axis, op = x.order.index(last), OPERATIONS[a["op"]]
    if op == "ReduceSum" or e.opset >= AXES_AS_INPUT:
        name = e.emit(op, x.name, e.constant([axis], np.int64), keepdims=int(a["keepdims"]))
    else:
        name = e.emit(op, x.name, axes=[axis], keepdims=int(a["keepdims"]))
    e.set(node.output, name, kept)


def _is_absolute(e: Exporter, value: str) -> bool:
    """Whether a value is one of ``abs``, perhaps moved, so that no zero in it is a negative one."""
    makers = {node.output: node for node in e.graph.nodes}
    while value in makers and makers[value].kind in ("reshape", "transpose"):
        value = makers[value].inputs[0]
    return value in makers and makers[value].kind == "abs"


@onnx_rules("softmax")
def softmax(e: Exporter, node: Node) -> None:
    x = e.get(node.inputs[0])
    e.set(node.output, e.emit("Softmax", x.name, axis=x.order.index(len(x.order) - 1)), x.order)


@onnx_rules("layer_norm")
def layer_norm(e: Exporter, node: Node) -> None:
    """``LayerNormalization``; its definition written out where bits depend on it."""
    x, shape = channels_last(e, node.inputs[0])
    weight, bias = map(e.plain, node.inputs[1:])
    eps, size = e.attributes(node)["eps"], shape[-1]
    if node.output not in e.deciding or not isinstance(size, int) or size == 1:
        name = e.emit("LayerNormalization", x.name, weight, bias, axis=-1, epsilon=eps)
        e.set(node.output, name, x.order)
        return
    count = e.constant(np.float32(size))
    off = e.emit("Sub", x.name, e.emit("Div", total(e, x.name, shape), count))
    variance = e.emit("Div", total(e, e.emit("Mul", off, off), shape, negative_zero=False), count)
    deviation = e.emit("Sqrt", e.emit("Add", variance, e.constant(np.float32(eps))))
    scaled = e.emit("Mul", e.emit("Div", off, deviation), weight)
    e.set(node.output, e.emit("Add", scaled, bias), x.order)


@onnx_rules("batch_norm")
def batch_norm(e: Exporter, node: Node) -> None:
    """``BatchNormalization`` of images and of what has its channels second; the same arithmetic written out else."""
    x, *vectors = node.inputs
    eps = e.attributes(node)["eps"]
    rank = len(e.types[x].shape)
    order = (0, 3, 1, 2) if rank == 4 else e.order(x)
    if rank > 1 and order[1] == rank - 1 and all(map(e.graph.is_constant, vectors)):
        names = [e.plain(vector) for vector in vectors]
        result = e.emit("BatchNormalization", e.get(x, order=order).name, *names, epsilon=eps)
        e.set(node.output, result, order)
        return
    weight, bias, mean, var = (e.channel_vector(vector, order) for vector in vectors)
    deviation = e.emit("Sqrt", e.emit("Add", var, e.constant(np.float32(eps))))
    result = e.emit("Div", e.emit("Sub", e.get(x, order=order).name, mean), deviation)
    e.set(node.output, e.emit("Add", e.emit("Mul", result, weight), bias), order)
