"""Stochastic neurons [Bengio2013]: estimators of their gradients, and gates that switch units off per example."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from onebit import learn
from onebit.core.errors import Unsupported
from onebit.data import normalize
from onebit.evidence.claims import small
from onebit.evidence.claims.base import FAILS, HOLDS, IN_PART, Figure, Row, Settings, Statement, Verdict, register
from onebit.evidence.claims.drawing import strips
from onebit.evidence.statistics import paired
from onebit.nn import models
from onebit.nn.layers import GatedLinear, gates
from onebit.nn.operators import NoisyThreshold, StochasticTimesSmooth, exact, exact_gradient

PAPER = (
    "the published set-up (MNIST, 2000 units and 400 of the gater, hundreds of epochs with early stopping) takes about "
    "an hour a gater on a GPU: train it with `onebit train`, model conditional-mlp"
)
ESTIMATORS = ("optimal", "mean", "none")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _table(units: int, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """Any function of the states of ``units`` binary units, values in [0, 1) as of a loss, linear in each of them."""
    values = torch.rand(2**units, dtype=torch.float64, generator=generator)
    on = exact.states(units).bool()
    return lambda h: torch.where(on, h[:, None, :], 1 - h[:, None, :]).prod(2) @ values


def _quadratic(units: int, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """``|M h - t|^2`` with random M and t."""
    matrix, target = (torch.randn(shape, dtype=torch.float64, generator=generator) for shape in ((units, units), units))
    return lambda h: (h @ matrix.T - target).square().sum(1)


def _inputs(units: int, generator: torch.Generator) -> Tensor:
    return 1.5 * torch.randn(units, dtype=torch.float64, generator=generator)


def score_moments(units: int, samples: int, seed: int) -> dict[str, Any]:
    """Deviation of sampled estimates in standard errors, and exact variances, on one random problem."""
    generator = _generator(seed)
    a, loss = _inputs(units, generator), _table(units, generator)
    chances, gradient = exact.probabilities(torch.sigmoid(a)), exact_gradient(a, loss)
    drawn = torch.multinomial(chances, samples, replacement=True, generator=generator)
    found: dict[str, Any] = {"deviations": {}, "variances": {}}
    baselines = {"optimal": exact.optimal_baseline(a, loss), "mean": exact.mean_loss(a, loss), "none": torch.zeros(())}
    for name, baseline in baselines.items():
        every = exact.score_function(a, loss, baseline.double())
        sampled = every[drawn]
        error = sampled.std(0) / math.sqrt(samples)
        found["deviations"][name] = float(((sampled.mean(0) - gradient).abs() / error).max())
        mean = chances @ every
        found["variances"][name] = (chances @ (every - mean).square()).tolist()
    return found


class Unbiased(Statement):
    """Losses are tables over all states, nothing smooth about them."""

    text = "The score-function estimator is unbiased, and its weighted baseline has the least variance."
    threshold = (
        "in every problem the sampled mean of each estimator lies within 5 standard errors of the enumerated gradient, "
        "the variance of every unit is least with the optimal baseline, and the sum over units falls from no baseline "
        "to the mean loss to the optimal one; in part: all but the order of the first two"
    )
    published = "proved in the paper (theorem 1 and equation 10); no numbers"
    measure = staticmethod(score_moments)

    def runs(self, scale: str) -> list[Settings]:
        problems, samples = (2, 20_000) if scale == "smoke" else (10, 200_000)
        if scale == "paper":
            problems = 100
        return [{"units": 4 + seed % 5, "samples": samples, "seed": seed} for seed in range(problems)]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        far = max(row["deviations"][name] for row in rows for name in ESTIMATORS)
        sums = [{name: sum(row["variances"][name]) for name in ESTIMATORS} for row in rows]
        least = all(
            best <= other + 1e-12
            for row in rows
            for name in ESTIMATORS
            for best, other in zip(row["variances"]["optimal"], row["variances"][name])
        )
        ordered = all(of["optimal"] <= of["mean"] <= of["none"] for of in sums)
        gains = {name: statistics.fmean(of[name] / of["optimal"] for of in sums) for name in ("mean", "none")}
        outcome = FAILS if far > 5 or not least else HOLDS if ordered else IN_PART
        return Verdict(
            outcome,
            f"The farthest of {len(rows) * len(ESTIMATORS)} sampled estimates is {far:.1f} standard errors from the "
            f"gradient. Against the optimal baseline the variance is {gains['mean']:.2f} times as high with the mean "
            f"loss and {gains['none']:.1f} times without one (means over {len(rows)} problems).",
            {
                "largest deviation, standard errors": far,
                "variance with the mean loss / optimal": gains["mean"],
                "variance without baseline / optimal": gains["none"],
            },
            baselines=("mean loss as the baseline", "no baseline"),
        )


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"exp": torch.exp, "sin": torch.sin, "square": torch.square}


def first_order(function: str, p: float) -> dict[str, Any]:
    """``|E f(h) - f(p)| / sqrt p`` of a stochastic-times-smooth unit of mean p, and ``E f(h) - f(p)``."""
    unit, f = StochasticTimesSmooth(), FUNCTIONS[function]
    a = torch.tensor([p], dtype=torch.float64).logit()
    q, v = unit.active(a), unit.value(a)
    difference = float(f(torch.zeros_like(v)) * (1 - q) + f(v) * q - f(unit.mean(a)))
    return {"difference": difference, "error": abs(difference) / math.sqrt(p)}


class FirstOrder(Statement):
    """Exact: the unit takes two values."""

    text = "A stochastic-times-smooth unit is, to first order, the smooth unit of the same mean."
    threshold = (
        "for exp, sin and the square, |E f(h) - f(p)| / sqrt(p) falls with each decade of p from 0.1 to 0.00001, to "
        "less than a hundredth, and for the square E f(h) - f(p) is p^1.5 - p^2 to 1e-9 of it"
    )
    published = "proved in the paper: E f(h) = f(p) + o(sqrt p)"
    measure = staticmethod(first_order)

    def runs(self, scale: str) -> list[Settings]:
        return [{"function": name, "p": 10.0**-k} for name in FUNCTIONS for k in range(1, 6)]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        errors = {
            name: [row["error"] for row in sorted(rows, key=lambda row: -row["p"]) if row["function"] == name]
            for name in FUNCTIONS
        }
        squares = [(row["difference"], row["p"] ** 1.5 - row["p"] ** 2) for row in rows if row["function"] == "square"]
        off = max(abs(found / expected - 1) for found, expected in squares)
        falls = all(a > b for values in errors.values() for a, b in itertools.pairwise(values))
        far = all(values[-1] < values[0] / 100 for values in errors.values())
        said = ", ".join(f"{name} {values[0]:.2g} to {values[-1]:.2g}" for name, values in errors.items())
        return Verdict(
            HOLDS if falls and far and off <= 1e-9 else FAILS,
            f"|E f(h) - f(p)| / sqrt(p) from p = 0.1 to 0.00001: {said}. For the square the closed form is off by "
            f"{off:.1g} of it at most.",
            {f"{name} at p = 0.00001": values[-1] for name, values in errors.items()} | {"closed form, error": off},
        )

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        def draw(axes: Any) -> None:
            for name in FUNCTIONS:
                points = sorted((row["p"], row["error"]) for row in rows if row["function"] == name)
                axes.plot(*zip(*points), marker="o", label=name)
            axes.set(xscale="log", yscale="log", xlabel="p", ylabel="|E f(h) - f(p)| / sqrt p")
            axes.legend()

        return [Figure("first-order", "The error of the smooth unit of the same mean, relative to sqrt p.", draw)]


def straight_through_signs(loss: str, units: int, problems: int, seed: int) -> dict[str, Any]:
    """Signs of the mean straight-through gradient that agree with the exact one; ``loss`` "two layers": of the first of
    two layers."""
    generator = _generator(seed)
    agree = 0
    for _ in range(problems):
        a = _inputs(units, generator)
        if loss == "two layers":
            estimate, gradient = _two_layers(a, generator)
        else:
            made = (_table if loss == "linear in each unit" else _quadratic)(units, generator)
            estimate = exact.probabilities(torch.sigmoid(a)) @ exact.pathwise(a, made, NoisyThreshold())
            gradient = exact_gradient(a, made)
        agree += int((estimate.sign() == gradient.sign()).sum())
    return {"agree": agree, "signs": problems * units}


def _two_layers(a: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mean straight-through gradient and exact gradient at the first of two layers; the loss is a table of the
    second."""
    units = len(a)
    weight = 2 * torch.randn(units, units, dtype=torch.float64, generator=generator)
    bias, loss = _inputs(units, generator), _table(units, generator)
    states, unit = exact.states(units), NoisyThreshold()
    second = states @ weight.T + bias  # a of the second layer in every state of the first
    chances = torch.stack([exact.probabilities(torch.sigmoid(row)) for row in second])
    per_state = torch.stack([p @ exact.pathwise(row, loss, unit) for p, row in zip(chances, second)])
    estimate = exact.probabilities(torch.sigmoid(a)) @ (per_state @ weight)
    expected = chances @ loss(states)  # of the loss, in every state of the first layer
    x = a.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((exact.probabilities(torch.sigmoid(x)) * expected).sum(), x)
    return estimate, gradient


