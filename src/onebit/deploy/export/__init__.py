"""Graphs as ONNX files, for every runtime that is not ours."""

from __future__ import annotations

from onebit.deploy.export.exporter import Exporter, Tensor
from onebit.deploy.export.file import to_onnx
from onebit.deploy.export.rules import onnx_rules

__all__ = ["Exporter", "Tensor", "onnx_rules", "to_onnx"]
