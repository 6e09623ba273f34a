"""The state of every random stream that training may draw from: PyTorch's own and the generators that modules hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def _generators(model: nn.Module) -> dict[str, torch.Generator]:
    found = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Generator):
                found[f"{path}.{name}"] = value
    return found


def state(model: nn.Module) -> dict[str, Tensor]:
    """The states of all streams: name -> uint8 ``(B,)``."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states | {name: generator.get_state() for name, generator in _generators(model).items()}


def restore(model: nn.Module, states: dict[str, Tensor]) -> None:
    """Put all streams into the states that :func:`state` gave."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
    for name, generator in _generators(model).items():
        if name in states:
            generator.set_state(states[name])


@contextlib.contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """What the block draws is not missed afterwards."""
    before = state(model)
    try:
        yield
    finally:
        restore(model, before)
