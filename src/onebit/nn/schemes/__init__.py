"""Schemes: how whole networks become bits; ``quantize_`` makes it happen, ``save`` and ``load`` keep it."""

from __future__ import annotations

from onebit.nn.schemes.published import biper, bireal, bnn, dorefa, react, reste, xnor
from onebit.nn.schemes.scheme import Scheme, build, registry

__all__ = [
    "Scheme",
    "biper",
    "bireal",
    "bnn",
    "build",
    "dorefa",
    "react",
    "registry",
    "reste",
    "xnor",
]
