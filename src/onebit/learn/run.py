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

from safetensors import SafetensorError, safe_open
from torch import nn

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
            return json.loads((file.metadata() or {})[checkpoints.KEY])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ValueError(f"{path} is no model that onebit saved: {error}") from None


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
    model = spec.build(seed=0)
    checkpoints.load_model(folder / MODEL, model)
    model.eval()
    test = Metrics(**notes["test"]) if notes.get("test") else None
    return Run(model, spec, notes["data"], History.load(folder / HISTORY, notes.get("stages", 1), test))
