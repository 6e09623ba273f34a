"""Grids of training runs: a job, and some of its settings varied.

Every cell is the folder of a run, which goes on from its own checkpoint when the sweep is started again.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from onebit.core.errors import sentence
from onebit.evidence import sweep
from onebit.evidence.executors import Executor
from onebit.evidence.statistics import Spread, spread
from onebit.learn import Job
from onebit.learn.recipe import write_yaml

VERSION = "training 1"
SEED = "recipe.seed"
ROWS = "rows.jsonl"
#: What is measured of a run, and how a table calls it.
RESULTS = {
    "test_accuracy": "test accuracy",
    "test_matthews": "test correlation",
    "test_loss": "test loss",
    "validation_accuracy": "validation accuracy",
    "loss": "training loss",
}


def cells(job: Job, over: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """The jobs of a grid: name of the cell -> job as a mapping, checked.

    Args:
        job: what is the same in all.
        over: key of the job with dots (``"model.scheme"``, ``"recipe.seed"``, ``"model.sizes.width"``) -> its values.
            Runs use one thread unless the job or ``over`` says otherwise, so that they give the same bits alone and
            beside others.

    Raises:
        ValueError: a key or value that a job cannot have; the text names it.

    Example:
        >>> from onebit.learn import ModelSpec
        >>> list(cells(Job(ModelSpec("mlp"), "digits"), {"model.scheme": [None, "bnn"], "recipe.seed": [0]}))
        ['model.scheme=null, recipe.seed=0', 'model.scheme=bnn, recipe.seed=0']
    """
    for key, values in over.items():
        if not values:
            raise ValueError(f"{key} must have one value or more, got none")
    found = {}
    for chosen in sweep.grid(over):
        content: dict[str, Any] = copy.deepcopy(job.to_dict())
        content.setdefault("recipe", {}).setdefault("threads", 1)
        name = sweep.text(chosen)
        try:
            for key, value in chosen.items():
                _put(content, key, value)
            made = Job.from_dict(content)
            made.model.check()
        except (ValueError, KeyError) as error:
            raise ValueError(f"{name}: {sentence(error)}" if name else sentence(error)) from None
        found[name or "job"] = made.to_dict()
    return found


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ValueError(f"{key} is no setting of a job: {part} holds no settings")
    values[last] = value


def run(
    job: Job,
    over: Mapping[str, Sequence[Any]],
    folder: str | Path,
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    progress: bool = False,
) -> list[sweep.Row]:
    """Train every cell of a grid that ``folder`` has no result of; gives the rows of all of them.

    Args:
        job, over: as for :func:`cells`.
        folder: of ``rows.jsonl``, of ``sweep.yaml`` (the grid) and of ``runs`` (a run folder a cell).
        jobs, executor, progress: as for :func:`onebit.evidence.sweep.run`.
    """
    folder = Path(folder)
    wanted = cells(job, over)
    write_yaml(folder / "sweep.yaml", {"job": job.to_dict(), "over": {key: list(v) for key, v in over.items()}})
    # Absolute: a worker on another machine has another current folder.
    runs = folder.absolute() / "runs"
    folders = {sweep.key(settings, VERSION): runs / _folder(name) for name, settings in wanted.items()}
    measure = partial(train, folders={key: f"{place}-{key[:8]}" for key, place in folders.items()})
    return sweep.run(measure, wanted, folder / ROWS, version=VERSION, jobs=jobs, executor=executor, progress=progress)


def _folder(name: str) -> str:
    return re.sub(r"[^\w.=+-]+", "_", name)[:100]


def train(settings: Mapping[str, Any], folders: Mapping[str, str]) -> dict[str, Any]:
    """Train one cell, or go on with it: the numbers of :data:`RESULTS`, accuracies 0..1, and the epochs.

    ``test_matthews`` only of a data set whose measure is Matthews' correlation.
    """
    folder = folders[sweep.key(settings, VERSION)]
    history = Job.from_dict(settings).run(folder, resume=True, progress=False).history
    correlation = history.test.matthews if history.test else None
    return {
        "test_accuracy": history.test.accuracy if history.test else None,
        **({} if correlation is None else {"test_matthews": correlation}),
        "test_loss": history.test.loss if history.test else None,
        "validation_accuracy": history.best.validation_accuracy if history.best else None,
        "loss": history.rows[-1].loss,
        "epochs": len(history.rows),
        "folder": Path(folder).name,
    }


def table(over: Mapping[str, Sequence[Any]], rows: Sequence[sweep.Row]) -> list[dict[str, Any]]:
    """One entry a setting, seeds taken together: ``settings``, ``runs``, ``failed`` and a ``Spread`` of each result.

    Args:
        over: as for :func:`run`.
        rows: that :func:`run` gave.
    """
    groups: dict[str, dict[str, Any]] = {}
    for chosen, row in zip(sweep.grid(over), rows):
        setting = {key: value for key, value in chosen.items() if key != SEED}
        group = groups.setdefault(sweep.text(setting), {"settings": setting, "rows": []})
        group["rows"].append(row)
    return [{"settings": group["settings"], **_summary(group["rows"])} for group in groups.values()]


def _summary(rows: Sequence[sweep.Row]) -> dict[str, Any]:
    results = [row.result for row in rows if row.result is not None]
    spreads: dict[str, Spread | None] = {}
    for name in RESULTS:
        values = [result[name] for result in results if result.get(name) is not None]
        spreads[name] = spread(values) if values else None
    return {"runs": len(results), "failed": len(rows) - len(results), **spreads}
