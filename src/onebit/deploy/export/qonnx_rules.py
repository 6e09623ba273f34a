"""How the kinds that make bits and integer codes become operators of QONNX; the others are as in ONNX."""

from __future__ import annotations

import numpy as np

from onebit.deploy.export.exporter import SUMS, Exporter, Rule
from onebit.deploy.export.rules import onnx_rules
from onebit.ir import Node, Rules
from onebit.ir.kinds.convolution import EXACT_FLOAT32

DOMAIN = "qonnx.custom_op.general"
ONE, ZERO = np.float32(1), np.float32(0)

#: kind -> ``rule(exporter, node)``
qonnx_rules = Rules[Rule]("qonnx", "replace it by kinds that have one")


def bipolar(e: Exporter, name: str) -> str:
    """+1 where a tensor is 0 or more, -1 elsewhere."""
    return e.emit("BipolarQuant", name, e.constant(ONE), domain=DOMAIN)


def quant(e: Exporter, name: str, low: int, high: int) -> str:
    """A tensor rounded to the nearest integer, half to even, and clamped to ``low..high``.

    The range of a ``Quant`` node follows from its number of bits: the smallest one that holds ``low..high`` is taken,
    and a ``Clip`` does the rest.
    """
    bits, signed, narrow = _narrowest(low, high)
    y = e.emit(
        "Quant",
        name,
        e.constant(ONE),
        e.constant(ZERO),
        e.constant(np.float32(bits)),
        domain=DOMAIN,
        signed=int(signed),
        narrow=int(narrow),
        rounding_mode="ROUND",
    )
    if (low, high) == _range(bits, signed, narrow):
        return y
    return e.emit("Clip", y, e.constant(np.float32(low)), e.constant(np.float32(high)))


def _range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    if not signed:
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1


def _narrowest(low: int, high: int) -> tuple[int, bool, bool]:
    """Bits, whether signed, and whether without the lowest integer: of the smallest range that holds ``low..high``.

    Example:
        >>> _narrowest(-127, 127), _narrowest(-128, 127), _narrowest(-1, 1), _narrowest(0, 255)
        ((8, True, True), (8, True, False), (2, True, True), (8, False, False))
    """
    signed = low < 0
    for bits in range(2 if signed else 1, 33):
        for narrow in (True, False) if signed else (False,):
            first, last = _range(bits, signed, narrow)
            if first <= low and high <= last:
                return bits, signed, narrow
    raise AssertionError


@qonnx_rules("sign")
def sign(e: Exporter, node: Node) -> None:
    """``BipolarQuant``."""
    x = e.get(node.inputs[0])
    e.set(node.output, bipolar(e, x.name), x.order)


@qonnx_rules("threshold")
def threshold(e: Exporter, node: Node) -> None:
    """``BipolarQuant(x * sense - limit * sense)``, exact on the integer sums that floats hold; else on a comparison."""
    x, limit, sense = node.inputs
    if not e.has(x, SUMS):
        onnx_rules.find(node)(e, node)
        bits = e.get(node.output)
        e.set(node.output, bipolar(e, bits.name), bits.order)
        return
    sums = e.get(x, SUMS)
    signs = e.graph.tensors[sense].astype(np.float32)
    # No sum reaches 2^24, so a limit beyond says what one at 2^24 does, and that one is exact.
    limits = np.clip(e.graph.tensors[limit].astype(np.int64), -EXACT_FLOAT32, EXACT_FLOAT32).astype(np.float32)
    name = sums.name
    if (signs < 0).any():
        name = e.emit("Mul", name, e.channels(signs, sums.order))
    name = e.emit("Sub", name, e.channels(limits * signs, sums.order))
    e.set(node.output, bipolar(e, name), sums.order)


@qonnx_rules("quantize")
def quantize(e: Exporter, node: Node) -> None:
    """``Quant(x / scale)`` with scale 1; a zero point is added after it."""
    a = e.attributes(node)
    x = e.get(node.inputs[0])
    zero = a["zero_point"]
    name = e.emit("Div", x.name, e.channels(e.graph.tensors[node.inputs[1]], x.order))
    name = quant(e, name, a["low"] - zero, a["high"] - zero)
    if zero:
        name = e.emit("Add", name, e.constant(np.float32(zero)))
    e.set(node.output, name, x.order, "float32")


for _kind in onnx_rules:
    if _kind not in qonnx_rules:
        qonnx_rules.add(_kind, onnx_rules.find(Node(_kind, (), ())))
