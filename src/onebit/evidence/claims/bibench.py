"""BiBench [Qin2023]: eight ways to make a layer's weights and inputs bits, under one protocol."""

from __future__ import annotations

import statistics
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from scipy import stats

from onebit.core.errors import Unsupported
from onebit.evidence import sweep, tracks
from onebit.evidence.claims.base import (
    FAILS,
    HOLDS,
    IN_PART,
    Figure,
    Row,
    Settings,
    Statement,
    Verdict,
    register,
)
from onebit.evidence.claims.drawing import strips
from onebit.evidence.engine import peers
from onebit.evidence.engine.shape import Shape
from onebit.evidence.executors import Executor
from onebit.evidence.statistics import interval
from onebit.evidence.tracks import FLOAT, Plan, hardware
from onebit.evidence.tracks.cells import Cell

#: The operators of the paper.
OPERATORS = ("bnn", "xnor", "dorefa", "bireal", "xnor++", "react", "recu", "fda")
PAPER = "the published set-up needs eight GPUs for weeks: `onebit bench TRACK --scale paper` trains what one can"
RECALLED = "the paper's tables could not be read: no number of its own can be given"


class OfTrack(Statement):
    """A statement about the rows of an evaluation track: what ``onebit bench`` has measured is not measured again.

    Attributes:
        track: its name.
    """

    track: ClassVar[str]
    published = "none that could be read"
    unverified = RECALLED

    @abstractmethod
    def plan(self, scale: str) -> Plan:
        """What is compared at a scale."""

    def made(self, scale: str) -> Plan:
        """:meth:`plan`; ``Unsupported`` at scale paper."""
        if scale == "paper":
            raise Unsupported(PAPER)
        return self.plan(scale)

    def runs(self, scale: str) -> list[Settings]:
        phases = tracks.registry[self.track].phases(self.made(scale))
        return [settings for phase in phases for settings in phase.cells]

    def measured(
        self, scale: str, folder: Path, *, jobs: int = 1, executor: Executor | None = None, progress: bool = False
    ) -> list[sweep.Row]:
        """The rows of the track in the folder ``tracks`` beside that of all claims, which ``onebit bench`` shares."""
        place = folder.parent.with_name("tracks")
        track = tracks.registry[self.track]
        return tracks.run(track, self.made(scale), place, jobs=jobs, executor=executor, progress=progress)

    def summary(self, rows: Sequence[Row]) -> tracks.Summary:
        """What the track says of rows in which settings and result are one mapping."""
        made = [sweep.Row(str(number), "", dict(row), "", dict(row), None, 0.0) for number, row in enumerate(rows)]
        return tracks.registry[self.track].summary(made)


def overall(summary: tracks.Summary) -> dict[str, float]:
    """The overall metric of each method, the float twin left out."""
    return {method: found.metric for method, found in summary.overall.items() if method != FLOAT}


def _ratios(rows: Sequence[Row], part: str) -> dict[tuple[str, str], list[float]]:
    """Accuracies over those of the float twin of the same seed, by method and part of the cell."""
    found = {Cell.of(row): row["score"] for row in rows}
    ratios: dict[tuple[str, str], list[float]] = {}
    for cell, score in found.items():
        twin = found[cell._replace(method=FLOAT)]
        if cell.method != FLOAT:
            ratios.setdefault((cell.method, getattr(cell, part)), []).append(max(0.0, score) / twin)
    return ratios


class Decisive(OfTrack):
    """The eight operators on images, speech, points and text; everything else is the same."""

    track = "accuracy"
    text = "The operator that makes values bits has a decisive influence on accuracy."
    threshold = (
        "in at least three of five tasks the operators' accuracies differ (analysis of variance over the operators, "
        "p < 0.01, that is 0.05 over the tasks), and the highest overall metric is at least 1.05 times the lowest; in "
        "part: in at least one task"
    )

    def plan(self, scale: str) -> Plan:
        return Plan(scale, OPERATORS if scale == "small" else OPERATORS[:2])

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        ratios, found = _ratios(rows, "task"), overall(self.summary(rows))
        tasks = list(dict.fromkeys(task for _, task in ratios))
        chances = {task: _chance([values for (_, of), values in ratios.items() if of == task]) for task in tasks}
        differ = [task for task, p in chances.items() if p < 0.01]
        best, worst = max(found, key=found.__getitem__), min(found, key=found.__getitem__)
        far = found[best] >= 1.05 * found[worst]
        outcome = HOLDS if len(differ) >= 3 and far else IN_PART if differ else FAILS
        said = f"{len(differ)} of {len(tasks)} tasks ({', '.join(differ) or 'none'})"
        return Verdict(
            outcome,
            f"Operators differ beyond the seeds in {said}; overall {best} is best with {found[best]:.3f}, "
            f"{worst} worst with {found[worst]:.3f}.",
            {f"overall, {method}": value for method, value in found.items()}
            | {f"p, {task}": p for task, p in chances.items()},
            baselines=("the float network of the same architecture, recipe and seed",),
        )

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        ratios = _ratios(rows, "task")
        groups: dict[str, list[float]] = {}
        for (method, _), values in ratios.items():
            groups.setdefault(method, []).extend(values)

        def draw(axes: Any) -> None:
            strips(axes, groups, "accuracy / float accuracy")

        return [Figure("operators", "Every task and seed (points) and the mean (bar) of each operator.", draw)]


