"""Out of PyTorch: the packed file, smaller packed files, and the float twin as ONNX; and the engine inside PyTorch."""

from __future__ import annotations

from onebit.deploy.accelerate import AccelerationReport, accelerate_, decelerate_
from onebit.deploy.compression import CompressReport, compress
from onebit.deploy.onnx import float_onnx
from onebit.deploy.pack import PackReport, pack, prepare

__all__ = [
    "AccelerationReport",
    "CompressReport",
    "PackReport",
    "accelerate_",
    "compress",
    "decelerate_",
    "float_onnx",
    "pack",
    "prepare",
]
