"""Arithmetic, comparisons, logic, selection, casts."""

from __future__ import annotations

import torch

from onebit.capture.builder import Builder, Operand
from onebit.capture.rules.table import rule
from onebit.capture.values import DTYPES, Constant, Value


def _scaled(b: Builder, y: Operand, alpha: float) -> Operand:
    return y if alpha == 1 else b.arithmetic("mul", y, alpha)


@rule("aten.add.Tensor", "aten.add.Scalar", "aten.add_.Tensor")
def add(b: Builder, x, y, alpha=1) -> Value:
    return b.arithmetic("add", x, _scaled(b, y, alpha))


@rule("aten.sub.Tensor", "aten.sub.Scalar")
def sub(b: Builder, x, y, alpha=1) -> Value:
    return b.arithmetic("sub", x, _scaled(b, y, alpha))


@rule("aten.rsub.Scalar", "aten.rsub.Tensor")
def rsub(b: Builder, x, y, alpha=1) -> Value:
    return b.arithmetic("sub", y, _scaled(b, x, alpha))


@rule("aten.mul.Tensor", "aten.mul.Scalar")
def mul(b: Builder, x, y) -> Value:
    return b.arithmetic("mul", x, y)


@rule("aten.div.Tensor", "aten.div.Scalar")
def div(b: Builder, x, y) -> Value:
    return b.float_op("div", x, y)


@rule("aten.maximum.default")
def maximum(b: Builder, x, y) -> Value:
    return b.arithmetic("max", x, y)


@rule("aten.minimum.default")
def minimum(b: Builder, x, y) -> Value:
    return b.arithmetic("min", x, y)


@rule("aten.reciprocal.default")
def reciprocal(b: Builder, x) -> Value:
    return b.float_op("div", 1.0, x)


@rule("aten.rsqrt.default")
def rsqrt(b: Builder, x) -> Value:
    return b.float_op("div", 1.0, b.float_op("sqrt", x))


@rule("aten.square.default")
def square(b: Builder, x) -> Value:
    return b.arithmetic("mul", x, x)


@rule("aten.pow.Tensor_Scalar")
def power(b: Builder, x, exponent) -> Value:
    if exponent in (2, 3, 4):
        result = squared = b.arithmetic("mul", x, x)
        if exponent > 2:
            result = b.arithmetic("mul", squared, x if exponent == 3 else squared)
        return result
    if exponent == 1:
        return x
    if exponent in (0.5, -0.5):
        root = b.float_op("sqrt", x)
        return root if exponent > 0 else b.float_op("div", 1.0, root)
    if exponent == -1:
        return reciprocal(b, x)
    raise b.unsupported(f"the exponent is {exponent}", "exponents 1, 2, 3, 4, 0.5, -0.5 and -1 can be captured")


def _unary(kind: str):
    return lambda b, x: b.float_op(kind, x)


for _kind in ("neg", "abs", "sqrt", "exp", "tanh", "erf", "sigmoid", "relu"):
    rule(f"aten.{_kind}.default", f"aten.{_kind}_.default")(_unary(_kind))


def _is_integer(x: Operand) -> bool:
    if isinstance(x, Value):
        return x.dtype in ("int64", "int32", "bool")
    if isinstance(x, Constant):
        return not x.tensor.dtype.is_floating_point
    return isinstance(x, (int, bool))


def _compare(op: str):
    def compare(b: Builder, x, y) -> Value:
        dtype = "int64" if _is_integer(x) and _is_integer(y) else "float32"
        return b.elementwise("compare", x, y, dtypes=[dtype, dtype], op=op)

    return compare


for _op in ("eq", "ne", "lt", "le", "gt", "ge"):
    rule(f"aten.{_op}.Tensor", f"aten.{_op}.Scalar")(_compare(_op))


def _both_bool(x: Operand, y: Operand) -> bool:
    dtypes = [
        x.dtype if isinstance(x, Value) else DTYPES[x.tensor.dtype] for x in (x, y) if isinstance(x, (Value, Constant))
    ]
    return all(dtype == "bool" for dtype in dtypes)


def _logical(kind: str):
    def logical(b: Builder, x, y) -> Value:
        if not b.op.startswith("aten.logical") and not _both_bool(x, y):
            raise b.unsupported("bitwise logic on integers", "use boolean masks")
        return b.elementwise(kind, x, y, dtypes=["bool", "bool"])

    return logical


for _kind, _names in (("logical_and", ("__and__", "bitwise_and")), ("logical_or", ("__or__", "bitwise_or"))):
    rule(f"aten.{_kind}.default", *(f"aten.{name}.Tensor" for name in _names))(_logical(_kind))


@rule("aten.logical_not.default", "aten.bitwise_not.default")
def logical_not(b: Builder, x) -> Value:
    if b.op == "aten.bitwise_not.default" and x.dtype != "bool":
        raise b.unsupported("bitwise logic on integers", "use boolean masks")
    return b.elementwise("logical_not", x, dtypes=["bool"])


@rule("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.where.Scalar")
def where(b: Builder, condition, x, y) -> Value:
    dtype = DTYPES[b.out.dtype]
    slope = _prelu_slope(b, condition, x, y)
    if slope is not None and isinstance(x, Value):
        return b.value(b.emit("prelu", x.name, slope), x.order)
    return b.elementwise("where", condition, x, y, dtypes=["bool", dtype, dtype])


def _prelu_slope(b: Builder, condition: Operand, x: Operand, y: Operand) -> str | None:
    """The slopes where ``where(x > 0, x, x * slopes)`` is a PReLU, one a channel (the last axis) or one."""
    if not (isinstance(condition, Value) and isinstance(x, Value) and isinstance(y, Value)):
        return None
    positive, scaled = b.producer(condition.name), b.producer(y.name)
    if positive is None or scaled is None or positive.kind != "compare" or scaled.kind != "mul" or x.dtype != "float32":
        return None
    zero = b.tensors.get(positive.inputs[1])
    if (
        positive.attributes["op"] != "gt"
        or positive.inputs[0] != x.name
        or zero is None
        or zero.size != 1
        or zero.item() != 0
    ):
        return None
    slopes = [name for name in scaled.inputs if name != x.name]
    if len(slopes) != 1 or x.order != y.order or b.types[y.name] != b.types[x.name] or slopes[0] not in b.tensors:
        return None
    shape = b.tensors[slopes[0]].shape
    return slopes[0] if shape == (1,) or shape == (x.laid_out[-1],) else None


@rule("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def masked_fill(b: Builder, x, mask, value) -> Value:
    return where(b, mask, value, x)


@rule("aten._to_copy.default", "aten.to.dtype", "aten.type_as.default")
def cast(b: Builder, x: Value, *_, dtype: torch.dtype | None = None, **__) -> Value:
    if b.out.floating:  # it may be bits, codes or integer sums in the graph: they widen where arithmetic asks for it
        return b.floats(x) if x.dtype == "int64" else x
    if b.out.dtype not in DTYPES:
        raise b.unsupported(f"a cast to {b.out.dtype}", "use float32, int64 or bool")
    return b.as_dtype(x, DTYPES[b.out.dtype])