def _chance(groups: Sequence[Sequence[float]]) -> float:
    """p of the analysis of variance; 1 where it cannot be told."""
    if len(groups) < 2 or all(len(group) < 2 for group in groups):
        return 1.0
    return float(stats.f_oneway(*groups).pvalue)


class Varies(OfTrack):
    """Three architectures of about as many parameters on the same images."""

    track = "architectures"
    text = "How much accuracy is lost varies strongly over architectures: transformers lose most."
    threshold = (
        "the mean ratio to the float network is higher for the convolutional network than for the transformer, and "
        "their ranges of one standard deviation over the seeds do not overlap; in part: higher, but they overlap"
    )

    def plan(self, scale: str) -> Plan:
        if scale == "smoke":
            return Plan(scale, ("bnn",), architectures=("convnet", "mlp"))
        return Plan(scale, OPERATORS, architectures=("convnet", "mlp", "vit"), seeds=3)

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        found = {Cell.of(row): row["score"] for row in rows}
        by_seed: dict[str, dict[int, list[float]]] = {}
        for cell, score in found.items():
            if cell.method != FLOAT:
                ratio = score / found[cell._replace(method=FLOAT)]
                by_seed.setdefault(cell.architecture, {}).setdefault(cell.seed, []).append(ratio)
        means = {name: [statistics.fmean(values) for values in seeds.values()] for name, seeds in by_seed.items()}
        sizes = {Cell.of(row).architecture: row["real_parameters"] for row in rows if Cell.of(row).method == FLOAT}
        first, last = means["convnet"], means.get("vit", means["mlp"])
        deviation = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in (first, last)]
        gap = statistics.fmean(first) - statistics.fmean(last)
        outcome = FAILS if gap <= 0 else HOLDS if gap > sum(deviation) else IN_PART
        said = ", ".join(f"{name} {statistics.fmean(values):.3f}" for name, values in means.items())
        return Verdict(
            outcome,
            f"Mean ratio to the float network over the operators: {said}.",
            {f"ratio, {name}": statistics.fmean(values) for name, values in means.items()}
            | {f"parameters, {name}": size for name, size in sizes.items()},
            {name: interval(values) for name, values in means.items()},
            ("the float network of the same architecture, recipe and seed",),
        )


class Robust(OfTrack):
    """The networks of the first statement on corrupted images."""

    track = "robustness"
    text = "Networks of bits lose about as much on corrupted images as float networks do."
    threshold = "the overall metric of all eight operators lies within 0.8 and 1.1; in part: their mean does"
    unverified = RECALLED + "; that the ratio is near 1 is from memory"

    def plan(self, scale: str) -> Plan:
        return Plan(scale, OPERATORS if scale == "small" else OPERATORS[:2])

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        found = overall(self.summary(rows))
        if not found:  # at scale smoke networks may not have learned enough to lose anything
            return Verdict(FAILS, "No operator has a metric: the networks have learned too little.")
        inside = [method for method, value in found.items() if 0.8 <= value <= 1.1]
        mean = statistics.fmean(found.values())
        outcome = HOLDS if len(inside) == len(found) else IN_PART if 0.8 <= mean <= 1.1 else FAILS
        low, high = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
        return Verdict(
            outcome,
            f"Overall metric from {found[low]:.2f} ({low}) to {found[high]:.2f} ({high}), mean {mean:.2f}; "
            f"{len(inside)} of {len(found)} operators lie within 0.8 and 1.1.",
            {f"overall, {method}": value for method, value in found.items()},
            baselines=("the float network of the same architecture, recipe and seed",),
        )


