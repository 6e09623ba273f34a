"""Hard functions with a chosen gradient: sign in many forms, step, ternary, round.

Three ways to use one: as a module, ``PolynomialSign()(x)``; by name in a quantizer, ``"polynomial"``; as a function
where there is one, ``approx_sign(x)``. ``registry`` maps names to classes; ``plot`` draws value and gradient.
"""

from __future__ import annotations

from onebit.nn.operators.annealed import PowerSign, TanhSign, TriangleSign, power_sign
from onebit.nn.operators.base import Operator, apply, sign
from onebit.nn.operators.fourier import FourierSign
from onebit.nn.operators.levels import Round, Step, Ternary
from onebit.nn.operators.periodic import PeriodicSign, periodic_sign
from onebit.nn.operators.plot import curve, finished, plot, span
from onebit.nn.operators.registry import build, registry
from onebit.nn.operators.signs import ClippedSTESign, IdentitySTESign, PolynomialSign, SwishSign, approx_sign

__all__ = [
    "ClippedSTESign",
    "FourierSign",
    "IdentitySTESign",
    "Operator",
    "PeriodicSign",
    "PolynomialSign",
    "PowerSign",
    "Round",
    "Step",
    "SwishSign",
    "TanhSign",
    "Ternary",
    "TriangleSign",
    "apply",
    "approx_sign",
    "build",
    "curve",
    "finished",
    "periodic_sign",
    "plot",
    "power_sign",
    "registry",
    "sign",
    "span",
]
