"""Schemes: how whole networks become bits; ``quantize_`` makes it happen."""

from __future__ import annotations

from onebit.nn.schemes.published import biper, bireal, bitnet, bnn, dorefa, fda, react, recu, reste, xnor, xnorpp
from onebit.nn.schemes.quantize import quantize_
from onebit.nn.schemes.report import Report, Row
from onebit.nn.schemes.scheme import Scheme, build, registry

__all__ = [
    "Report",
    "Row",
    "Scheme",
    "biper",
    "bireal",
    "bitnet",
    "bnn",
    "build",
    "dorefa",
    "fda",
    "quantize_",
    "react",
    "recu",
    "registry",
    "reste",
    "xnor",
    "xnorpp",
]
