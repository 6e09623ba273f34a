"""Comparisons, logic, selection and look-up."""

from __future__ import annotations

from onebit.deploy.export.exporter import Exporter
from onebit.deploy.export.rules.table import onnx_rules
from onebit.ir import Node

COMPARISONS = {"eq": "Equal", "ne": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"}
#: dtypes in which every runtime compares and selects; the others become floats for it, which hold them exactly.
NATIVE = ("float32", "int32", "int64")


@onnx_rules("compare")
def compare(e: Exporter, node: Node) -> None:
    order, op = e.common_order(*node.inputs), node.attributes["op"]
    dtype = e.types[node.inputs[0]].dtype
    given = dtype if dtype in NATIVE else "float32"
    result = e.emit(COMPARISONS[op], *e.operands(node.inputs, order, given))
    e.set(node.output, e.emit("Not", result) if op == "ne" else result, order)


@onnx_rules("logical_and", "logical_or")
def logical(e: Exporter, node: Node) -> None:
    order = e.common_order(*node.inputs)
    op = "And" if node.kind == "logical_and" else "Or"
    e.set(node.output, e.emit(op, *e.operands(node.inputs, order)), order)


@onnx_rules("logical_not")
def logical_not(e: Exporter, node: Node) -> None:
    x = e.get(node.inputs[0])
    e.set(node.output, e.emit("Not", x.name), x.order)


@onnx_rules("where")
def where(e: Exporter, node: Node) -> None:
    condition, *branches = node.inputs
    order = e.common_order(*node.inputs)
    dtype = e.types[node.output].dtype
    given = dtype if dtype in NATIVE else "float32"
    names = [e.operand(x, order, given) for x in branches]
    e.set(node.output, e.emit("Where", e.operand(condition, order), *names), order, given)


@onnx_rules("embedding")
def embedding(e: Exporter, node: Node) -> None:
    """``Gather``; an index below 0 counts from the end there, and is an error of the graph."""
    weight, index = e.plain(node.inputs[0]), e.get(node.inputs[1])
    e.set(node.output, e.emit("Gather", weight, index.name, axis=0), (*index.order, len(index.order)))
