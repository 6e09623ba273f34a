"""Layers of bits in reuse order: each output channel from the one whose kernel it is most like [Vo2023]."""

from __future__ import annotations

from onebit.deploy.compression.compress import CompressReport, compress
from onebit.deploy.compression.cost import LayerCost, chance_ratio, layer_cost, report
from onebit.deploy.compression.order import ReuseOrder, run
from onebit.ir.reuse import hamming_matrix

__all__ = [
    "CompressReport",
    "LayerCost",
    "ReuseOrder",
    "chance_ratio",
    "compress",
    "hamming_matrix",
    "layer_cost",
    "report",
    "run",
]
