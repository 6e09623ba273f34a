"""A training that has left the numbers: which layer did it first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

LARGEST_GRADIENT = 1e19


class Diverged(ArithmeticError):
    """The loss, a gradient or a number of the network is not finite.

    Args:
        step: the 0-based optimizer step.
        learning_rate: of that step.
        where: what is not finite, as a clause.
        layer: path of the first module whose output was not finite; ``""``: the model itself; ``None``: none was.
        kept: what there is to go on from, as a clause.
    """

    def __init__(self, step: int, learning_rate: float, where: str, layer: str | None = None, kept: str = "") -> None:
        self.step, self.learning_rate, self.where, self.layer, self.kept = step, learning_rate, where, layer, kept
        super().__init__(
            f"training diverged in step {step} at learning rate {learning_rate:g}: {where}; "
            f"try a smaller learning_rate or a gradient_clip{kept and '; '}{kept}"
        )

    def keeping(self, checkpoint: Path, step: int) -> Diverged:
        """The same, saying that ``checkpoint`` holds the run after ``step`` steps."""
        kept = f"{checkpoint} keeps the run as it was after {step} steps"
        return Diverged(self.step, self.learning_rate, self.where, self.layer, kept)


def of_loss(step: int, learning_rate: float, model: nn.Module, inputs: Tensor) -> Diverged:
    """The error for a loss that is not finite: runs ``model(inputs)`` again to find the layer."""
    found = first_non_finite(model, inputs)
    if found is None:
        return Diverged(step, learning_rate, "every layer's output is finite, the loss or a penalty is not")
    path, kind = found
    where = f"the first layer whose output is not finite is {path or 'the model'!r} ({kind})"
    return Diverged(step, learning_rate, where, path)


def bad_gradient(model: nn.Module) -> str | None:
    """What is wrong with the gradients, as a clause; ``None`` where their Euclidean norm is finite, and below 1e19.

    Optimizers square a gradient: from 1.8e19 on an infinite second moment would freeze its weights for good.
    """
    parameters = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    if _norm([gradient for _, gradient in parameters]) < LARGEST_GRADIENT:
        return None
    for name, gradient in parameters:
        size = _norm([gradient])
        if not size < LARGEST_GRADIENT:
            return f"the gradient of {name} has norm {size:.3g}"
    return "the gradients together have a norm of 1e19 or more"


def _norm(tensors: list[Tensor]) -> float:
    return float(nn.utils.get_total_norm(tensors)) if tensors else 0.0


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in _tensors(item)]
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in _tensors(item)]
    return []


def first_non_finite(model: nn.Module, inputs: Tensor) -> tuple[str, str] | None:
    """Run ``model(inputs)`` again: path and class of the first module whose output is not finite, or ``None``."""
    found: list[tuple[str, str]] = []
    handles = []

    def watch(path: str):
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            if not found and any(t.is_floating_point() and not bool(torch.isfinite(t).all()) for t in _tensors(output)):
                found.append((path, type(module).__name__))

        return hook

    for path, module in model.named_modules():
        handles.append(module.register_forward_hook(watch(path)))
    try:
        with torch.no_grad():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None
