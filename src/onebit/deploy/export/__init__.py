"""Graphs as ONNX files, for every runtime that is not ours."""

from __future__ import annotations

from onebit.deploy.export.comparison import compare_with_engine, random_inputs
from onebit.deploy.export.exporter import Exporter, Tensor
from onebit.deploy.export.file import to_onnx
from onebit.deploy.export.qonnx import to_qonnx
from onebit.deploy.export.report import ExportReport, export
from onebit.deploy.export.rules import onnx_rules

__all__ = [
    "ExportReport",
    "Exporter",
    "Tensor",
    "compare_with_engine",
    "export",
    "onnx_rules",
    "random_inputs",
    "to_onnx",
    "to_qonnx",
]
