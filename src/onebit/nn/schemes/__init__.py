"""Schemes: how whole networks become bits; ``quantize_`` makes it happen."""

from __future__ import annotations

from onebit.nn.schemes.published import biper, bireal, bnn, dorefa, react, reste, xnor
from onebit.nn.schemes.quantize import quantize_
from onebit.nn.schemes.report import Report, Row
from onebit.nn.schemes.scheme import Scheme, build, registry

__all__ = [
    "Report",
    "Row",
    "Scheme",
    "biper",
    "bireal",
    "bnn",
    "build",
    "dorefa",
    "quantize_",
    "react",
    "registry",
    "reste",
    "xnor",
]
