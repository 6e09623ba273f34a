"""A training that has left the numbers: which layer did it first."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Diverged(ArithmeticError):
    """The loss is not finite.

    Args:
        step: the 0-based optimizer step.
        learning_rate: of that step.
        layer: path of the first module whose output was not finite; ``""``: the model itself; ``None``: none was, so
            the loss or a penalty is to blame.
        kind: class of that module.
    """

    def __init__(self, step: int, learning_rate: float, layer: str | None, kind: str = "") -> None:
        self.step, self.learning_rate, self.layer = step, learning_rate, layer
        where = "every layer's output is finite, the loss or a penalty is not"
        if layer is not None:
            where = f"the first layer whose output is not finite is {layer or 'the model'!r} ({kind})"
        super().__init__(
            f"training diverged in step {step} at learning rate {learning_rate:g}: {where}; "
            "try a smaller learning_rate or a gradient_clip"
        )


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
