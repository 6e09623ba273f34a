"""Hard functions with a chosen gradient: sign in many forms, step, ternary, round; and those with noise inside.

Three ways to use one: as a module, ``PolynomialSign()(x)``; by name in a quantizer, ``"polynomial"``; as a function
where there is one, ``approx_sign(x)``. ``registry`` maps names to classes, ``stochastic_registry`` those with noise;
``plot`` draws value and gradient.
"""

from __future__ import annotations

from onebit.nn.operators.annealed import PowerSign, TanhSign, TriangleSign, power_sign
from onebit.nn.operators.base import Operator, apply, sign
from onebit.nn.operators.bounded import BoundedSign, Floor
from onebit.nn.operators.exact import Quality, estimator_report, exact_gradient
from onebit.nn.operators.fourier import FourierSign
from onebit.nn.operators.levels import Round, Step, Ternary
from onebit.nn.operators.periodic import PeriodicSign, periodic_sign
from onebit.nn.operators.plot import curve, finished, plot, span
from onebit.nn.operators.registry import build, registry
from onebit.nn.operators.score import BernoulliReinforce
from onebit.nn.operators.signs import ClippedSTESign, IdentitySTESign, PolynomialSign, SwishSign, approx_sign
from onebit.nn.operators.stochastic import (
    NoisyRectifier,
    NoisySigmoid,
    NoisyThreshold,
    StochasticOperator,
    StochasticTimesSmooth,
    stochastic_registry,
)

__all__ = [
    "BernoulliReinforce",
    "BoundedSign",
    "ClippedSTESign",
    "Floor",
    "FourierSign",
    "IdentitySTESign",
    "NoisyRectifier",
    "NoisySigmoid",
    "NoisyThreshold",
    "Operator",
    "PeriodicSign",
    "PolynomialSign",
    "PowerSign",
    "Quality",
    "Round",
    "Step",
    "StochasticOperator",
    "StochasticTimesSmooth",
    "SwishSign",
    "TanhSign",
    "Ternary",
    "TriangleSign",
    "apply",
    "approx_sign",
    "build",
    "curve",
    "estimator_report",
    "exact_gradient",
    "finished",
    "periodic_sign",
    "plot",
    "power_sign",
    "registry",
    "sign",
    "span",
    "stochastic_registry",
]
