"""The folder of a run: what lies in it and how it is read.

| file | what it is |
| --- | --- |
| `recipe.yaml` | model, data set and recipe: a job that `onebit train --recipe` takes |
| `environment.json` | versions, commit, processor, threads |
| `history.jsonl` | one row an epoch |
| `checkpoint.safetensors` | everything a resumed run needs |
| `best.safetensors` | the weights of the best epoch so far, with ``keep: best`` |
| `model.safetensors` | the trained weights; name, sizes, scheme of the model as JSON; there once the run is finished |
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from onebit.core.errors import UNREADABLE, reason, shown
from onebit.learn import checkpoints
from onebit.learn.evaluation import Metrics
from onebit.learn.history import History
from onebit.learn.recipe import from_mapping
from onebit.learn.spec import ModelSpec

RECIPE = "recipe.yaml"
ENVIRONMENT = "environment.json"
HISTORY = "history.jsonl"
CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
MODEL = "model.safetensors"


class Run(NamedTuple):
    """A finished run, read back.

    Args:
        model: the trained network, in evaluation mode, training complete.
        spec: how it was built.
        data: name of the data set.
        history: what happened.
    """

    model: nn.Module
    spec: ModelSpec
    data: str
    history: History


def about(folder: str | Path) -> dict[str, Any]:
    """The notes in a run's ``model.safetensors``: ``model`` (or ``None``), ``data``, ``stages``, ``test``."""
    path = Path(folder) / MODEL
    if not path.is_file():
        unfinished = (Path(folder) / CHECKPOINT).is_file()
        state = "the run in it is not finished: resume it" if unfinished else "there is no run in it"
        raise FileNotFoundError(f"{folder} has no {MODEL}: {state}")
    try:
        with safe_open(path, framework="np") as file:
            notes = json.loads((file.metadata() or {})[checkpoints.KEY])
            return dict(notes, data=str(notes["data"]))
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no model that onebit saved: {error}") from None
    except UNREADABLE as error:
        raise ValueError(f"{path} is no model that onebit saved: {reason(error)}") from None


def load_run(folder: str | Path) -> Run:
    """Build the network of a finished run again and load its weights.

    Raises:
        FileNotFoundError: no finished run there.
        ValueError: the run was given a model object without ``spec``: build that model and load ``model.safetensors``.
    """
    folder = Path(folder)
    notes = about(folder)
    if notes.get("model") is None:
        raise ValueError(
            f"{folder} was trained from a model object: build that model and load {MODEL} into it with load_state_dict"
        )
    spec = from_mapping(ModelSpec, notes["model"], f"model of {folder}")
    try:
        _check_sizes(folder / MODEL, spec)
        model = spec.build(seed=0)
        test = Metrics(**notes["test"]) if notes.get("test") else None
    except UNREADABLE as error:
        raise ValueError(f"the model of {folder} cannot be built: {reason(error)}") from None
    checkpoints.load_model(folder / MODEL, model)
    model.eval()
    return Run(model, spec, notes["data"], History.load(folder / HISTORY, notes.get("stages", 1), test))


def _check_sizes(path: Path, spec: ModelSpec) -> None:
    """``ValueError`` before time and memory are spent on sizes that a damaged file names."""
    most = max(4096, path.stat().st_size)
    for name, value in spec.sizes.items():
        for size in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(size, (int, float)) and not -most <= size <= most:
                raise ValueError(f"{name} is {shown(size)}, and {path.name} has {path.stat().st_size} bytes")
    with torch.device("meta"):
        checkpoints.check_model(path, spec.build())
