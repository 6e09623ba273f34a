"""Out of PyTorch: the packed file, and the float twin as ONNX."""

from __future__ import annotations

from onebit.deploy.onnx import float_onnx
from onebit.deploy.pack import PackReport, pack, prepare

__all__ = ["PackReport", "float_onnx", "pack", "prepare"]
