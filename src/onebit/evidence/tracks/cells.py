"""The cells of the tracks: one network trained once, whatever asks for it.

A cell's settings say everything that decides its result. The float twin of a task, architecture, recipe and seed is
trained once; a network of bits begins with its weights and is trained by the same recipe and seed.
"""

from __future__ import annotations

import functools
import hashlib
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from onebit import data
from onebit.data import Dataset
from onebit.evidence import sweep
from onebit.evidence.tracks.complexity import complexity
from onebit.evidence.tracks.tasks import FLOAT
from onebit.learn import Job, Result, load_run
from onebit.learn.run import MODEL

Settings = dict[str, Any]

VERSION = "tracks 1"
RUNS = "runs"


class Cell(NamedTuple):
    """What a cell is about.

    Args:
        task: name of the data set.
        architecture: name of the model.
        method: name of the scheme, ``"float"`` for the float twin.
        seed: of the run.
    """

    task: str
    architecture: str
    method: str
    seed: int

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Cell:
        """Of a cell's settings."""
        job = settings["job"]
        model = job["model"]
        return cls(job["data"], model["name"], model.get("scheme") or FLOAT, job["recipe"].get("seed", 0))

    def __str__(self) -> str:
        return f"{self.task} {self.architecture} {self.method} seed {self.seed}"


def settings(job: Job, **more: Any) -> Settings:
    """The settings of the cell that trains ``job``, and of what is measured of its network."""
    return {"job": job.to_dict(), **more}


def twin(given: Mapping[str, Any]) -> Settings:
    """The settings of the float twin's training."""
    job = given["job"]
    model = {name: value for name, value in job["model"].items() if not name.startswith("scheme")}
    return {"job": job | {"model": model}}


def place(given: Mapping[str, Any], root: str | Path) -> Path:
    """The folder of the run that trains a cell's network."""
    trained = {"job": given["job"]}
    job = given["job"]
    cell = Cell.of(given)
    name = f"{job['data']}-{cell.architecture}-{cell.method}-{cell.seed}"
    return Path(root) / RUNS / f"{name}-{sweep.key(trained, VERSION)[:10]}"


def run(given: Mapping[str, Any], root: str | Path) -> Result:
    """The trained network of a cell; trained now where it is not yet, or only in part."""
    job = Job.from_dict(given["job"])
    if job.model.scheme is not None:
        start = twin(given)
        if not (place(start, root) / MODEL).exists():
            run(start, root)
        job = replace(job, start=str(place(start, root)))
    examples = load(job.data, job.examples, job.test_examples)
    return job.run(place(given, root), resume=True, data=examples, progress=False)


def trained(given: Mapping[str, Any], root: str | Path) -> nn.Module:
    """The trained network of a cell in evaluation mode, read back; trained now where it is not there."""
    folder = place(given, root)
    return load_run(folder).model if (folder / MODEL).exists() else run(given, root).model


@functools.lru_cache(maxsize=4)
def load(name: str, examples: int | None, test_examples: int | None) -> Dataset:
    """A data set, or a part of it; kept, since many cells of a process ask for the same."""
    return data.load(name).limit(examples, test_examples)


def train(given: Settings, root: str) -> dict[str, Any]:
    """Train a cell's network, or go on with it: how good it is, how long it took, what it costs.

    Returns:
        ``accuracy`` 0..1, ``score`` (the data set's own measure), ``loss``, ``training_loss``, ``epochs``,
        ``seconds_per_epoch`` (median, evaluation included), ``flip_rate`` (of the last epoch; ``None`` for the float
        twin), ``data`` (a hash of the examples), and what :func:`complexity` counts.
    """
    result = run(given, root)
    history = result.history
    assert history.test is not None
    return {
        "accuracy": history.test.accuracy,
        "score": history.test.score,
        "loss": history.test.loss,
        "training_loss": history.rows[-1].loss,
        "epochs": len(history.rows),
        "seconds_per_epoch": statistics.median(row.seconds for row in history.rows),
        "flip_rate": history.rows[-1].flip_rate,
        "data": fingerprint(result.data),
        **complexity(result.model, result.data),
    }


def fingerprint(dataset: Dataset) -> str:
    """16 hexadecimal digits that stand for the examples of a data set and their order."""
    made = hashlib.sha256()
    for split in (dataset.train, dataset.test):
        for tensor in (split.inputs, split.labels):
            made.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            made.update(tensor.contiguous().numpy().tobytes())
    return made.hexdigest()[:16]
