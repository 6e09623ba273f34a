"""Between number systems: sign, threshold, quantize, cast."""

from __future__ import annotations

import numpy as np

from onebit.deploy.export.exporter import Exporter
from onebit.deploy.export.rules.table import onnx_rules
from onebit.ir import Node

ONE, MINUS_ONE, ZERO = np.float32(1), np.float32(-1), np.float32(0)


@onnx_rules("sign")
def sign(e: Exporter, node: Node) -> None:
    """``Where(x >= 0, 1, -1)``: +1 for both zeros and -1 for NaN, which no other operator gives."""
    x = e.get(node.inputs[0])
    bits = e.emit("GreaterOrEqual", x.name, e.constant(ZERO))
    e.set(node.output, e.emit("Where", bits, e.constant(ONE), e.constant(MINUS_ONE)), x.order)
