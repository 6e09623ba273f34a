"""Trains a small network and kills itself; run by test_resume.py, which says when.

Usage: python killed.py FOLDER PLAN, where PLAN is a JSON list of runs. Each run is [NAME, KILL, KILL, ...]: the run in
FOLDER/NAME is started once for each KILL and then once more to its end. A KILL is one of

    ["step", n]     in optimizer step n, after the weights have changed
    ["write", n]    half-way through writing the n-th checkpoint of that start
    ["rename", n]   after the n-th checkpoint is written, before it takes its name
    ["epoch", n]    after epoch n is wholly done
    ["finish", 0]   after training, before the trained weights are saved
    ["best", n]     after the n-th keeping of best weights, before the checkpoint that belongs to it

All runs are forks of one process that has imported everything and used nothing, to save the imports.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch
import torch._dynamo  # optimizers import it when they are made, which takes a second
from torch import nn

from onebit import learn
from onebit.data import Augment, Dataset, Split
from onebit.learn import Recipe, checkpoints, loop
from onebit.nn.layers import Linear


class Noise(nn.Module):
    """Adds noise from a generator of its own in training: a random stream that only the module knows."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(4)

    def forward(self, x):
        return x + 0.1 * torch.randn(x.shape, generator=self.generator) if self.training else x


def dataset() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (80, 1, 4, 4), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(80) % 2)
    return Dataset("noise", split, split, 2, ("a", "b"), (0.5,), (0.3,), Augment(crop=1, flip=True))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 12), nn.BatchNorm1d(12), Noise(), nn.Dropout(0.3),
        Linear(12, 12, True, weight_quantizer="bnn", input_quantizer="bnn"), nn.BatchNorm1d(12), nn.Linear(12, 2),
    )  # fmt: skip


RECIPE = Recipe(
    stages=(learn.Stage(2, 0.02), learn.Stage(2, 0.01)),
    batch_size=12,
    validation=0.25,
    keep="best",
    reestimate_batches=3,
    clip_latent=1.0,
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kind: str, number: int) -> None:
    """Have this process kill itself at the given point."""
    count = 0

    def counted() -> bool:
        nonlocal count
        count += 1
        return count == number

    if kind == "step":
        step = learn.BackPropagation.step

        def killing_step(self, batch):
            result = step(self, batch)
            if self.session.position.progress.step == number:
                die()
            return result

        learn.BackPropagation.step = killing_step
    if kind == "write":
        write_bytes = Path.write_bytes

        def killing_write(self, data):
            if ".safetensors." in self.name and counted():
                write_bytes(self, data[: len(data) // 2])
                die()
            return write_bytes(self, data)

        Path.write_bytes = killing_write
    if kind == "rename":
        replace = Path.replace

        def killing_replace(self, target):
            if Path(target).name == "checkpoint.safetensors" and counted():
                die()
            return replace(self, target)

        Path.replace = killing_replace
    if kind == "finish":
        checkpoints.save_model = lambda *a: die()
    if kind == "best":
        keep = loop.Loop._keep

        def killing_keep(self):
            keep(self)
            if counted():
                die()

        loop.Loop._keep = killing_keep


def train(folder: Path, kill: list | None) -> None:
    if kill is not None:
        arm(*kill)
    learn.fit(
        network(),
        dataset(),
        RECIPE,
        folder=folder,
        resume=True,
        progress=False,
        checkpoint_steps=2,
        on_epoch=lambda row: die() if kill == ["epoch", row.epoch] else None,
    )


def main() -> None:
    folder, plan = Path(sys.argv[1]), json.loads(sys.argv[2])
    for name, *kills in plan:
        for kill in [*kills, None]:
            child = os.fork()
            if child == 0:
                torch.set_num_threads(1)
                train(folder / name, kill)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            expected = 0 if kill is None else signal.SIGKILL
            if (os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)) != expected:
                sys.exit(f"{name}: {kill} ended with status {status}")


if __name__ == "__main__":
    main()