class Costly(OfTrack):
    """Steps that take turns, and eight settings of the optimizer."""

    track = "training"
    text = "Training with bits costs more than training floats, most with ReCU and FDA."
    threshold = (
        "a step takes 1 to 3 times as long as the float network's with every operator, and the two slowest are ReCU "
        "and FDA; in part: one of the two. Deviations over the settings of the optimizer are reported"
    )

    def plan(self, scale: str) -> Plan:
        return Plan(scale, OPERATORS if scale == "small" else OPERATORS[:2])

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        steps: Mapping[str, float] = {
            Cell.of(row).method: row["seconds"] / row["float_seconds"] for row in rows if "steps" in row
        }
        times = {method: ratio for method, ratio in steps.items() if method != FLOAT}
        slowest = sorted(times, key=times.__getitem__)[-2:]
        bounded, order = all(1 <= ratio <= 3 for ratio in times.values()), set(slowest) == {"recu", "fda"}
        settings: dict[str, list[float]] = {}
        for row in rows:
            if "steps" not in row:
                settings.setdefault(Cell.of(row).method, []).append(100 * row["accuracy"])
        said = ", ".join(f"{method} {ratio:.2f}" for method, ratio in sorted(times.items(), key=lambda item: item[1]))
        return Verdict(
            HOLDS if bounded and order else IN_PART if bounded or order else FAILS,
            f"Times of a step over the float network's: {said}.",
            {f"step, {method}": ratio for method, ratio in times.items()}
            | {f"std over settings, {method}": statistics.pstdev(values) for method, values in settings.items()},
            baselines=("the float network of the same architecture and batch",),
        )


class Edge(OfTrack):
    """Single layers in the engine against the same layers in ONNX Runtime, float32; one thread, in turns."""

    track = "hardware"
    text = "Bits make inference faster and smaller where it is measured, though less than in theory."
    threshold = (
        "convolutions of bits of 14x14 are faster than float ones by less than theory at every number of channels, by "
        "5 times or more at 256 channels, and slower below 64 channels; in part: the first two"
    )
    published = "promising speed and size on ARM boards and phones; no number that could be read"
    unverified = "processors and engines of the paper are others: ARM, Larq and daBNN"

    def plan(self, scale: str) -> Plan:
        return Plan(scale) if scale == "small" else Plan(scale, OPERATORS[:1])

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        layers = _layers(rows)
        below = all(measured < theory for theory, measured in layers.values())
        wide, narrow = layers[max(layers)][1], [measured for width, (_, measured) in layers.items() if width < 64]
        fast, slow = wide >= 5, all(measured < 1 for measured in narrow)
        said = ", ".join(f"{measured:.1f} of {theory:.0f} at {width}" for width, (theory, measured) in layers.items())
        return Verdict(
            HOLDS if below and fast and slow else IN_PART if below and fast else FAILS,
            f"Times as fast as ONNX Runtime float32, measured of theory, by channels: {said}.",
            {f"measured, {width} channels": measured for width, (_, measured) in layers.items()}
            | {f"theory, {width} channels": theory for width, (theory, _) in layers.items()},
            baselines=("the same convolution in ONNX Runtime, float32",),
        )

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        layers = _layers(rows)

        def draw(axes: Any) -> None:
            axes.plot(list(layers), [theory for theory, _ in layers.values()], marker="o", label="in theory")
            axes.plot(list(layers), [measured for _, measured in layers.values()], marker="o", label="measured")
            axes.set(xscale="log", yscale="log", xlabel="channels", ylabel="times as fast as float32")
            axes.set_xticks(list(layers), [str(width) for width in layers])
            axes.legend()

        return [Figure("layers", "Convolutions 3x3 of 14x14 on one thread.", draw)]


def _layers(rows: Sequence[Row]) -> dict[int, tuple[float, float]]:
    """Theoretical and measured speed-up of the single layers by their channels."""
    found = [row for row in rows if "layer" in row]
    return {row["layer"][1]: (hardware.theory(Shape(*row["layer"])), _measured(row)) for row in found}


def _measured(row: Row) -> float:
    """How many times as fast as the float layer a layer of bits is that gives floats."""
    return row["peers"][peers.ORT]["median"] / row["engine"]["float"]["median"]


register("bibench", Decisive(), Varies(), Robust(), Costly(), Edge())
