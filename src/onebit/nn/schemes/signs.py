"""Which layers have an input that is never negative: a sign of it would be +1 always."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_NON_NEGATIVE = (
    nn.ReLU,
    nn.ReLU6,
    nn.Sigmoid,
    nn.Hardsigmoid,
    nn.Softmax,
    nn.Softmax2d,
    nn.Softmin,
    nn.Softplus,
)
_TRANSPARENT = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.Upsample,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.ReflectionPad1d,
    nn.ReflectionPad2d,
    nn.ReplicationPad1d,
    nn.ReplicationPad2d,
    nn.ZeroPad2d,
)


def by_structure(model: nn.Module) -> dict[int, str]:
    """Modules that follow a ReLU, softmax, sigmoid, ...: ``{id(module): reason}``.

    In an ``nn.Sequential`` that is what happens. Elsewhere the order of definition is taken for the order of the calls:
    where it is not, the layer gets a centred shift that it would not have needed, which does no harm.
    """
    found: dict[int, str] = {}
    _walk(model, "", found)
    return found


def _walk(module: nn.Module, before: str, found: dict[int, str]) -> str:
    """Note what lies in ``module``, whose input comes from ``before`` (the class of a non-negative function, or empty);
    returns the same of its output."""
    if isinstance(module, _NON_NEGATIVE):
        return type(module).__name__
    if isinstance(module, _TRANSPARENT):
        return before
    if before:
        found.setdefault(id(module), f"after {before}")
    inside = before if isinstance(module, nn.Sequential) else ""
    for child in module.children():
        after = _walk(child, inside, found)
        inside = "" if isinstance(module, (nn.ModuleList, nn.ModuleDict)) else after
    return inside if isinstance(module, nn.Sequential) else ""


class Observation:
    """What one forward pass over an example showed.

    Args:
        model: run once in eval mode without gradients; the modes of all its modules are put back.
        example: a tensor, a tuple of positional arguments, or a mapping of keyword arguments.
        modules: the modules to look at.

    Attributes:
        order: ids of the modules in the order of their first call.
        non_negative: the first input of each module that had no negative value, by id.
    """

    def __init__(self, model: nn.Module, example: Any, modules: Sequence[nn.Module]) -> None:
        self.order: list[int] = []
        self.non_negative: dict[int, Tensor] = {}
        self._negative: set[int] = set()
        hooks = [module.register_forward_pre_hook(self._look, with_kwargs=True) for module in modules]
        modes = [(module, module.training) for module in model.modules()]
        try:
            model.eval()
            with torch.no_grad():
                if isinstance(example, Mapping):
                    model(**example)
                else:
                    model(*(example if isinstance(example, tuple) else (example,)))
        finally:
            for hook in hooks:
                hook.remove()
            for module, mode in modes:
                module.training = mode

    def _look(self, module: nn.Module, arguments: tuple, keywords: dict) -> None:
        key = id(module)
        if key not in self.order:
            self.order.append(key)
        x = next((value for value in [*arguments, *keywords.values()] if isinstance(value, Tensor)), None)
        if x is None or not x.numel() or key in self._negative:
            return
        if not bool((x >= 0).all()):  # NaN may stand for anything
            self._negative.add(key)
            self.non_negative.pop(key, None)
        else:
            self.non_negative.setdefault(key, x)
