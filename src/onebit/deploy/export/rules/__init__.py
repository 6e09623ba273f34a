"""How each kind becomes operators of ONNX: one rule a kind, one file a family."""

from __future__ import annotations

from onebit.deploy.export.rules import arithmetic, logic, pooling, products, quantization, reduction, shapes
from onebit.deploy.export.rules.table import onnx_rules

__all__ = [
    "arithmetic",
    "logic",
    "onnx_rules",
    "pooling",
    "products",
    "quantization",
    "reduction",
    "shapes",
]
