"""The accuracy track: how much of the float twin's accuracy each method keeps, task by task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from onebit.evidence.statistics import spread
from onebit.evidence.sweep import Row
from onebit.evidence.tracks import cells
from onebit.evidence.tracks.cells import Cell
from onebit.evidence.tracks.overall import UNVERIFIED, Overall, overall
from onebit.evidence.tracks.tasks import FLOAT, job
from onebit.evidence.tracks.track import Phase, Plan, Summary, Track, register, with_twin

#: Below it a float twin has learned so little that a ratio to its own measure says nothing.
LEAST = 0.05


@register
class Accuracy(Track):
    """Every method on every task, in the task's customary architecture."""

    name = "accuracy"
    title = "Accuracy on tasks"
    question = "How much of the float network's accuracy does each method keep?"
    parts = "tasks"

    #: Unless others are asked for: images, speech, points, text.
    tasks = ("mnist", "cifar10-jpeg", "fsdd", "shapes3d-points", "sst2")
    seeds = 2

    def phases(self, plan: Plan) -> list[Phase]:
        tasks = plan.tasks or (("digits",) if plan.scale == "smoke" else self.tasks)
        seeds = range(plan.seeds or (1 if plan.scale == "smoke" else self.seeds))
        jobs = [job(task, method, seed, plan.scale) for seed in seeds for method in with_twin(plan) for task in tasks]
        return trainings(jobs)

    def summary(self, rows: Sequence[Row]) -> Summary:
        table = Scores(rows, lambda cell: cell.task)
        return Summary(
            ("method", *(f"{part}, %" for part in table.parts), "overall", "mean ratio"),
            [
                [method, *(table.text(method, part) for part in table.parts), *figures(table.overall.get(method))]
                for method in table.methods
            ],
            table.overall,
            (*table.notes, UNVERIFIED),
        )


def trainings(jobs: Sequence[Any]) -> list[Phase]:
    """Float twins first: the networks of bits begin with their weights."""
    made = [cells.settings(each) for each in jobs]
    twins = [each for each in made if Cell.of(each).method == FLOAT]
    bits = [each for each in made if Cell.of(each).method != FLOAT]
    return [Phase(cells.train, part, cells.VERSION) for part in (twins, bits) if part]


def figures(found: Overall | None) -> list[str]:
    """An overall metric and the mean beside it as texts."""
    return ["-", "-"] if found is None else [f"{found.metric:.3f}", f"{found.mean:.3f}"]


class Scores:
    """Scores of trained cells by method and part, and their ratios to the float twin of the same seed.

    Args:
        rows: of cells that :func:`onebit.evidence.tracks.cells.train` measured.
        part: what a cell counts to: its task, its architecture's family.
    """

    def __init__(self, rows: Iterable[Row], part: Any) -> None:
        results = {Cell.of(row.settings): row.result for row in rows if row.result is not None}
        every = [Cell.of(row.settings) for row in rows]
        self.parts = list(dict.fromkeys(part(cell) for cell in every))
        self.methods = list(dict.fromkeys(cell.method for cell in every))
        self.notes: list[str] = []
        weak = {
            cell.task
            for cell, result in results.items()
            if cell.method == FLOAT and result["score"] < LEAST and result["score"] != result["accuracy"]
        }
        self.notes += [f"{task}: accuracy, the measure of its float twin is below {LEAST}." for task in sorted(weak)]
        self.values: dict[tuple[str, str], list[float]] = {}
        self.ratios: dict[tuple[str, str], list[float]] = {}
        missing = {cell.method for cell in every if cell not in results}
        for cell, result in results.items():
            name = "accuracy" if cell.task in weak else "score"
            at = (cell.method, part(cell))
            self.values.setdefault(at, []).append(result[name])
            twin = results.get(cell._replace(method=FLOAT))
            if twin is not None and twin[name] > 0:
                self.ratios.setdefault(at, []).append(max(0.0, result[name]) / twin[name])
            else:
                missing.add(cell.method)
        self.overall = {
            method: overall({each: self.ratios[method, each] for each in self.parts})
            for method in self.methods
            if method not in missing
        }

    def text(self, method: str, part: str) -> str:
        """Mean and standard deviation in per cent."""
        values = self.values.get((method, part))
        if not values:
            return "-"
        found = spread([100 * value for value in values])
        return f"{found.mean:.1f}" if found.std is None else f"{found.mean:.1f} +- {found.std:.1f}"
