"""The plan of a training run: stage, epoch and learning rate of every optimizer step, a function of the step alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from onebit.core.progress import Progress
from onebit.learn.recipe import Recipe


def schedule_factor(recipe: Recipe, step: int, steps: int, per_epoch: int) -> float:
    """The factor on the learning rate in ``step`` (0..steps-1) of a stage of ``steps``.

    With ``w`` warm-up steps: ``(step + 1) / w`` in them; after them, at ``u = step - w`` of ``U = steps - w``:
    cosine ``(1 + cos(pi u / U)) / 2``; linear ``1 - u / U``; step ``gamma ** (milestones passed)``; constant 1.
    """
    warm = round(recipe.warmup_epochs * per_epoch)
    if step < warm:
        return (step + 1) / warm
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
    if recipe.schedule == "linear":
        return 1 - (step - warm) / max(1, steps - warm)
    if recipe.schedule == "step":
        return recipe.gamma ** sum(step >= milestone * per_epoch for milestone in recipe.milestones)
    return 1.0


@dataclass(frozen=True)
class Position:
    """What holds for one optimizer step.

    Args:
        stage: 1-based.
        learning_rate, weight_decay: of this step.
        progress: what modules with a schedule are told before it.
    """

    stage: int
    learning_rate: float
    weight_decay: float
    progress: Progress


class Plan:
    """The plan of a run of ``recipe`` with ``per_epoch`` optimizer steps an epoch.

    Example:
        >>> plan = Plan(Recipe(epochs=2, learning_rate=1.0), per_epoch=2)
        >>> [round(plan.at(step).learning_rate, 3) for step in range(plan.steps)]
        [1.0, 0.854, 0.5, 0.146]
    """

    def __init__(self, recipe: Recipe, per_epoch: int) -> None:
        self.recipe = recipe
        self.per_epoch = per_epoch
        self.epochs = recipe.total_epochs
        self.steps = self.epochs * per_epoch

    def stage_of_epoch(self, epoch: int) -> tuple[int, int]:
        """1-based stage of the 0-based ``epoch``, and the epoch in which that stage begins."""
        start = 0
        for number, stage in enumerate(self.recipe.every_stage, 1):
            if epoch < start + stage.epochs:
                return number, start
            start += stage.epochs
        return len(self.recipe.every_stage), start - self.recipe.every_stage[-1].epochs

    def at(self, step: int) -> Position:
        """What holds for the 0-based ``step``."""
        epoch = step // self.per_epoch
        number, start = self.stage_of_epoch(epoch)
        stage = self.recipe.every_stage[number - 1]
        factor = schedule_factor(
            self.recipe, step - start * self.per_epoch, stage.epochs * self.per_epoch, self.per_epoch
        )
        rate = self.recipe.learning_rate if stage.learning_rate is None else stage.learning_rate
        decay = self.recipe.weight_decay if stage.weight_decay is None else stage.weight_decay
        return Position(number, rate * factor, decay, Progress(step, self.steps, epoch, self.epochs, number))

    @property
    def complete(self) -> Progress:
        """What modules with a schedule are told when training is complete."""
        return Progress(self.steps, self.steps, self.epochs, self.epochs, len(self.recipe.every_stage))
