"""Layers of bits: drop-ins for PyTorch's, with a quantizer for the weight and one for the input."""

from __future__ import annotations

from onebit.nn.layers.activation import RPReLU, Shift
from onebit.nn.layers.attention import MultiheadAttention, TransformerEncoderLayer
from onebit.nn.layers.conv import Conv1d, Conv2d
from onebit.nn.layers.linear import Linear, TransposedLinear
from onebit.nn.layers.quantized import Quantized
from onebit.nn.layers.scale import MagnitudeMap, ScaleMap

__all__ = [
    "Conv1d",
    "Conv2d",
    "Linear",
    "MagnitudeMap",
    "MultiheadAttention",
    "Quantized",
    "RPReLU",
    "ScaleMap",
    "Shift",
    "TransformerEncoderLayer",
    "TransposedLinear",
]
