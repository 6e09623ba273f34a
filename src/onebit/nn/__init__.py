"""Networks of bits in PyTorch: operators, quantizers, layers, schemes, models."""

from __future__ import annotations

import importlib

from onebit.nn import layers, operators, ops, quantizers, schemes
from onebit.nn.context import context
from onebit.nn.layers import (
    GRU,
    LSTM,
    RNN,
    Conv1d,
    Conv2d,
    Linear,
    MultiheadAttention,
    RPReLU,
    Shift,
    TransformerEncoderLayer,
)
from onebit.nn.progress import Progress, broadcast, penalty
from onebit.nn.schemes import quantize_
from onebit.nn.tree_distance import TreeDistance, remove_tree_distance_, tree_distance_

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Conv1d",
    "Conv2d",
    "Linear",
    "MultiheadAttention",
    "Progress",
    "RPReLU",
    "Shift",
    "TransformerEncoderLayer",
    "TreeDistance",
    "broadcast",
    "context",
    "layers",
    "operators",
    "ops",
    "penalty",
    "quantize_",
    "quantizers",
    "remove_tree_distance_",
    "schemes",
    "tree_distance_",
]


def __getattr__(name: str):
    if name in ("models", "storage"):
        return importlib.import_module(f"onebit.nn.{name}")
    raise AttributeError(f"module 'onebit.nn' has no attribute {name!r}")