class RightSign(Statement):
    """Signs of means over all states: no sampling."""

    text = "With one layer of stochastic units the straight-through gradient has the right sign."
    threshold = (
        "all signs agree with the exact gradient, for losses that are linear in each unit and for quadratic ones; in "
        "part: for the first only. The share with two layers is reported (the paper claims nothing there)"
    )
    published = "stated in the paper for a single layer, without a condition on the loss; no numbers"
    LOSSES = ("linear in each unit", "quadratic", "two layers")
    measure = staticmethod(straight_through_signs)

    def runs(self, scale: str) -> list[Settings]:
        seeds, problems = {"smoke": (1, 3), "small": (5, 40), "paper": (5, 400)}[scale]
        return [
            {"loss": loss, "units": 4, "problems": problems, "seed": seed}
            for loss in self.LOSSES
            for seed in range(seeds)
        ]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        def share(loss: str) -> float:
            chosen = [row for row in rows if row["loss"] == loss]
            return sum(row["agree"] for row in chosen) / sum(row["signs"] for row in chosen)

        linear, quadratic, two = (share(loss) for loss in self.LOSSES)
        return Verdict(
            FAILS if linear < 1 else HOLDS if quadratic == 1 else IN_PART,
            f"{100 * linear:.0f} % of the signs agree for losses linear in each unit, {100 * quadratic:.0f} % for "
            f"quadratic ones, and {100 * two:.0f} % in the first of two layers.",
            {f"share of signs, {loss}": value for loss, value in zip(self.LOSSES, (linear, quadratic, two))},
        )


