"""The robustness track: what corrupted images cost a network of bits, and what they cost its float twin."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from onebit.data import CORRUPTIONS, Dataset, Split, corrupt
from onebit.evidence.statistics import spread
from onebit.evidence.sweep import Row
from onebit.evidence.tracks import cells
from onebit.evidence.tracks.accuracy import Accuracy, figures, trainings
from onebit.evidence.tracks.cells import Cell
from onebit.evidence.tracks.overall import UNVERIFIED, corruption_gap, overall
from onebit.evidence.tracks.tasks import FLOAT, TASKS, job
from onebit.evidence.tracks.track import Phase, Plan, Summary, Track, register, with_twin
from onebit.learn import Job, evaluate

SEVERITIES = (1, 2, 3, 4, 5)
#: Test images that are corrupted, the same for every network.
IMAGES = 1000
#: A gap below it, of accuracies, is noise, and so is a ratio to it.
LEAST = 0.01


@functools.lru_cache(maxsize=4)
def corrupted(data: str, test_examples: int | None, kind: str) -> tuple[Dataset, list[Split]]:
    """The test part of a data set, :data:`IMAGES` at most, clean and at the five severities of one corruption."""
    count = min(IMAGES, test_examples or IMAGES)
    dataset = cells.load(data, 1, count)
    images, labels = dataset.test.images, dataset.test.labels
    return dataset, [Split(corrupt(images, kind, severity), labels) for severity in SEVERITIES]


def measure(given: dict[str, Any], root: str) -> dict[str, Any]:
    """``clean`` accuracy and ``corrupted`` accuracies, one a severity, 0..1, of a cell's network."""
    job = Job.from_dict(given["job"])
    dataset, parts = corrupted(job.data, job.test_examples, given["corruption"])
    model = cells.trained(given, root)

    def right(split: Split) -> float:
        return evaluate(model, split, mean=dataset.mean, std=dataset.std).accuracy

    return {"clean": right(dataset.test), "corrupted": [right(part) for part in parts]}


@register
class Robustness(Track):
    """The trained networks of the accuracy track on images that were corrupted afterwards."""

    name = "robustness"
    title = "Robustness to corruption"
    question = "Do networks of bits lose more on corrupted images than their float twins?"
    parts = "corruptions"
    label = "gap of the float twin / gap of bits"

    #: Unless others are asked for.
    tasks = ("mnist", "cifar10-jpeg")

    def phases(self, plan: Plan) -> list[Phase]:
        smoke = plan.scale == "smoke"
        tasks = plan.tasks or (("digits",) if smoke else self.tasks)
        for task in tasks:
            if not TASKS[task].images:
                raise ValueError(f"tasks of the robustness track must be images, got {task!r}")
        kinds = CORRUPTIONS[:2] if smoke else CORRUPTIONS
        seeds = range(plan.seeds or (1 if smoke else Accuracy.seeds))
        jobs = [job(task, method, seed, plan.scale) for seed in seeds for method in with_twin(plan) for task in tasks]
        looks = [cells.settings(each, corruption=kind) for kind in kinds for each in jobs]
        return [*trainings(jobs), Phase(measure, looks, cells.VERSION)]

    def column(self, settings: Mapping[str, Any]) -> str:
        return f"{Cell.of(settings).task}{' corrupted' if 'corruption' in settings else ''}"

    def field(self, results: Sequence[Mapping[str, Any]]) -> str:
        dark = [statistics.fmean(result["corrupted"]) for result in results if "corrupted" in result]
        return f"{100 * statistics.fmean(dark):.1f} %" if dark else super().field(results)

    def summary(self, rows: Sequence[Row]) -> Summary:
        looks = [row for row in rows if "corruption" in row.settings]
        kinds = list(dict.fromkeys(row.settings["corruption"] for row in looks))
        methods = list(dict.fromkeys(Cell.of(row.settings).method for row in looks))
        results = {(Cell.of(row.settings), row.settings["corruption"]): row.result for row in looks if row.result}
        missing = {Cell.of(row.settings).method for row in looks if row.result is None}
        gaps = {at: _gap(result) for at, result in results.items()}
        ratios: dict[tuple[str, str], list[float]] = {}
        left: set[str] = set()
        for (cell, kind), gap in gaps.items():
            twin = gaps.get((cell._replace(method=FLOAT), kind))
            if twin is None or gap is None:
                missing.add(cell.method)
            elif min(twin, gap) < LEAST:
                left.add(f"{cell.task} {kind}")
            else:
                ratios.setdefault((cell.method, kind), []).append(twin / gap)
        whole = [method for method in methods if method not in missing]
        kept = [kind for kind in kinds if all(ratios.get((method, kind)) for method in whole)]
        found = {method: overall({kind: ratios[method, kind] for kind in kept}) for method in whole if kept}
        table = [[method, *_texts(results, gaps, method), *figures(found.get(method))] for method in methods]
        said = f"{len(kinds)} kinds x {len(SEVERITIES)} severities"
        notes = [f"Gap: what corruption takes of the clean accuracy, {said}."]
        if left:
            notes.append(f"Gaps below {LEAST:.0%} tell nothing and were left out: {', '.join(sorted(left))}.")
        columns = ("method", "clean, %", "corrupted, %", "gap, %", "overall", "mean ratio")
        return Summary(columns, table, found, (*notes, UNVERIFIED))


def _gap(result: Any) -> float | None:
    return corruption_gap(result["clean"], result["corrupted"]) if result["clean"] > 0 else None


def _texts(results: Any, gaps: Any, method: str) -> list[str]:
    """Clean and corrupted accuracy and the gap, means over everything, in per cent."""
    own = {at: result for at, result in results.items() if at[0].method == method}
    if not own:
        return ["-"] * 3
    clean = [100 * result["clean"] for result in own.values()]
    dark = [100 * statistics.fmean(result["corrupted"]) for result in own.values()]
    lost = [100 * gaps[at] for at in own if gaps[at] is not None]
    return [f"{spread(values).mean:.1f}" if values else "-" for values in (clean, dark, lost)]
