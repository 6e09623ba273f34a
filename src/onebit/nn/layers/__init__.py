"""Layers of bits: drop-ins for PyTorch's, with a quantizer for the weight and one for the input."""

from __future__ import annotations

from onebit.nn.layers.activation import RPReLU, Shift
from onebit.nn.layers.attention import MultiheadAttention, TransformerEncoderLayer
from onebit.nn.layers.beta import BetaNoise
from onebit.nn.layers.bounded import (
    BoundedConv2d,
    BoundedLinear,
    SameConv2d,
    SameQuantizedConv2d,
    same_padding,
)
from onebit.nn.layers.conditional import GatedLinear, gates
from onebit.nn.layers.conv import Conv1d, Conv2d
from onebit.nn.layers.dot_product import DotProductAttention
from onebit.nn.layers.linear import Linear, TransposedLinear
from onebit.nn.layers.poke import DPReLU, Gate, PokeConv, ReshapeAdd, average_channels, reshape_add, same_average
from onebit.nn.layers.quantized import Quantized
from onebit.nn.layers.recurrent import GRU, LSTM, RNN, Recurrent
from onebit.nn.layers.scale import MagnitudeMap, ScaleMap
from onebit.nn.layers.sparsity import AdaptiveL1, SparsityCrossEntropy, sparsity_cross_entropy

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveL1",
    "BetaNoise",
    "BoundedConv2d",
    "BoundedLinear",
    "Conv1d",
    "Conv2d",
    "DPReLU",
    "DotProductAttention",
    "Gate",
    "GatedLinear",
    "Linear",
    "MagnitudeMap",
    "MultiheadAttention",
    "PokeConv",
    "Quantized",
    "RPReLU",
    "Recurrent",
    "ReshapeAdd",
    "SameConv2d",
    "SameQuantizedConv2d",
    "ScaleMap",
    "Shift",
    "SparsityCrossEntropy",
    "TransformerEncoderLayer",
    "TransposedLinear",
    "average_channels",
    "gates",
    "reshape_add",
    "same_average",
    "same_padding",
    "sparsity_cross_entropy",
]
