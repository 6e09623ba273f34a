"""Arithmetic: one, two and more operands."""

from __future__ import annotations

import torch

from onebit.capture.builder import Operand
from onebit.capture.onnx.call import Call, rule
from onebit.capture.onnx.rules import sums
from onebit.capture.onnx.rules.digits import digits
from onebit.capture.onnx.rules.normalization import written_out as layer_norm
from onebit.capture.rules import arithmetic
from onebit.capture.values import Value, constant

NUMBERS = ("float32", "int32", "int64")


def two(call: Call, kind: str, a: Operand, b: Operand) -> Value:
    """An elementwise kind of two operands in the dtype of the node."""
    if call.dtype not in NUMBERS or (kind == "div" and call.dtype != "float32"):
        raise call.unsupported(f"{kind} of {call.dtype}", "cast to float32 first")
    return call.b.elementwise(kind, a, b, dtypes=[call.dtype] * 2)


def _two(op: str, kind: str) -> None:
    rule(op)(lambda call: two(call, kind, call.operand(0), call.operand(1)))


for _op, _kind in (("Sub", "sub"), ("Mul", "mul")):
    _two(_op, _kind)


@rule("Add")
def add(call: Call) -> Value:
    return digits(call) or sums.halved(call) or layer_norm(call) or two(call, "add", call.operand(0), call.operand(1))


@rule("Div")
def div(call: Call) -> Value:
    return sums.mean(call) or two(call, "div", call.operand(0), call.operand(1))


def _many(op: str, kind: str) -> None:
    @rule(op)
    def many(call: Call):
        result: Operand = call.operand(0)
        for index in range(1, len(call.inputs)):
            result = two(call, kind, result, call.operand(index))
        return result


for _op, _kind in (("Max", "max"), ("Min", "min"), ("Sum", "add")):
    _many(_op, _kind)


def _one(op: str, kind: str) -> None:
    @rule(op)
    def one(call: Call) -> Value:
        if call.dtype != "float32":
            raise call.unsupported(f"{kind} of {call.dtype}", "cast to float32 first")
        return call.b.float_op(kind, call.operand(0))


for _kind in ("neg", "abs", "sqrt", "exp", "tanh", "erf", "sigmoid", "relu"):
    _one(_kind.capitalize(), _kind)


@rule("Reciprocal")
def reciprocal(call: Call) -> Value:
    return arithmetic.reciprocal(call.b, call.operand(0))


@rule("Pow")
def power(call: Call):
    return arithmetic.power(call.b, call.operand(0), call.scalar(1, 1.0))


ROUNDER = 1.5 * 2.0**23


@rule("Round")
def round_(call: Call) -> Value:
    """Half to even: below 2^22, adding and subtracting 1.5 x 2^23 rounds; floats above are whole."""
    b, x = call.b, call.operand(0)
    whole = b.float_op("sub", b.float_op("add", x, ROUNDER), ROUNDER)
    small = b.elementwise("compare", b.float_op("abs", x), 2.0**22, dtypes=["float32"] * 2, op="lt")
    return b.elementwise("where", small, whole, x, dtypes=["bool", "float32", "float32"])


@rule("Sign")
def sign(call: Call) -> Value:
    """-1, 0 or 1."""
    b, x = call.b, call.operand(0)

    def where(op: str, inside: float, outside: Operand) -> Value:
        found = b.elementwise("compare", x, 0.0, dtypes=["float32"] * 2, op=op)
        return b.elementwise("where", found, inside, outside, dtypes=["bool", "float32", "float32"])

    return where("gt", 1.0, where("lt", -1.0, constant(torch.tensor(0.0))))
