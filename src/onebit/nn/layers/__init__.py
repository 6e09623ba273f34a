"""Layers of bits: drop-ins for PyTorch's, with a quantizer for the weight and one for the input."""

from __future__ import annotations

from onebit.nn.layers.activation import RPReLU, Shift
from onebit.nn.layers.attention import MultiheadAttention, TransformerEncoderLayer
from onebit.nn.layers.beta import BetaNoise
from onebit.nn.layers.conditional import GatedLinear, gates
from onebit.nn.layers.conv import Conv1d, Conv2d
from onebit.nn.layers.linear import Linear, TransposedLinear
from onebit.nn.layers.quantized import Quantized
from onebit.nn.layers.scale import MagnitudeMap, ScaleMap
from onebit.nn.layers.sparsity import AdaptiveL1, SparsityCrossEntropy, sparsity_cross_entropy

__all__ = [
    "AdaptiveL1",
    "BetaNoise",
    "Conv1d",
    "Conv2d",
    "GatedLinear",
    "Linear",
    "MagnitudeMap",
    "MultiheadAttention",
    "Quantized",
    "RPReLU",
    "ScaleMap",
    "Shift",
    "SparsityCrossEntropy",
    "TransformerEncoderLayer",
    "TransposedLinear",
    "gates",
    "sparsity_cross_entropy",
]
