"""How each kind becomes operators of ONNX: one rule a kind, one file a family."""

from __future__ import annotations

from onebit.deploy.export.rules import products, quantization, shapes
from onebit.deploy.export.rules.table import onnx_rules

__all__ = ["onnx_rules", "products", "quantization", "shapes"]
