"""A procedure: what differs between the ways to learn; and the usual one, back-propagation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator, DistributedType
from torch import Tensor, nn

from onebit.data import Dataset
from onebit.learn.batches import Batch
from onebit.learn.divergence import Diverged, bad_gradient, of_loss
from onebit.learn.latents import clamp_, latent_weights
from onebit.learn.plan import Plan, Position
from onebit.learn.recipe import Recipe
from onebit.nn import penalty

SMALLEST_SCALE = 2.0**-16  # of the loss with fp16, which starts at 2^16: 32 steps in a row were left out
PLAIN = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


@dataclass
class Session:
    """What the loop shares with a procedure.

    Args:
        model: the network.
        forward: call this instead of ``model``: it runs the network in the recipe's precision and joins the processes.
        accelerator: of Accelerate: device, precision, processes.
        recipe, plan, data: of this run.
        teacher: a network to learn from, or ``None``.
        position: of the current step; set by the loop before each.
    """

    model: nn.Module
    forward: Callable[..., Any]
    accelerator: Accelerator
    recipe: Recipe
    plan: Plan
    data: Dataset
    teacher: nn.Module | None
    position: Position


class Procedure(Protocol):
    """A way to learn. The loop owns progress, seeds, batches, checkpoints, resuming, early stop and trackers."""

    def start(self, session: Session) -> None:
        """Called once before the first step, and before :meth:`load_state_dict` of a resumed run."""

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """Learn from one batch (a process's share of it).

        Returns:
            0-d tensors, sums over the examples of the share: ``"loss"`` and, where it has a meaning, ``"accuracy"``
            (the number right); others are shown under their names. The history has their means.
        """

    def finish(self) -> None:
        """Called once after the last step, before the last evaluation."""

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs: dictionaries with text or integer keys, lists, numbers, texts, tensors."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""


class BackPropagation:
    """Gradient descent on cross-entropy, distillation and the penalties of the layers.

    For a batch of ``B`` examples: ``mean CE + sum of penalty()``, or with distillation of weight ``a`` and temperature
    ``T``: ``(1 - a) mean CE + a T^2 mean KL(softmax(t / T) || softmax(s / T)) + penalties``. The mean is over the
    examples of all processes together.
    """

    def start(self, session: Session) -> None:
        self.session = session
        recipe = session.recipe
        if recipe.distillation is not None and session.teacher is None:
            raise ValueError("distillation needs a teacher: give fit one")
        self.parameters = [p for p in session.model.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError("model must have at least one parameter that requires a gradient")
        self.optimizer = session.accelerator.prepare(_optimizer(recipe, self.parameters))
        self.backward: Callable[[Tensor], None] = session.accelerator.backward
        if session.accelerator.scaler is None and session.accelerator.distributed_type in PLAIN:
            # Accelerate's wrappers have nothing to do here and cost 0.3 ms a step, which a small network notices.
            self.optimizer, self.backward = self.optimizer.optimizer, torch.Tensor.backward
        self.latents = latent_weights(session.model) if recipe.clip_latent is not None else []
        self.stage = session.position.stage

    def step(self, batch: Batch) -> dict[str, Tensor]:
        session, recipe = self.session, self.session.recipe
        position = session.position
        if position.stage != self.stage:  # a stage is a training of its own: no momentum from the one before
            self.stage = position.stage
            getattr(self.optimizer, "optimizer", self.optimizer).state.clear()
        for group in self.optimizer.param_groups:
            group["lr"], group["weight_decay"] = position.learning_rate, position.weight_decay
        outputs = self._outputs(batch)
        total = self._loss(outputs, batch)
        # Gradients are averaged over processes, hence the factor: it makes them those of the mean over all examples.
        objective = total * (session.accelerator.num_processes / batch.size) + penalty(session.model).to(total.device)
        if not math.isfinite(objective.item()):
            with session.accelerator.autocast():
                raise of_loss(position.progress.step, position.learning_rate, session.model, batch.inputs)
        self.optimizer.zero_grad(set_to_none=True)
        self.backward(objective)
        wrong = self._wrong_gradient()
        if wrong is not None:
            raise Diverged(position.progress.step, position.learning_rate, wrong)
        if recipe.gradient_clip is not None:
            session.accelerator.clip_grad_norm_(self.parameters, recipe.gradient_clip)
        self.optimizer.step()
        if recipe.clip_latent is not None:
            clamp_(self.latents, recipe.clip_latent)
        return {"loss": total.detach(), "accuracy": (outputs.detach().argmax(1) == batch.labels).sum()}

    def _outputs(self, batch: Batch) -> Tensor:
        """What the network gives; ``ValueError`` where that is not one row of scores an example."""
        classes = self.session.data.num_classes
        try:
            outputs = self.session.forward(batch.inputs)
        except ValueError as error:
            if len(batch.labels) == 1 and "more than 1 value per channel" in str(error):
                raise ValueError(
                    "batch_size must give each process 2 examples or more where a batch norm sees one value a channel, "
                    "got 1"
                ) from error
            raise
        if not isinstance(outputs, Tensor) or outputs.dim() != 2 or outputs.shape[1] < classes:
            got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise ValueError(f"model must give scores of shape ({len(batch.labels)}, {classes}), got {got}")
        return outputs

    def _wrong_gradient(self) -> str | None:
        """What is wrong with the gradients, as a clause. A gradient scaler looks for infinities itself, leaves the step
        out and tries a smaller scale: there the scale tells."""
        scaler = self.session.accelerator.scaler
        if scaler is None:
            return bad_gradient(self.session.model)
        return "no scale of the loss has finite gradients" if scaler.get_scale() < SMALLEST_SCALE else None

    def _loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        recipe = self.session.recipe
        loss = nn.functional.cross_entropy(
            outputs, batch.labels, reduction="sum", label_smoothing=recipe.label_smoothing
        )
        if recipe.distillation is None or self.session.teacher is None:
            return loss
        weight, temperature = recipe.distillation.weight, recipe.distillation.temperature
        with torch.no_grad():
            target = nn.functional.log_softmax(self.session.teacher(batch.inputs).float() / temperature, 1)
        student = nn.functional.log_softmax(outputs / temperature, 1)
        divergence = nn.functional.kl_div(student, target, reduction="sum", log_target=True)
        return (1 - weight) * loss + weight * temperature**2 * divergence

    def finish(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        scaler = self.session.accelerator.scaler
        return {
            "stage": self.stage,
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stage = state["stage"]
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"] is not None and self.session.accelerator.scaler is not None:
            self.session.accelerator.scaler.load_state_dict(state["scaler"])


def _optimizer(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    # Fused: one kernel for all parameters; a loop over many small ones costs as much as a small network's forward pass.
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
    return kind(parameters, recipe.learning_rate, fused=True)
