"""Reductions over the last axis, and the normalisations that stand on them."""

from __future__ import annotations

import numpy as np

from onebit.deploy.export.exporter import Exporter
from onebit.deploy.export.rules.table import onnx_rules
from onebit.ir import Node

OPERATIONS = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin"}
AXES_AS_INPUT = 18  # the first opset in which all reductions take their axes as an input; ReduceSum does from 13 on


@onnx_rules("reduce")
def reduce(e: Exporter, node: Node) -> None:
    x, a = e.get(node.inputs[0]), e.attributes(node)
    last = len(x.order) - 1
    axis, op = x.order.index(last), OPERATIONS[a["op"]]
    if op == "ReduceSum" or e.opset >= AXES_AS_INPUT:
        name = e.emit(op, x.name, e.constant([axis], np.int64), keepdims=int(a["keepdims"]))
    else:
        name = e.emit(op, x.name, axes=[axis], keepdims=int(a["keepdims"]))
    e.set(node.output, name, x.order if a["keepdims"] else [other for other in x.order if other != last])


@onnx_rules("softmax")
def softmax(e: Exporter, node: Node) -> None:
    x = e.get(node.inputs[0])
    e.set(node.output, e.emit("Softmax", x.name, axis=x.order.index(len(x.order) - 1)), x.order)


@onnx_rules("layer_norm")
def layer_norm(e: Exporter, node: Node) -> None:
    order = e.order(node.inputs[0])
    if order[-1] != len(order) - 1:
        order = tuple(range(len(order)))
    x = e.get(node.inputs[0], order=order).name
    weight, bias = map(e.plain, node.inputs[1:])
    e.set(node.output, e.emit("LayerNormalization", x, weight, bias, axis=-1, epsilon=e.attributes(node)["eps"]), order)


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
