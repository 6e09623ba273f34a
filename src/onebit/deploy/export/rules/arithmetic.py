"""Elementwise arithmetic, and functions with a constant per channel."""

from __future__ import annotations

import numpy as np

from onebit.deploy.export.exporter import Exporter
from onebit.deploy.export.rules.table import onnx_rules
from onebit.ir import Node

TWO_OPERANDS = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min"}
ORDERED = {"max": "Greater", "min": "Less"}
ONE_OPERAND = {
    "neg": "Neg",
    "abs": "Abs",
    "sqrt": "Sqrt",
    "exp": "Exp",
    "tanh": "Tanh",
    "erf": "Erf",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
}


@onnx_rules(*TWO_OPERANDS)
def two_operands(e: Exporter, node: Node) -> None:
    order = e.common_order(*node.inputs)
    a, b = e.operands(node.inputs, order)
    if node.kind in ORDERED and e.types[node.output].dtype == "int64":
        # ONNX Runtime compares the lower halves alone in Max and Min (1.31 on x86-64)
        e.set(node.output, e.emit("Where", e.emit(ORDERED[node.kind], a, b), a, b), order)
        return
    e.set(node.output, e.emit(TWO_OPERANDS[node.kind], a, b), order)


@onnx_rules(*ONE_OPERAND)
def one_operand(e: Exporter, node: Node) -> None:
    x = e.get(node.inputs[0])
    e.set(node.output, e.emit(ONE_OPERAND[node.kind], x.name), x.order)


@onnx_rules("clip")
def clip(e: Exporter, node: Node) -> None:
    x, a = e.get(node.inputs[0]), e.attributes(node)
    limits = [e.constant(np.float32(a[name])) for name in ("low", "high")]
    e.set(node.output, e.emit("Clip", x.name, *limits), x.order)


@onnx_rules("affine")
def affine(e: Exporter, node: Node) -> None:
    """``Add(Mul(x, scale), shift)``."""
    x = e.get(node.inputs[0], "float32")
    scaled = e.emit("Mul", x.name, e.channel_vector(node.inputs[1], x.order))
    e.set(node.output, e.emit("Add", scaled, e.channel_vector(node.inputs[2], x.order)), x.order)


@onnx_rules("prelu")
def prelu(e: Exporter, node: Node) -> None:
    """``PRelu``, which multiplies by the slope where x < 0; at zeros both give a zero."""
    x = e.get(node.inputs[0])
    e.set(node.output, e.emit("PRelu", x.name, e.channel_vector(node.inputs[1], x.order)), x.order)
