"""The training track: what a step costs, and how much the optimizer's settings matter."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from onebit.core.progress import Progress
from onebit.data import normalize
from onebit.evidence.engine.memory import peak_above
from onebit.evidence.engine.timing import latency
from onebit.evidence.sweep import Row
from onebit.evidence.tracks import cells
from onebit.evidence.tracks.accuracy import figures, trainings
from onebit.evidence.tracks.cells import Cell
from onebit.evidence.tracks.overall import UNVERIFIED, overall
from onebit.evidence.tracks.tasks import FLOAT, job
from onebit.evidence.tracks.track import Phase, Plan, Summary, Track, register, with_twin
from onebit.learn import Job
from onebit.nn import progress

#: Timed steps of each network; they take turns.
STEPS = 15
#: Optimizers of the grid; each with both schedules.
OPTIMIZERS: tuple[dict[str, Any], ...] = (
    {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 1e-4},
    {"optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 1e-4},
    {"optimizer": "adam", "learning_rate": 1e-3},
    {"optimizer": "adam", "learning_rate": 1e-4},
)


def settings(epochs: int) -> list[dict[str, Any]]:
    """The eight settings: four optimizers, cosine and steps of 0.1 after a half and three quarters of the epochs."""
    steps = {"schedule": "step", "milestones": (epochs // 2, 3 * epochs // 4)} if epochs > 3 else {"schedule": "linear"}
    return [optimizer | schedule for optimizer in OPTIMIZERS for schedule in ({"schedule": "cosine"}, steps)]


def stepper(job: Job) -> Callable[[], None]:
    """One optimizer step of a job's network on one batch, at the start of training."""
    data = cells.load(job.data, job.examples, job.test_examples)
    model = job.model.fitted(data).build(job.recipe.seed).train()
    progress.broadcast(model, Progress(0, 100, 0, 10))
    batch = data.train.take(torch.arange(min(job.recipe.batch_size, len(data.train))))
    inputs = normalize(batch.inputs, data.mean, data.std)
    optimizer = torch.optim.Adam(model.parameters(), job.recipe.learning_rate)

    def step() -> None:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs), batch.labels) + progress.penalty(model)
        loss.backward()
        optimizer.step()

    return step


def measure(given: dict[str, Any], root: str) -> dict[str, Any]:
    """Seconds of a step of the network of bits and of its float twin, taking turns on one thread, and their memory.

    Returns:
        ``seconds`` and ``float_seconds``: medians; ``bytes`` and ``float_bytes``: peaks of processes of their own above
        what they had before the network was built, ``None`` where it is not wanted or the system does not tell.
    """
    pair = {"bits": given["job"], "float": cells.twin(given)["job"]}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        timing = latency({name: stepper(Job.from_dict(each)) for name, each in pair.items()}, given["steps"], block=3)
    finally:
        torch.set_num_threads(threads)
    taken = {name: memory(each) if given["memory"] else None for name, each in pair.items()}
    return {
        "seconds": timing["bits"].median,
        "float_seconds": timing["float"].median,
        "bytes": taken["bits"],
        "float_bytes": taken["float"],
    }


