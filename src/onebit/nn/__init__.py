"""Networks of bits in PyTorch: operators, quantizers, layers, schemes, models."""

from __future__ import annotations

import importlib

from onebit.nn import ops
from onebit.nn.context import context
from onebit.nn.progress import Progress, broadcast, penalty

__all__ = ["Progress", "broadcast", "context", "ops", "penalty"]

_ROOMS = ("layers", "models", "norms", "operators", "quantizers", "schemes")


def __getattr__(name: str):
    if name in _ROOMS:
        return importlib.import_module(f"onebit.nn.{name}")
    raise AttributeError(f"module 'onebit.nn' has no attribute {name!r}")
