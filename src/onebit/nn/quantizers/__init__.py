"""Quantizers: a tensor as codes times a scale, with a gradient.

By name in a layer, ``weight_quantizer="biper"``, or as an object, ``PeriodicWeight(freq=10)``. ``weight_registry`` and
``activation_registry`` hold the names.
"""

from __future__ import annotations

from onebit.nn.quantizers.absolute import AbsmaxActivation, AbsmeanWeight
from onebit.nn.quantizers.activation import BinaryActivation, PerSampleStdNorm, centred, reste_activation
from onebit.nn.quantizers.adapted import AdaptedActivation, AdaptedWeight, NoiseAdaptation
from onebit.nn.quantizers.base import Encoded, Quantizer
from onebit.nn.quantizers.binary import BinaryWeight, TernaryWeight, reste_weight
from onebit.nn.quantizers.bounded import BoundedWeight, FixedRange, FloatFirst, bounded_activation
from onebit.nn.quantizers.dorefa import DoReFaActivation, DoReFaWeight
from onebit.nn.quantizers.periodic import PeriodicWeight, laplace_quantization_error, sine_penalty
from onebit.nn.quantizers.rectified import RectifiedWeight
from onebit.nn.quantizers.registry import activation_registry, build_activation, build_weight, weight_registry
from onebit.nn.quantizers.uniform import UniformActivation, UniformWeight

__all__ = [
    "AbsmaxActivation",
    "AbsmeanWeight",
    "AdaptedActivation",
    "AdaptedWeight",
    "BinaryActivation",
    "BinaryWeight",
    "BoundedWeight",
    "DoReFaActivation",
    "DoReFaWeight",
    "Encoded",
    "FixedRange",
    "FloatFirst",
    "NoiseAdaptation",
    "PerSampleStdNorm",
    "PeriodicWeight",
    "Quantizer",
    "RectifiedWeight",
    "TernaryWeight",
    "UniformActivation",
    "UniformWeight",
    "activation_registry",
    "bounded_activation",
    "build_activation",
    "build_weight",
    "centred",
    "laplace_quantization_error",
    "reste_activation",
    "reste_weight",
    "sine_penalty",
    "weight_registry",
]