def memory(job: Mapping[str, Any]) -> int | None:
    """:func:`peak` in a process of its own, which has no other network's memory to take."""
    program = f"import json, sys; from {__name__} import peak; print(json.dumps(peak(json.load(sys.stdin))))"
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ChildProcessError(f"memory could not be measured: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def peak(given: dict[str, Any]) -> int | None:
    """How far three steps of a job raise this process's memory, in bytes; ``None`` where the system does not tell."""
    torch.set_num_threads(1)
    job = Job.from_dict(given)
    cells.load(job.data, job.examples, job.test_examples)

    def work() -> None:
        step = stepper(job)
        for _ in range(3):
            step()

    return peak_above(work)


@register
class Training(Track):
    """Eight settings of the optimizer for each method, and the time and memory of a step."""

    name = "training"
    title = "Training consumption"
    question = "What does training with each method cost, and how sensitive is it to the optimizer's settings?"
    parts = "time and settings"

    #: Unless others are asked for.
    tasks = ("mnist",)
    epochs = 6
    examples = 2000

    def phases(self, plan: Plan) -> list[Phase]:
        smoke = plan.scale == "smoke"
        tasks = plan.tasks or (("digits",) if smoke else self.tasks)
        epochs = {"smoke": 1, "small": self.epochs, "paper": 200}[plan.scale]
        recipes = settings(epochs)[:2] if smoke else settings(epochs)

        def made(task: str, method: str, seed: int, recipe: dict[str, Any]) -> Job:
            return job(task, method, seed, plan.scale, recipe={**recipe, "epochs": epochs}, examples=self.examples)

        jobs = [
            made(task, method, seed, recipe)
            for seed in range(plan.seeds or 1)
            for recipe in recipes
            for method in with_twin(plan)
            for task in tasks
        ]
        steps = 2 if smoke else STEPS
        timed = [
            cells.settings(made(task, method, 0, recipes[0]), steps=steps, memory=not smoke)
            for task in tasks
            for method in with_twin(plan)
        ]
        return [*trainings(jobs), Phase(measure, timed, cells.VERSION, alone=True)]

    def column(self, settings: Mapping[str, Any]) -> str:
        return "step" if "steps" in settings else "accuracy"

    def field(self, results: Sequence[Mapping[str, Any]]) -> str:
        steps = [result["seconds"] for result in results if "seconds" in result]
        return f"{1e3 * statistics.fmean(steps):.1f} ms" if steps else super().field(results)

    def summary(self, rows: Sequence[Row]) -> Summary:
        timed = {Cell.of(row.settings).method: row.result for row in rows if "steps" in row.settings}
        trained: dict[str, dict[Cell, list[float]]] = {}
        missing = {Cell.of(row.settings).method for row in rows if row.result is None}
        for row in rows:
            if "steps" not in row.settings and row.result is not None:
                cell = Cell.of(row.settings)
                trained.setdefault(cell.method, {}).setdefault(cell, []).append(row.result["accuracy"])
        deviations = {
            method: {cell: statistics.pstdev(values) for cell, values in groups.items()}
            for method, groups in trained.items()
        }
        found = {}
        for method, groups in deviations.items():
            twins = [(deviations.get(FLOAT, {}).get(cell._replace(method=FLOAT)), own) for cell, own in groups.items()]
            times = [row.result for row in rows if "steps" in row.settings and Cell.of(row.settings).method == method]
            if method in missing or not times or any(not own or twin is None for twin, own in twins):
                continue
            found[method] = overall(
                {
                    "time": [result["float_seconds"] / result["seconds"] for result in times if result],
                    "settings": [twin / own for twin, own in twins if twin is not None],
                }
            )
        table = [_line(method, timed.get(method), trained.get(method, {}), found.get(method)) for method in timed]
        return Summary(
            ("method", "step, ms", "x float", "memory, MiB", "accuracy, %", "std, points", "overall", "mean ratio"),
            table,
            found,
            (
                "Step: one batch on one thread, in turns with the float twin; memory: the peak of a process.",
                "Accuracy: mean, lowest to highest over the optimizer's settings; std: over them, the seeds apart.",
                UNVERIFIED,
            ),
        )


def _line(method: str, timed: Any, trained: Mapping[Cell, Sequence[float]], found: Any) -> list[str]:
    line = [method, "-", "-", "-", "-", "-"]
    if timed is not None:
        line[1:3] = f"{1e3 * timed['seconds']:.1f}", f"{timed['seconds'] / timed['float_seconds']:.2f}"
        line[3] = f"{timed['bytes'] / 2**20:.0f}" if timed["bytes"] is not None else "-"
    values = [100 * value for group in trained.values() for value in group]
    if values:
        line[4] = f"{statistics.fmean(values):.1f} ({min(values):.1f} to {max(values):.1f})"
        line[5] = f"{100 * statistics.fmean(statistics.pstdev(group) for group in trained.values()):.1f}"
    return [*line, *figures(found)]
