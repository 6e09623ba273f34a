"""Comparisons and logic."""

from __future__ import annotations

from onebit.capture.onnx.call import Call, rule
from onebit.capture.values import Value

COMPARED = ("float32", "int32", "int64")


def _compare(name: str, op: str) -> None:
    @rule(name, dtype="bool")
    def compare(call: Call) -> Value:
        dtype = call.known(0).dtype
        dtype = dtype if dtype in COMPARED else "float32"
        return call.b.elementwise("compare", call.operand(0), call.operand(1), dtypes=[dtype] * 2, op=op)


for _name, _op in (
    ("Equal", "eq"),
    ("Less", "lt"),
    ("LessOrEqual", "le"),
    ("Greater", "gt"),
    ("GreaterOrEqual", "ge"),
):
    _compare(_name, _op)


@rule("IsNaN", dtype="bool")
def is_nan(call: Call) -> Value:
    x = call.operand(0)
    return call.b.elementwise("compare", x, x, dtypes=["float32"] * 2, op="ne")


@rule("And", "Or", dtype="bool")
def logical(call: Call) -> Value:
    kind = "logical_and" if call.op == "And" else "logical_or"
    return call.b.elementwise(kind, call.operand(0), call.operand(1), dtypes=["bool"] * 2)


@rule("Not", dtype="bool")
def logical_not(call: Call) -> Value:
    made = call.maker(0, "Equal")
    if made is not None:  # not equal is a comparison of its own
        dtype = made.known(0).dtype
        dtype = dtype if dtype in COMPARED else "float32"
        return call.b.elementwise("compare", made.operand(0), made.operand(1), dtypes=[dtype] * 2, op="ne")
    return call.b.elementwise("logical_not", call.operand(0), dtypes=["bool"])
