"""How each operator of an exported program becomes nodes of the graph: one rule an operator, one file a family."""

from __future__ import annotations

from onebit.capture.rules import (
    activations,
    arithmetic,
    attention,
    bits,
    convolution,
    indexing,
    linear,
    normalization,
    pooling,
    reductions,
    shapes,
)
from onebit.capture.rules.table import CREATES, MOVES, rules

__all__ = [
    "CREATES",
    "MOVES",
    "activations",
    "arithmetic",
    "attention",
    "bits",
    "convolution",
    "indexing",
    "linear",
    "normalization",
    "pooling",
    "reductions",
    "rules",
    "shapes",
]
