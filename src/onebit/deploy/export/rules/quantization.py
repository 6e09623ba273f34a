"""Between number systems: sign, threshold, quantize, cast."""

from __future__ import annotations

import numpy as np

from onebit.deploy.export.exporter import SUMS, Exporter
from onebit.deploy.export.rules.table import onnx_rules
from onebit.ir import Node
from onebit.ir.kinds.convolution import EXACT_FLOAT32
from onebit.ir.types import NUMPY

ONE, MINUS_ONE, ZERO = np.float32(1), np.float32(-1), np.float32(0)
LEAST, MOST = -(2**31), 2**31 - 1


@onnx_rules("sign")
def sign(e: Exporter, node: Node) -> None:
    """``Where(x >= 0, 1, -1)``: +1 for both zeros and -1 for NaN, which the operator ``Sign`` does not give."""
    x = e.get(node.inputs[0])
    bits = e.emit("GreaterOrEqual", x.name, e.constant(ZERO))
    e.set(node.output, e.emit("Where", bits, e.constant(ONE), e.constant(MINUS_ONE)), x.order)


@onnx_rules("threshold")
def threshold(e: Exporter, node: Node) -> None:
    """``Where(x >= limit, sense, -sense)``; ``x <= limit`` is ``not x >= limit + 1``.

    On sums of a product the limits are floats too: those beyond every sum stand for infinity.
    """
    source, *parameters = node.inputs
    if not all(map(e.graph.is_constant, parameters)):
        raise e.unsupported(node, "limits that are no constants", "make them constants")
    limit, sense = (e.graph.tensors[name].astype(np.int64) for name in parameters)
    limit = np.where(sense > 0, limit, limit + 1)
    if e.has(source, SUMS):
        x = e.get(source, SUMS)
        limit = np.clip(limit, -EXACT_FLOAT32, EXACT_FLOAT32).astype(np.float32)
    else:
        x = e.get(source)
        always = limit > MOST  # x <= the largest int32
        limit, sense = np.where(always, LEAST, limit).astype(np.int32), np.where(always, 1, sense)
    above = e.emit("GreaterOrEqual", x.name, e.channels(limit, x.order))
    sense = sense.astype(np.float32)
    if np.all(sense > 0):
        plus, minus = e.constant(ONE), e.constant(MINUS_ONE)
    else:
        plus, minus = e.channels(sense, x.order), e.channels(-sense, x.order)
    e.set(node.output, e.emit("Where", above, plus, minus), x.order)


@onnx_rules("quantize")
def quantize(e: Exporter, node: Node) -> None:
    """``QuantizeLinear``, with NaN made 0 before and ``Clip`` after where the range is narrower than the dtype's.

    A scale that is not above 0, which ONNX leaves open, is divided by explicitly.
    """
    x, a = e.get(node.inputs[0]), e.attributes(node)
    dtype, scale = a["dtype"], node.inputs[1]
    clean = e.emit("Where", e.emit("IsNaN", x.name), e.constant(ZERO), x.name)
    limits = np.iinfo(dtype)
    if e.graph.is_constant(scale) and np.all(e.graph.tensors[scale] > 0):
        steps = e.graph.tensors[scale]
        steps = steps if steps.size > 1 else steps.reshape(())
        zero = e.constant(np.full(steps.shape, a["zero_point"], dtype))
        codes = e.emit("QuantizeLinear", clean, e.constant(steps), zero, axis=x.order.index(len(x.order) - 1))
        if (a["low"], a["high"]) != (limits.min, limits.max):
            codes = e.emit("Clip", codes, *[e.constant(NUMPY[dtype].type(a[end])) for end in ("low", "high")])
        e.set(node.output, codes, x.order)
        return
    ratio = e.emit("Div", x.name, e.channel_vector(scale, x.order))
    codes = e.emit("Add", e.emit("Round", ratio), e.constant(np.float32(a["zero_point"])))
    codes = e.emit("Clip", codes, *[e.constant(np.float32(a[end])) for end in ("low", "high")])
    codes = e.emit("Where", e.emit("IsNaN", ratio), e.constant(np.float32(a["zero_point"])), codes)
    e.set(node.output, codes, x.order, "float32")


@onnx_rules("cast")
def cast(e: Exporter, node: Node) -> None:
    """``Cast``; floats outside an integer's range, for which ONNX leaves the result open, are made 0 before."""
    source, value = node.inputs[0], node.output
    have, want = e.types[source].dtype, e.types[value].dtype
    identity = range(len(e.types[source].shape))
    if have == want or (have in ("bit", "ternary") and want in ("int8", "float32")):
        e.permute(value, source, identity)
    elif have == "float32" and want not in ("float32", "bool"):
        x = e.get(source)
        limits = np.iinfo(NUMPY[want])
        if limits.bits == 8:
            inside = e.emit("Greater", x.name, e.constant(np.float32(limits.min - 1)))
        else:
            inside = e.emit("GreaterOrEqual", x.name, e.constant(np.float32(limits.min)))
        inside = e.emit("And", inside, e.emit("Less", x.name, e.constant(np.float32(float(limits.max) + 1))))
        kept = e.emit("Where", inside, x.name, e.constant(ZERO))
        e.set(value, e.emit("Cast", kept, to=want), x.order)
    else:
        x = e.get(source, have if e.has(source, have) and have not in ("bit", "ternary") else None)
        e.set(value, e.emit("Cast", x.name, to=want), x.order)
