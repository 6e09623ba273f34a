"""Trains in as many processes as it is launched in and writes what each ended with; run by test_processes.py.

Usage: python -m torch.distributed.run --nproc_per_node N processes.py FOLDER
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch
import torch._dynamo  # optimizers import it when they are made, which takes a second
from accelerate import PartialState
from torch import nn

from onebit.data import Augment, Dataset, Split
from onebit.learn import BackPropagation, Recipe, checkpoints, evaluate, fit
from onebit.nn.layers import Linear


def dataset() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (80, 1, 4, 4), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(80) % 3)
    return Dataset("noise", split, split, 3, ("a", "b", "c"), (0.5,), (0.3,), Augment(crop=1, flip=True))


def plain() -> nn.Sequential:
    """Without batch norm and dropout: nothing that depends on how a batch is shared out."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))


def mixed() -> nn.Sequential:
    """With batch norm, dropout and bits."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 12), nn.BatchNorm1d(12), nn.Dropout(0.3),
        Linear(12, 12, True, weight_quantizer="bnn", input_quantizer="bnn"), nn.BatchNorm1d(12), nn.Linear(12, 3),
    )  # fmt: skip


# 10 optimizer steps, the learning rate falling over them.
TEN_STEPS = Recipe(
    epochs=2, batch_size=16, optimizer="sgd", learning_rate=0.1, weight_decay=1e-3, validation=0, reestimate_batches=0
)
MIXED = Recipe(epochs=3, batch_size=16, learning_rate=0.02, validation=0.2, reestimate_batches=2, keep="best")


class Interrupted(Exception):
    pass


class Interrupting(BackPropagation):
    """Back-propagation that stops in step 6."""

    def step(self, batch):
        if self.session.position.progress.step == 6:
            raise Interrupted
        return super().step(batch)


Interrupting.__name__ = "BackPropagation"  # a resumed run has to name the same procedure


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    state: dict = {}
    model = plain()
    state["plain"] = [row.loss for row in fit(model, dataset(), TEN_STEPS, progress=False).rows]
    state["plain weights"] = model.state_dict()
    model = mixed()
    judged = dataclasses.replace(dataset(), metric="matthews")
    history = fit(model, judged, MIXED, progress=False)
    state["mixed"] = [[row.loss, row.accuracy, row.validation_loss, row.flip_rate] for row in history.rows]
    state["mixed test"] = list(dataclasses.astuple(history.test))
    state["mixed test alone"] = list(dataclasses.astuple(evaluate(model, judged)))
    state["mixed weights"] = model.state_dict()
    model = mixed()
    try:
        fit(model, dataset(), MIXED, Interrupting(), folder=folder / "run", progress=False, checkpoint_steps=1)
    except Interrupted:
        model = mixed()
        fit(model, dataset(), MIXED, folder=folder / "run", resume=True, progress=False)
    state["resumed weights"] = model.state_dict()
    here = PartialState()
    state["processes"] = here.num_processes
    checkpoints.save(folder / f"{here.num_processes}-{here.process_index}.safetensors", state)
    if here.num_processes > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
