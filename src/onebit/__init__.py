"""Networks of bits: train them in PyTorch, measure them, pack them, run them at the CPU's speed limit.

``import onebit`` imports no torch; names that need it are imported when they are first used.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_LAZY = {
    "quantize_": "onebit.nn.schemes",
    "save": "onebit.nn.storage",
    "load": "onebit.nn.storage",
    "OneBitConfig": "onebit.nn.schemes.transformers",
    "OneBitClassifier": "onebit.learn.classifier",
    "summary": "onebit.capture",
    "pack": "onebit.deploy",
    "accelerate_": "onebit.deploy",
    "decelerate_": "onebit.deploy",
}
_WINGS = ("core", "ir", "runtime", "nn", "data", "learn", "capture", "deploy", "evidence", "cli")

__all__ = ["__version__", *_LAZY, *_WINGS]  # noqa: PLE0604


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _WINGS:
        return importlib.import_module(f"onebit.{name}")
    raise AttributeError(f"module 'onebit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
