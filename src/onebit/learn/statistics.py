"""Statistics of batch norms, computed anew."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from onebit.learn.randomness import preserved


def with_statistics(model: nn.Module) -> list[nn.Module]:
    """The modules of ``model`` that keep running statistics as PyTorch's batch norms do."""
    return [
        module
        for module in model.modules()
        if hasattr(module, "reset_running_stats") and getattr(module, "running_mean", None) is not None
    ]


def reestimate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the running statistics of every batch norm to their plain average over ``batches``.

    Batch norms run in training mode with a cumulative average, everything else in evaluation mode: that is the network
    whose statistics are wanted, and nothing but the statistics changes. Random streams, modes and ``momentum`` are as
    before.

    Args:
        model: any network; one without batch norms is left alone.
        batches: inputs ``(N, ...)`` each; at least one.
    """
    norms = with_statistics(model)
    if not norms:
        return
    modes = [(module, module.training) for module in model.modules()]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()  # type: ignore[operator]
        norm.momentum = None  # type: ignore[assignment]
        norm.training = True
    try:
        with torch.no_grad(), preserved(model):
            for inputs in batches:
                model(inputs)
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
        for module, training in modes:
            module.training = training
