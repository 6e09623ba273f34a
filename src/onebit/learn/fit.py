"""``fit``: train a network by a recipe."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers
from torch import nn

from onebit.core.errors import MissingExtra, check_positive
from onebit.core.files import claimed, remove_stale
from onebit.data import Dataset
from onebit.learn import run
from onebit.learn.display import Display
from onebit.learn.history import History, Row
from onebit.learn.loop import Loop
from onebit.learn.procedure import Procedure
from onebit.learn.recipe import Recipe
from onebit.learn.score import customary
from onebit.learn.spec import ModelSpec


def fit(
    model: nn.Module,
    data: Dataset,
    recipe: Recipe | None = None,
    procedure: Procedure | None = None,
    *,
    folder: str | Path | None = None,
    resume: bool = False,
    teacher: nn.Module | None = None,
    spec: ModelSpec | None = None,
    trackers: Sequence[str | GeneralTracker] = (),
    progress: bool = True,
    on_epoch: Callable[[Row], None] | None = None,
    checkpoint_seconds: float | None = 60.0,
    checkpoint_steps: int | None = None,
    notes: dict[str, Any] | None = None,
) -> History:
    """Train ``model`` in place; it ends in evaluation mode, training complete, with batch-norm statistics re-estimated.

    The same seed and number of threads give the same bits, also for a run that was killed at any moment and resumed.
    PyTorch's own random stream is as before afterwards.

    Args:
        model: ``(N, ...) -> (N, num_classes)``.
        data: what to train on. The test part is measured once, at the end.
        recipe: how; ``Recipe()`` where ``None``.
        procedure: the way to learn. ``None``: ``BackPropagation()``, or ``ScoreFunction()`` for a model with units that
            need it.
        folder: where recipe, environment, history, checkpoints and the trained weights go; ``None``: nowhere.
        resume: go on with the run in ``folder``; begin where there is none. Without it a folder with a run is refused.
        teacher: the network of ``recipe.distillation``; put into evaluation mode.
        spec: how ``model`` was built; saved with the weights, so that ``load_run`` can build it again.
        trackers: of Accelerate, by name (``"tensorboard"``, ``"wandb"``, ...) or made by hand; they get every row.
        progress: print a line an epoch, and a bar on terminals.
        on_epoch: called with every row, after the checkpoint of that epoch is written.
        checkpoint_seconds, checkpoint_steps: within an epoch a checkpoint is written as often; ``None``: not. At the
            end of every epoch one is written anyway. They do not change the result.
        notes: further entries of ``recipe.yaml``.

    Raises:
        Diverged: the loss, a gradient, a parameter or a running statistic is not finite. The last checkpoint is kept.
        FileExistsError: ``folder`` has a run and ``resume`` was not asked for.
        InUse: another process trains in ``folder``.
        OSError: something could not be written; the error names it, and the last checkpoint is whole.
        ValueError: an argument is out of range, or ``folder`` has a run of another recipe.
    """
    recipe = recipe or Recipe()
    for name, value in (("checkpoint_seconds", checkpoint_seconds), ("checkpoint_steps", checkpoint_steps)):
        if value is not None:
            check_positive(name, value)
    if resume and folder is None:
        raise ValueError("resume needs the folder of the run")
    place = Path(folder) if folder is not None else None
    if place is not None:
        begun, finished = (place / run.CHECKPOINT).exists(), (place / run.MODEL).exists()
        if begun and not resume:
            raise FileExistsError(f"{place} has a run already: resume it, or choose another folder")
        if finished and not begun:
            raise FileExistsError(f"{place} has a finished run without its checkpoint: choose another folder")
    with _settings(recipe), contextlib.ExitStack() as stack:
        accelerator = _accelerator(recipe, trackers, place)
        if accelerator.is_main_process and place is not None:
            stack.enter_context(claimed(place))
            remove_stale(place)
        loop = Loop(model, data, recipe, procedure or customary(model), accelerator, place, teacher, spec)
        loop.notes, loop.on_epoch = notes or {}, on_epoch
        loop.every_seconds, loop.every_steps = checkpoint_seconds, checkpoint_steps
        if trackers:
            accelerator.init_trackers("onebit", config=_flat(recipe.to_dict()))
        loop.begin()
        with Display(loop.plan.steps, progress and accelerator.is_main_process) as display:
            history = loop.train(display)
        if trackers:
            accelerator.end_training()
    return history


@contextlib.contextmanager
def _settings(recipe: Recipe) -> Iterator[None]:
    """Threads and deterministic convolutions as the recipe wants them, random streams of PyTorch as they were."""
    threads, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = deterministic
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)


def _accelerator(recipe: Recipe, trackers: Sequence[str | GeneralTracker], folder: Path | None) -> Accelerator:
    for name in trackers:
        if isinstance(name, GeneralTracker):
            continue
        if name not in LOGGER_TYPE_TO_CLASS:
            raise ValueError(f"trackers must be among {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}, got {name!r}")
        if name not in map(str, get_available_trackers()):
            raise MissingExtra(f"tracker {name!r} needs its package: pip install {name}")
    state = AcceleratorState._shared_state
    if state and state.get("_mixed_precision") != recipe.precision:
        # Accelerate keeps one precision a process; another recipe in the same process may have another.
        AcceleratorState._reset_state()
    accelerator = Accelerator(
        mixed_precision=recipe.precision, log_with=list(trackers) or None, project_dir=str(folder) if folder else "."
    )
    if recipe.precision == "fp16" and accelerator.device.type == "cpu":  # Accelerate would compute in float32 silently
        raise ValueError("precision must be no or bf16 on the CPU, which does not train in fp16")
    return accelerator


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v if isinstance(v, (int, float, str, bool)) else json.dumps(v) for k, v in values.items()}
