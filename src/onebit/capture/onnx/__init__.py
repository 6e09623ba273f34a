"""From ONNX files to graphs."""

from __future__ import annotations

from onebit.capture.onnx.walk import from_onnx

__all__ = ["from_onnx"]
