"""One training run: its state, its epochs, its checkpoints."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from onebit.core.files import write_text
from onebit.core.seeds import derive
from onebit.data import Dataset, Split, stratified
from onebit.learn import checkpoints, environment, latents, randomness, run
from onebit.learn.batches import Batches
from onebit.learn.display import Display
from onebit.learn.divergence import Diverged
from onebit.learn.evaluation import Metrics, metrics, sums
from onebit.learn.history import History, Row, best, exhausted
from onebit.learn.plan import Plan
from onebit.learn.procedure import Procedure, Session
from onebit.learn.recipe import Recipe, write_yaml
from onebit.learn.spec import ModelSpec
from onebit.learn.statistics import reestimate
from onebit.nn import broadcast
from onebit.nn.finite import non_finite

CLOCK_STEPS = 32  # with several processes the clock is asked every so many steps: they have to agree on the answer


class _Forward(nn.Module):
    """Holds the network for Accelerate, which replaces ``forward`` of what it prepares: the network stays as it is."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Any:
        return self.model(*inputs)


class Loop:
    """A run in progress; :func:`onebit.learn.fit` has the arguments."""

    def __init__(
        self,
        model: nn.Module,
        data: Dataset,
        recipe: Recipe,
        procedure: Procedure,
        accelerator: Accelerator,
        folder: Path | None,
        teacher: nn.Module | None,
        spec: ModelSpec | None,
    ) -> None:
        self.model, self.data, self.recipe, self.procedure = model, data, recipe, procedure
        self.accelerator, self.folder, self.spec = accelerator, folder, spec
        self.main = accelerator.is_main_process
        rank, processes = accelerator.process_index, accelerator.num_processes
        train, self.validation = _held_out(data.train, recipe)
        self.batches = Batches(train, data, recipe, accelerator.device, rank, processes)
        self.plan = Plan(recipe, self.batches.per_epoch)
        self.stages = len(recipe.every_stage)
        if recipe.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # With the placement said, Accelerate need not look for sharded tensors, the import for which takes a second.
        forward = accelerator.prepare_model(_Forward(model), device_placement=True)
        if teacher is not None:
            teacher.to(accelerator.device).eval()
        self.session = Session(model, forward, accelerator, recipe, self.plan, data, teacher, self.plan.at(0))
        # State of the run: all of it is in a checkpoint.
        self.step = 0
        self.rows: list[Row] = []
        self.totals: dict[str, Tensor] = {}
        self.signs: dict[str, Tensor] = {}
        self.elapsed = 0.0
        self.saved: int | None = None  # the step of the checkpoint in the folder
        self.best_weights: dict[str, Tensor] | None = None
        # Set by fit.
        self.notes: dict[str, Any] = {}
        self.on_epoch: Callable[[Row], None] | None = None
        self.every_seconds: float | None = None
        self.every_steps: int | None = None
        self.written = time.monotonic()

    def begin(self) -> None:
        """Seed everything, or take up the run in the folder."""
        torch.manual_seed(derive(self.recipe.seed, "training", self.accelerator.process_index))
        found = self.folder is not None and (self.folder / run.CHECKPOINT).is_file()
        self.accelerator.wait_for_everyone()
        saved = checkpoints.load(self.folder / run.CHECKPOINT) if found and self.folder is not None else None
        if saved is not None:
            self._check_same(saved["of"])
            self.session.position = self.plan.at(saved["position"])
        self.procedure.start(self.session)
        if saved is not None:
            self.model.load_state_dict(saved["model"])
            self.procedure.load_state_dict(saved["procedure"])
            randomness.restore(self.model, saved["random"][self.accelerator.process_index])
            self.step, self.elapsed, self.totals, self.signs = (
                saved[key] for key in ("step", "elapsed", "totals", "signs")
            )
            self.rows = [Row(**row) for row in saved["rows"]]
            self.saved = self.step
        elif self.folder is not None and self.main:
            self._describe(self.folder)

    def train(self, display: Display) -> History:
        while self.step < self.plan.steps and not exhausted(self.rows, self.stages, self.recipe.patience):
            try:
                row = self._epoch(display)
            except Diverged as error:
                if self.folder is None or self.saved is None:
                    raise
                raise error.keeping(self.folder / run.CHECKPOINT, self.saved) from None
            display.line(row.line(self.plan.epochs))
        self.procedure.finish()
        history = self._finish()
        if history.test is not None:
            display.line(f"test  {history.test}")
        return history

    def _epoch(self, display: Display) -> Row:
        epoch, first = divmod(self.step, self.plan.per_epoch)
        began = time.monotonic() - self.elapsed
        if first == 0:
            self.totals, self.signs = {}, latents.binary_signs(self.model)
        self.model.train()
        for k in range(first, self.plan.per_epoch):
            self.session.position = self.plan.at(self.step)
            broadcast(self.model, self.session.position.progress)
            values = self.procedure.step(self.batches.batch(epoch, k))
            for name, value in values.items():
                value = value.detach().double()
                self.totals[name] = self.totals[name].to(value.device) + value if name in self.totals else value
            self.step += 1
            if display.live:
                display.at(self.step, f"loss {float(values['loss']) / self.batches.share:.3f}")
            if k + 1 < self.plan.per_epoch and self._due():
                self.elapsed = time.monotonic() - began
                self._checkpoint()
        if self.step == self.plan.steps:
            broadcast(self.model, self.plan.complete)
        row = self._row(epoch, began)
        self._check_finite()
        self.rows.append(row)
        self.elapsed, self.totals = 0.0, {}
        if self.recipe.keep == "best" and best(self.rows, self.stages) is row:
            self._keep()
        self._checkpoint()
        values = dataclasses.asdict(row) | row.extra
        numbers = {name: value for name, value in values.items() if isinstance(value, (int, float))}
        self.accelerator.log(numbers, step=row.epoch)
        if self.on_epoch is not None:
            self.on_epoch(row)
        return row

    def _row(self, epoch: int, began: float) -> Row:
        self._settle(len(self.validation) > 0)
        examples = self.plan.per_epoch * self.batches.size
        means = {name: self._summed(value) / examples for name, value in self.totals.items()}
        found = self._measure(self.validation)
        position = self.session.position
        return Row(
            epoch=epoch + 1,
            step=self.step,
            stage=position.stage,
            learning_rate=position.learning_rate,
            loss=means.pop("loss"),
            accuracy=means.pop("accuracy", None),
            validation_loss=found.loss if found else None,
            validation_accuracy=found.accuracy if found else None,
            flip_rate=latents.flip_rate(self.signs, latents.binary_signs(self.model)),
            seconds=round(time.monotonic() - began, 3),
            extra=means,
        )

    def _settle(self, measured: bool) -> None:
        """Make the network ready for evaluation, the same in all processes.

        Args:
            measured: whether an evaluation follows.
        """
        if self.accelerator.num_processes > 1:
            for buffer in self.model.buffers():
                torch.distributed.broadcast(buffer, 0)
        if self.recipe.reestimate_batches:
            inputs = self.batches.inputs(self.recipe.reestimate_batches)
            reestimate(self.model, inputs, self.recipe.reestimate_in_order and measured)

    def _measure(self, split: Split) -> Metrics | None:
        if not len(split):
            return None
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        share = Split(split.images[rank::processes], split.labels[rank::processes]) if processes > 1 else split
        found = self._over_all(sums(self.model, share, self.data.mean, self.data.std))
        return metrics(found, self.data.metric)

    def _over_all(self, value: Tensor) -> Tensor:
        """The sum of ``value`` over all processes."""
        if self.accelerator.num_processes > 1:
            value = value.to(self.accelerator.device).clone()
            torch.distributed.all_reduce(value)
        return value

    def _summed(self, value: Tensor) -> float:
        return float(self._over_all(value))

    def _finish(self) -> History:
        if self.recipe.keep == "best" and best(self.rows, self.stages) is not None:
            weights = self.best_weights
            if weights is None and self.folder is not None:
                weights = checkpoints.load(self.folder / run.BEST)
            self.model.load_state_dict(weights or {})
        broadcast(self.model, self.plan.complete)
        self._settle(True)
        self.model.eval()
        history = History(tuple(self.rows), self.stages, self._measure(self.data.test))
        if self.folder is not None and self.main:
            notes = {
                "model": self.spec.to_dict() if self.spec else None,
                "data": self.data.name,
                "stages": self.stages,
                "test": history.test.to_dict() if history.test else None,
                "mean": list(self.data.mean),
                "std": list(self.data.std),
                "class_names": list(self.data.class_names),
            }
            history.save(self.folder / run.HISTORY)
            checkpoints.save_model(self.folder / run.MODEL, self.model, notes)
        self.accelerator.wait_for_everyone()
        return history

    def _due(self) -> bool:
        if self.folder is None:
            return False
        if self.every_steps is not None and self.step % self.every_steps == 0:
            return True
        if self.every_seconds is None:
            return False
        due = time.monotonic() - self.written >= self.every_seconds
        if self.accelerator.num_processes > 1:
            if self.step % CLOCK_STEPS:
                return False
            return bool(self._summed(torch.tensor(float(due and self.main))))
        return due

    def _keep(self) -> None:
        state = {name: value.detach().clone() for name, value in checkpoints.tensors_of(self.model).items()}
        if self.folder is None:
            self.best_weights = state
        elif self.main:
            checkpoints.save(self.folder / run.BEST, state)

    def _checkpoint(self) -> None:
        if self.folder is None:
            return
        self._check_finite()
        random = self._random_states()
        if self.main:
            state = {
                "of": self._identity(),
                "model": checkpoints.tensors_of(self.model),
                "procedure": self.procedure.state_dict(),
                "random": random,
                "step": self.step,
                "position": self.session.position.progress.step,
                "elapsed": self.elapsed,
                "totals": self.totals,
                "signs": self.signs,
                "rows": [dataclasses.asdict(row) for row in self.rows],
            }
            checkpoints.save(self.folder / run.CHECKPOINT, state)
            if not self.totals:
                History(tuple(self.rows)).save(self.folder / run.HISTORY)
        self.saved = self.step
        self.written = time.monotonic()

    def _check_finite(self) -> None:
        """``Diverged`` where the network is no longer one of numbers: a sign may hide that from the loss."""
        found = non_finite(self.model)
        if found is not None:
            raise Diverged(self.step - 1, self.session.position.learning_rate, str(found))

    def _random_states(self) -> list[dict[str, Tensor]]:
        own = randomness.state(self.model)
        if self.accelerator.num_processes == 1:
            return [own]
        device = self.accelerator.device
        gathered = {name: self.accelerator.gather(value.to(device)[None]).cpu() for name, value in own.items()}
        return [{name: values[rank] for name, values in gathered.items()} for rank in range(len(gathered["cpu"]))]

    def _identity(self) -> dict[str, Any]:
        """What a resumed run must have in common with the one that wrote the checkpoint."""
        return {
            "recipe": self.recipe.to_dict(),
            "data": [self.data.name, len(self.data.train), len(self.data.test)],
            "model": self.spec.to_dict() if self.spec else type(self.model).__name__,
            "procedure": type(self.procedure).__name__,
            "processes": self.accelerator.num_processes,
        }

    def _check_same(self, saved: dict[str, Any]) -> None:
        for name, now in self._identity().items():
            then: Any = saved.get(name)
            if json.dumps(then) == json.dumps(now):
                continue
            if name == "recipe":
                keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
                changes = ", ".join(
                    f"{key} was {then.get(key, 'left out')}, is {now.get(key, 'left out')}" for key in keys
                )
                raise ValueError(f"{self.folder} has a run of another recipe: {changes}")
            raise ValueError(f"{self.folder} has a run with another {name}: it was {then}, is {now}")

    def _describe(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        content = {"model": self.spec.to_dict()} if self.spec else {}
        write_yaml(
            folder / run.RECIPE, content | {"data": self.data.name, "recipe": self.recipe.to_dict()} | self.notes
        )
        write_text(folder / run.ENVIRONMENT, json.dumps(environment.describe(), indent=1) + "\n")


def _held_out(split: Split, recipe: Recipe) -> tuple[Split, Split]:
    if not recipe.validation:
        return split, split.take(torch.empty(0, dtype=torch.int64))
    count = round(len(split) * recipe.validation)
    if not count and (recipe.patience is not None or recipe.keep == "best"):
        raise ValueError(
            "validation must hold out at least one example for patience and keep: best, "
            f"got {recipe.validation} of {len(split)} examples"
        )
    held, rest = stratified(split.labels, count, derive(recipe.seed, "validation"))
    return split.take(rest), split.take(held)
