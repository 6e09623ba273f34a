"""From PyTorch programs to graphs, and what a model costs."""

from __future__ import annotations

from onebit.capture.onnx import from_onnx
from onebit.capture.program import Dynamic, from_torch
from onebit.capture.summary import LayerCost, Summary, summary

__all__ = ["Dynamic", "LayerCost", "Summary", "from_onnx", "from_torch", "summary"]
