"""ReSTE [Wu2023]: signs with the gradient of a power function."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from onebit.core.progress import Progress
from onebit.evidence.claims import small
from onebit.evidence.claims.base import (
    FAILS,
    HOLDS,
    IN_PART,
    REPORTED,
    Figure,
    Row,
    Settings,
    Statement,
    Verdict,
    register,
)
from onebit.evidence.claims.drawing import strips
from onebit.evidence.claims.surrogates import RationalFlexible
from onebit.evidence.estimators import estimating_error, gradient_instability
from onebit.evidence.statistics import paired, spearman
from onebit.learn import Diverged
from onebit.nn.operators import ClippedSTESign, FourierSign, Operator, PolynomialSign, PowerSign, TanhSign, TriangleSign
from onebit.nn.quantizers import BinaryActivation, BinaryWeight

PAPER = "the published set-up (ResNet-20 on CIFAR-10, 1000 epochs) needs a GPU: train it with `onebit train`"
O_ENDS = (1.0, 2.0, 3.0, 5.0, 10.0)
RATE = 0.1
LARGEST = 0.1 ** (1 / 3 - 1)  # of ReSTE's gradient at o = 3: 4.64, for |w| up to 0.1

ESTIMATORS: dict[str, Callable[[], Operator]] = {
    "STE, clip 1": ClippedSTESign,
    "STE, clip 1.5": functools.partial(ClippedSTESign, 1.5),
    "annealed tanh": TanhSign,
    "annealed triangle": TriangleSign,
    "Fourier sum": FourierSign,
    "polynomial": PolynomialSign,
    "ReSTE": PowerSign,
}


def train(
    estimator: str, o_end: float | None, rate: float, data: str, examples: int | None, epochs: int, seed: int
) -> dict[str, Any]:
    """Train with one estimator for weights and activations; both indicators after every epoch.

    The estimating error is that of the power function at ``o_end``; both are over the weights of all binary layers, the
    instability over the gradients of the epoch's last batch.
    """

    def operator() -> Operator:
        return PowerSign(o_end=o_end) if estimator == "ReSTE" and o_end is not None else ESTIMATORS[estimator]()

    last: Any = operator()
    if hasattr(last, "on_progress"):
        last.on_progress(Progress.complete())
    surrogate: Callable[[Tensor], Tensor] = last.surrogate
    errors: list[float] = []
    instabilities: list[float] = []

    def observe(model: nn.Module) -> None:
        weights = [layer.weight for layer in small.binary_layers(model)]
        errors.append(estimating_error([weight.detach() for weight in weights], surrogate))
        instabilities.append(gradient_instability([weight.grad for weight in weights if weight.grad is not None]))

    try:
        model, history = small.train(
            lambda d: small.network(
                lambda: BinaryWeight(operator(), "tensor", "full"),
                lambda: BinaryActivation(operator()),
                d,
            ),
            small.load(data, examples, examples),
            seed,
            observe,
            epochs=epochs,
            learning_rate=rate,
        )
    except Diverged:
        return {"test": 0.0, "errors": errors, "instabilities": instabilities, "parameters": 0}
    assert history.test is not None
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"test": history.test.accuracy, "errors": errors, "instabilities": instabilities, "parameters": parameters}


def _percent(rows: Sequence[Row], **where: Any) -> list[float]:
    """Test accuracies of the rows with these settings, in percent, in the order of the seeds."""
    found = [row for row in rows if all(row[name] == value for name, value in where.items())]
    return [100 * row["test"] for row in sorted(found, key=lambda row: row["seed"])]


class Equilibrium(Statement):
    """Error and instability of the same network under sharper and sharper estimators."""

    text = "The smaller the estimating error, the larger the gradient instability."
    threshold = "over all runs, Spearman's correlation of estimating error and gradient instability is -0.9 or lower"
    published = "a figure, without numbers to compare with"
    measure = staticmethod(train)

    def runs(self, scale: str) -> list[Settings]:
        of = small.settings(scale, PAPER, data="mnist", examples=5000, epochs=10)
        ends, seeds = (O_ENDS[::2], (0,)) if scale == "smoke" else (O_ENDS, (0, 1, 2))
        return [{"estimator": "ReSTE", "o_end": end, "rate": RATE, **of, "seed": s} for s in seeds for end in ends]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        # as the paper's code: the error averaged over the epochs, the instability summed
        points = {
            end: [(statistics.fmean(r["errors"]), sum(r["instabilities"])) for r in rows if r["o_end"] == end]
            for end in sorted({row["o_end"] for row in rows})
        }
        every = [point for group in points.values() for point in group]
        rho = spearman(*zip(*every))
        numbers: dict[str, float] = {"Spearman's correlation": rho}
        for end, group in points.items():
            numbers[f"estimating error, o_end {end:g}"] = statistics.fmean(error for error, _ in group)
            numbers[f"gradient instability, o_end {end:g}"] = statistics.fmean(value for _, value in group)
        found = "not defined" if math.isnan(rho) else f"{rho:.3f}"
        return Verdict(
            HOLDS if rho <= -0.9 else FAILS,
            f"Spearman's correlation is {found} over {len(every)} runs: from o_end {min(points):g} to "
            f"{max(points):g} the error goes from {numbers[f'estimating error, o_end {min(points):g}']:.4g} to "
            f"{numbers[f'estimating error, o_end {max(points):g}']:.4g}, the instability from "
            f"{numbers[f'gradient instability, o_end {min(points):g}']:.2g} to "
            f"{numbers[f'gradient instability, o_end {max(points):g}']:.2g}.",
            numbers,
        )

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        def draw(axes: Any) -> None:
            for number, end in enumerate(sorted({row["o_end"] for row in rows})):
                chosen = [row for row in rows if row["o_end"] == end]
                x = [statistics.fmean(row["errors"]) for row in chosen]
                axes.scatter(
                    x, [sum(row["instabilities"]) for row in chosen], color=f"C{number}", label=f"o_end {end:g}"
                )
            axes.set(yscale="log", xlabel="estimating error", ylabel="gradient instability")
            axes.legend()

        return [Figure("indicators", "Every run by its two indicators.", draw)]


class BestEstimator(Statement):
    """The same network, schedule and seeds; only the estimator differs, and a learning rate that could explain it."""

    text = "ReSTE gives higher accuracy than the other estimators in the same setting."
    threshold = (
        "the 95 % interval of the paired difference in test accuracy lies above 0 against every other estimator and "
        f"against the straight-through estimator with {LARGEST:.2f} times the learning rate; in part: against the "
        "plain straight-through estimators, but the learning rate closes the gap or another estimator is as good"
    )
    published = "86.75 % against 84.44 (STE), 84.11 (DSQ), 85.20 (EDE), 85.80 (FDA), 85.87 (RBNN): CIFAR-10, ResNet-20"
    unverified = (
        "the published numbers stand in a third party's notes; the annealed triangle (RBNN) is written from memory of "
        "its formula, and the Fourier sum stands without the noise-adaptation module of FDA"
    )
    measure = staticmethod(train)
    PLAIN = ("STE, clip 1", "STE, clip 1.5")

    def runs(self, scale: str) -> list[Settings]:
        of, seeds = small.settings(scale, PAPER, epochs=10), range(2 if scale == "smoke" else 5)
        methods = [(name, RATE) for name in ESTIMATORS] + [(name, round(LARGEST * RATE, 4)) for name in self.PLAIN]
        return [
            {"estimator": name, "o_end": None, "rate": rate, **of, "seed": seed}
            for seed in seeds
            for name, rate in methods
        ]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        groups = {(r["estimator"], r["rate"]): _percent(rows, estimator=r["estimator"], rate=r["rate"]) for r in rows}
        ours = groups.pop(("ReSTE", RATE))
        names = {k: k[0] if k[1] == RATE else f"{k[0]}, learning rate x {k[1] / RATE:.2f}" for k in groups}
        gaps = {names[k]: paired(ours, values) for k, values in groups.items()}
        better = {name for name, gap in gaps.items() if gap.low > 0}
        outcome = HOLDS if len(better) == len(gaps) else IN_PART if better >= set(self.PLAIN) else FAILS
        most = max(gaps, key=lambda name: -gaps[name].mean)
        return Verdict(
            outcome,
            f"ReSTE gives {statistics.fmean(ours):.1f} %, {gaps[self.PLAIN[0]]} points against the straight-through "
            f"estimator; it is better beyond doubt than {len(better)} of {len(gaps)} others. The strongest is {most}: "
            f"{gaps[most]} points.",
            {"accuracy, ReSTE": statistics.fmean(ours)}
            | {f"accuracy, {names[k]}": statistics.fmean(values) for k, values in groups.items()},
            {f"ReSTE - {name}": gap for name, gap in gaps.items()},
            tuple(gaps),
        )

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        groups = {
            f"{row['estimator']}, rate {row['rate']:g}": _percent(rows, estimator=row["estimator"], rate=row["rate"])
            for row in rows
        }

        def draw(axes: Any) -> None:
            strips(axes, groups, "test accuracy, %")

        return [Figure("accuracy", "Every seed (points) and the mean (bar) of each estimator.", draw)]


class Peak(Statement):
    """Accuracy over the end of the schedule, for two lengths of training."""

    text = "Accuracy peaks at an intermediate end of the schedule."
    threshold = "none is set at this scale: the peak is expected of long training, so the curve is reported"
    published = "86.75 % at o_end 3 falls to 82.86 % at o_end 10: CIFAR-10, ResNet-20, 1000 epochs"
    unverified = "the published numbers stand in a third party's notes"
    measure = staticmethod(train)

    def runs(self, scale: str) -> list[Settings]:
        lengths, seeds = ((1,), (0,)) if scale == "smoke" else ((10, 40), (0, 1, 2))
        return [
            {
                "estimator": "ReSTE",
                "o_end": end,
                "rate": RATE,
                **small.settings(scale, PAPER, epochs=epochs),
                "seed": seed,
            }
            for epochs in lengths
            for seed in seeds
            for end in O_ENDS
        ]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        curve = {
            (row["epochs"], row["o_end"]): statistics.fmean(_percent(rows, epochs=row["epochs"], o_end=row["o_end"]))
            for row in rows
        }
        tops = {e: max((o for n, o in curve if n == e), key=lambda o: curve[e, o]) for e, _ in curve}
        said = [f"{epochs} epochs: best at o_end {top:g} ({curve[epochs, top]:.1f} %)" for epochs, top in tops.items()]
        numbers = {f"accuracy, {epochs} epochs, o_end {end:g}": value for (epochs, end), value in sorted(curve.items())}
        return Verdict(REPORTED, "; ".join(said) + ".", numbers)

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        def draw(axes: Any) -> None:
            for epochs in sorted({row["epochs"] for row in rows}):
                ends = sorted({row["o_end"] for row in rows})
                groups = [_percent(rows, epochs=epochs, o_end=end) for end in ends]
                means = [statistics.fmean(group) for group in groups]
                spread = [[m - min(g) for m, g in zip(means, groups)], [max(g) - m for m, g in zip(means, groups)]]
                axes.errorbar(ends, means, yerr=spread, marker="o", capsize=3, label=f"{epochs} epochs")
            axes.set(xlabel="o_end", ylabel="test accuracy, %", xscale="log")
            axes.set_xticks(O_ENDS, [f"{end:g}" for end in O_ENDS])
            axes.legend()

        return [Figure("peak", "Mean over seeds; the bars reach from the worst to the best seed.", draw)]


class NoExtraParts(Statement):
    """Read off the trained networks of the second statement."""

    text = "No auxiliary modules or losses are needed."
    threshold = "the network has as many parameters as with the plain straight-through estimator"
    published = "none: a property of the method"
    measure = staticmethod(train)

    def runs(self, scale: str) -> list[Settings]:
        of = small.settings(scale, PAPER, epochs=10)
        return [{"estimator": n, "o_end": None, "rate": RATE, **of, "seed": 0} for n in ("ReSTE", "STE, clip 1")]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        counts = {row["estimator"]: row["parameters"] for row in rows}
        ours, plain = counts["ReSTE"], counts["STE, clip 1"]
        return Verdict(
            HOLDS if ours == plain else FAILS,
            f"{ours} parameters with ReSTE, {plain} with the straight-through estimator; no loss but cross-entropy.",
            {f"parameters, {name}": count for name, count in counts.items()},
            baselines=("STE, clip 1",),
        )


register("reste", Equilibrium(), BestEstimator(), Peak(), RationalFlexible(), NoExtraParts())