STOCHASTIC = ("straight-through", "stochastic-times-smooth", "noisy-rectifier", "reinforce")
BASELINES = ("rectifier", "sigmoid", "noisy-sigmoid")


def gated(gate: str, width: int, hidden: int, data: str, examples: int, test: int, epochs: int, seed: int) -> dict:
    """Test error and share of active gates of one training; the threshold is fitted on the training examples."""
    dataset = small.load(data, examples, test)
    units = max(1, width // 10) if gates[gate].dense else width  # the same run time as a tenth of them
    features = math.prod(dataset.input_shape)
    model, history = small.train(
        lambda d: models.build(
            "conditional-mlp", in_features=features, width=units, hidden=hidden, num_classes=d.num_classes, gate=gate,
            skip_batch=0,
        ),
        dataset,
        seed,
        learning_rate=0.1,
        momentum=0.0,
        schedule="constant",
        batch_size=32,
        epochs=epochs,
        reestimate_batches=0,
    )  # fmt: skip
    (layer,) = (module for module in model.modules() if isinstance(module, GatedLinear))

    def inputs(split: Any) -> Tensor:
        return normalize(split.images, dataset.mean, dataset.std).flatten(1)

    layer.fit_threshold(inputs(dataset.train)[:2000])
    x = inputs(dataset.test)
    on = layer.gates(x) != 0
    probability = layer.gate.active(layer.gater(x)) if not gates[gate].dense else torch.ones(1)
    return {
        "error": 1 - learn.evaluate(model, dataset).accuracy,
        "active": float(on.double().mean()),
        "decided": float((probability > 0.5).double().mean()),
        "loss": history.rows[-1].loss,
        "macs": layer.operations(x).total,
    }


class Trained(Statement):
    """No momentum, the same epochs and rate; the dense sigmoids have a tenth of the units, the same run time."""

    text = "All four ways train gates that are mostly 0, with a small loss in accuracy."
    threshold = (
        "each of the four stochastic gaters has at most 15 % of its gates on and a mean test error at most 1.5 points "
        "above that of the dense sigmoid; in part: three of the four, or all four trained (error below 50 %) and "
        "that sparse. The paper's order (straight-through best) is reported, not judged: few epochs, one rate"
    )
    published = (
        "MNIST, test error: straight-through 1.39 %, rectifier 1.60, noisy rectifier 1.87, noisy sigmoid 1.87, score "
        "function 1.89, sigmoid 1.92, stochastic times smooth 1.96 (figure 2); one run each"
    )
    unverified = "the stopping rule, and whether the score function's 100 times smaller rate is partly a batch mean"
    measure = staticmethod(gated)

    def runs(self, scale: str) -> list[Settings]:
        if scale == "paper":
            raise Unsupported(PAPER)
        of: Settings = {"width": 400, "hidden": 80, "data": "mnist", "examples": 10_000, "test": 5_000, "epochs": 10}
        if scale == "smoke":
            of = {"width": 40, "hidden": 10, "data": "digits", "examples": 200, "test": 100, "epochs": 1}
        seeds = range(2 if scale == "smoke" else 3)
        return [{"gate": gate, **of, "seed": seed} for seed in seeds for gate in (*STOCHASTIC, *BASELINES)]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        errors = _by_gate(rows, "error")
        active = {gate: statistics.fmean(values) for gate, values in _by_gate(rows, "active").items()}
        gaps = {f"{gate} - sigmoid": paired(errors[gate], errors["sigmoid"]) for gate in STOCHASTIC}
        mean = {gate: statistics.fmean(values) for gate, values in errors.items()}
        sparse = [gate for gate in STOCHASTIC if active[gate] <= 15]
        close = [gate for gate in sparse if mean[gate] - mean["sigmoid"] <= 1.5]
        trained = len(sparse) == 4 and all(mean[gate] < 50 for gate in STOCHASTIC)
        outcome = HOLDS if len(close) == 4 else IN_PART if len(close) == 3 or trained else FAILS
        order = ", ".join(f"{gate} {mean[gate]:.1f}" for gate in sorted(mean, key=lambda gate: mean[gate]))
        return Verdict(
            outcome,
            f"Test errors in %: {order}. {len(close)} of the four stochastic gaters are within 1.5 points of the dense "
            f"sigmoid with at most 15 % of the gates on ({', '.join(f'{g} {active[g]:.1f} %' for g in STOCHASTIC)}).",
            {f"test error, {gate}": value for gate, value in mean.items()}
            | {f"gates on, {gate}": active[gate] for gate in STOCHASTIC}
            | {
                f"gates with p above 1/2, {gate}": statistics.fmean(values)
                for gate, values in _by_gate(rows, "decided").items()
                if gate in STOCHASTIC
            },
            gaps,
            ("rectifier without noise", "dense sigmoid, a tenth of the units", "dense noisy sigmoid"),
        )

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        def draw(axes: Any) -> None:
            strips(axes, _by_gate(rows, "error"), "test error, %")

        return [Figure("test-error", "Every seed (points) and the mean (bar) of each gater.", draw)]


def _by_gate(rows: Sequence[Row], value: str) -> dict[str, list[float]]:
    """gate -> values in percent, in the order of the seeds."""
    found: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        found.setdefault(row["gate"], []).append(100 * row[value])
    return found


def saved(share: float, width: int, hidden: int, in_features: int, repeats: int, seed: int) -> dict[str, Any]:
    """Multiply-accumulates and least times of single examples: skipping, everything, and the layer without a gater."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = GatedLinear(in_features, width, 10, hidden, target=min(share, 0.99)).eval()
        x = torch.randn(32, in_features)
    layer.fit_threshold(x)
    if share == 1:
        layer.gate.threshold.fill_(-torch.inf)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def plain(one: Tensor) -> Tensor:
        return layer.output(layer.experts(one))

    def everything(one: Tensor) -> Tensor:
        return layer.output(layer.experts(one) * layer.gate(layer.gater(one)))

    def skipping(one: Tensor) -> Tensor:
        return layer._skipping(one, layer.gate(layer.gater(one)))

    ways = {"skipping": skipping, "everything": everything, "without a gater": plain}
    times = dict.fromkeys(ways, math.inf)
    try:
        with torch.inference_mode():
            for turn in range(repeats):  # one after the other, so that what disturbs one disturbs all
                one = x[turn % len(x)][None]
                for name, way in ways.items():
                    began = time.perf_counter()
                    way(one)
                    times[name] = min(times[name], time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    return {"macs": layer.operations(x)._asdict(), "microseconds": {name: 1e6 * t for name, t in times.items()}}


class Saved(Statement):
    """One thread, one example at a time, in PyTorch; the least of many interleaved calls."""

    text = "Skipping the units that are off saves the computation that they would take."
    threshold = (
        "with 10 % of 2000 units on, experts and output take 9 to 11 % of their multiply-accumulates, and a call with "
        "skipping takes less time than one that computes everything, and than the layer without a gater; in part: the "
        "operations, and less time than computing everything. The time of the gater, which nothing saves, is counted"
    )
    published = "none: the paper argues from operation counts and measures no time"
    measure = staticmethod(saved)
    SHARES = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)

    def runs(self, scale: str) -> list[Settings]:
        shares, repeats = ((0.1, 1.0), 20) if scale == "smoke" else (self.SHARES, 2000)
        of: Settings = {"width": 2000, "hidden": 400, "in_features": 784, "repeats": repeats, "seed": 0}
        return [{"share": share, **of} for share in shares]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        (tenth,) = [row for row in rows if row["share"] == 0.1]
        macs, times = tenth["macs"], tenth["microseconds"]
        part = (macs["experts"] + macs["output"]) / macs["dense"]
        whole = (macs["gater"] + macs["experts"] + macs["output"]) / macs["dense"]
        everything = times["skipping"] < times["everything"]
        plain = times["skipping"] < times["without a gater"]
        counted = 0.09 <= part <= 0.11
        numbers = {
            "share of expert and output operations, 10 % on": part,
            "all operations / computing everything, 10 % on": whole / (1 + macs["gater"] / macs["dense"]),
            "all operations / layer without a gater, 10 % on": whole,
        }
        for row in rows:
            for name, value in row["microseconds"].items():
                numbers[f"microseconds, {name}, {100 * row['share']:g} % on"] = value
        return Verdict(
            FAILS if not (counted and everything) else HOLDS if plain else IN_PART,
            f"With 10 % on, experts and output take {100 * part:.1f} % of their operations; with the gater it is "
            f"{100 * whole:.0f} % of the layer without one. A call takes {times['skipping']:.0f} us with skipping, "
            f"{times['everything']:.0f} us computing everything, {times['without a gater']:.0f} us without a gater.",
            numbers,
            baselines=("everything computed", "the layer without a gater"),
        )

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        def draw(axes: Any) -> None:
            ordered = sorted(rows, key=lambda row: row["share"])
            for name in ordered[0]["microseconds"]:
                points = [(100 * row["share"], row["microseconds"][name]) for row in ordered]
                axes.plot(*zip(*points), marker="o", label=name)
            axes.set(xscale="log", xlabel="units on, %", ylabel="microseconds an example", ylim=(0, None))
            axes.legend()

        return [Figure("time", "Least time of one example in one thread, by the share of units on.", draw)]


register("stochastic-neurons", Unbiased(), FirstOrder(), RightSign(), Trained(), Saved())
