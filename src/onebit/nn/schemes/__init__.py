"""Schemes: how whole networks become bits; ``quantize_`` makes it happen, ``save`` and ``load`` keep it."""

from __future__ import annotations

from onebit.nn.schemes.published import biper, bireal, bnn, dorefa, react, reste, xnor
from onebit.nn.schemes.quantize import quantize_, requantize_
from onebit.nn.schemes.report import Report, Row
from onebit.nn.schemes.scheme import Scheme, build, registry
from onebit.nn.schemes.storage import load, save

__all__ = [
    "Report",
    "Row",
    "Scheme",
    "biper",
    "bireal",
    "bnn",
    "build",
    "dorefa",
    "load",
    "quantize_",
    "react",
    "registry",
    "requantize_",
    "reste",
    "save",
    "xnor",
]
