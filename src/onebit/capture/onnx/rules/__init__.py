"""How each operator of ONNX becomes nodes of the graph: one rule an operator, one file a family."""

from __future__ import annotations

from onebit.capture.onnx.call import rules
from onebit.capture.onnx.rules import (
    activations,
    arithmetic,
    logic,
    normalization,
    pooling,
    products,
    quantization,
    selection,
    shapes,
)

__all__ = [
    "activations",
    "arithmetic",
    "logic",
    "normalization",
    "pooling",
    "products",
    "quantization",
    "rules",
    "selection",
    "shapes",
]
