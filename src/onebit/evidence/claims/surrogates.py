"""Surrogates of the sign on a grid: which are rational, which are flexible [Wu2023]."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from onebit.evidence.claims.base import FAILS, HOLDS, IN_PART, Figure, Row, Settings, Statement, Verdict
from onebit.nn.operators import FourierSign, Operator, PowerSign, TanhSign

STEPS = (1.0, 0.1, 0.01, 0.001, 0.0001)
MAKE: dict[str, Callable[[float], Operator]] = {
    "ReSTE": lambda o: PowerSign(o=o, o_end=None),
    "tanh": lambda t: TanhSign(t, t),
    "Fourier sum": lambda terms: FourierSign(start=int(terms), end=int(terms)),
}


def surrogate(estimator: str, parameter: float) -> Callable[[Tensor], Tensor]:
    """The surrogate of an estimator at one value of its parameter."""
    operator: Any = MAKE[estimator](parameter)
    return operator.double().surrogate


def on_grid(estimator: str, parameter: float) -> dict[str, Any]:
    """How far a surrogate f is from the sign on 4,000 points of [-2, 2], beside the identity.

    ``excess``: the largest ``|sign z - f(z)| - |sign z - z|``, and ``where``; ``steps``: the largest change of f when
    the parameter grows by 1, 0.1, ... 0.0001 (empty for a Fourier sum, whose parameter is a number of terms).
    """
    z = torch.linspace(-2, 2, 4000, dtype=torch.float64)
    values = surrogate(estimator, parameter)(z)
    excess = (torch.sign(z) - values).abs() - (torch.sign(z) - z).abs()
    place = int(excess.argmax())
    grown = [] if estimator == "Fourier sum" else [surrogate(estimator, parameter + d)(z) for d in STEPS]
    steps = [float((other - values).abs().max()) for other in grown]
    return {"excess": float(excess[place]), "where": float(z[place]), "steps": steps}


class RationalFlexible(Statement):
    """On a grid, no training."""

    text = "ReSTE is rational (never further from the sign than the identity is) and flexible (moves gradually)."
    threshold = (
        "for every o from 1 to 100: |sign z - f(z)| <= |sign z - z| on 4,000 points of [-2, 2], and the largest change "
        "of f falls with the change of o, to below 0.001 for 0.0001; scaled tanh and Fourier sums break the first "
        "somewhere"
    )
    published = "stated and proved"
    measure = staticmethod(on_grid)

    def runs(self, scale: str) -> list[Settings]:
        parameters = {
            "ReSTE": (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0),
            "tanh": (0.1, 0.5, 1.0, 2.0, 10.0),
            "Fourier sum": (9.0, 18.0),
        }
        return [{"estimator": name, "parameter": value} for name, values in parameters.items() for value in values]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        worst = {
            name: max((row for row in rows if row["estimator"] == name), key=lambda row: row["excess"]) for name in MAKE
        }
        ours = [row["steps"] for row in rows if row["estimator"] == "ReSTE"]
        rational = worst["ReSTE"]["excess"] <= 1e-12
        flexible = (
            all(a > b for steps in ours for a, b in itertools.pairwise(steps)) and max(s[-1] for s in ours) < 1e-3
        )
        others = [name for name in MAKE if name != "ReSTE"]
        broken = all(worst[name]["excess"] > 1e-12 for name in others)
        said = "; ".join(
            f"{name} (parameter {worst[name]['parameter']:g}) is further by up to {worst[name]['excess']:.3f}, at "
            f"z = {worst[name]['where']:.2f}"
            for name in others
        )
        return Verdict(
            HOLDS if rational and flexible and broken else IN_PART if rational or flexible else FAILS,
            f"ReSTE is {'never' if rational else 'somewhere'} further from the sign than the identity, and changes by "
            f"at most {max(s[-1] for s in ours):.1g} when o grows by {STEPS[-1]:g}; {said}.",
            {f"largest excess, {name}": row["excess"] for name, row in worst.items()}
            | {f"largest change of ReSTE for {d:g}": max(s[k] for s in ours) for k, d in enumerate(STEPS)},
            baselines=others,
        )

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        z = torch.linspace(-2, 2, 801, dtype=torch.float64)

        def draw(axes: Any) -> None:
            for end in (1.0, 2.0, 3.0, 10.0):
                axes.plot(z, surrogate("ReSTE", end)(z), label=f"o = {end:g}")
            axes.plot(z, torch.sign(z), color="black", linewidth=0.8, label="sign")
            axes.set(xlabel="z", ylabel="f(z)")
            axes.legend()

        return [Figure("surrogates", "The power function from the identity towards the sign.", draw)]
