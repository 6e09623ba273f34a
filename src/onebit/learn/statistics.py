"""Statistics of batch norms, computed anew."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from onebit.core.errors import check_range
from onebit.learn.randomness import preserved

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def with_statistics(model: nn.Module) -> list[nn.Module]:
    """The modules of ``model`` that keep running statistics as PyTorch's batch norms do."""
    return [
        module
        for module in model.modules()
        if hasattr(module, "reset_running_stats") and getattr(module, "running_mean", None) is not None
    ]


def reestimate(model: nn.Module, batches: Iterable[Tensor], passes: int = 1) -> None:
    """Set the running statistics of every batch norm to their plain average over ``batches``.

    Batch norms run in training mode with a cumulative average, everything else in evaluation mode: that is the network
    whose statistics are wanted, and nothing but the statistics changes. Random streams, modes and ``momentum`` are as
    before.

    In that pass a norm sees what the norms before it make of each batch by the batch's own statistics, not by those
    that it is given in the end. In a further pass all norms are as in evaluation and their inputs are averaged once
    more. The n-th pass makes the n-th norm in a row exact: as many passes as there are norms change nothing any more,
    few are near it. Where sums of bits lie close to the next threshold, that can be points of accuracy.

    Args:
        model: any network; one without batch norms is left alone.
        batches: inputs ``(N, ...)`` each; at least one.
        passes: over the batches, 1 or more.
    """
    check_range("passes", passes, 1)
    norms = with_statistics(model)
    if not norms:
        return
    given = list(batches) if passes > 1 else batches
    _estimate(model, norms, given)
    for _ in range(passes - 1):
        _settle(model, norms, given)


def _settle(model: nn.Module, norms: list[nn.Module], batches: Iterable[Tensor]) -> None:
    """Statistics of what the norms are given when all of them work as in evaluation."""
    copies = [copy.deepcopy(norm) for norm in norms]
    for made in copies:
        made.reset_running_stats()  # type: ignore[operator]
        made.momentum = None  # type: ignore[assignment]
        made.train()
    hooks = [norm.register_forward_pre_hook(_look(made)) for norm, made in zip(norms, copies)]
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), preserved(model):
            for inputs in batches:
                model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    for norm, made in zip(norms, copies):
        for name in STATISTICS:
            getattr(norm, name).copy_(getattr(made, name))


def _look(made: nn.Module) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        made(*inputs)

    return look


def _estimate(model: nn.Module, norms: list[nn.Module], batches: Iterable[Tensor]) -> None:
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
