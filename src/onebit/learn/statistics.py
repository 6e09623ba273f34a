"""Statistics of batch norms, computed anew."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from onebit.learn.randomness import preserved

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def with_statistics(model: nn.Module) -> list[nn.Module]:
    """The modules of ``model`` that keep running statistics as PyTorch's batch norms do."""
    return [
        module
        for module in model.modules()
        if hasattr(module, "reset_running_stats") and getattr(module, "running_mean", None) is not None
    ]


def reestimate(model: nn.Module, batches: Iterable[Tensor], in_order: bool = False) -> None:
    """Set the running statistics of every batch norm to their plain average over ``batches``.

    Batch norms run in training mode with a cumulative average, everything else in evaluation mode: that is the network
    whose statistics are wanted, and nothing but the statistics changes. Random streams, modes and ``momentum`` are as
    before.

    In that pass a norm sees what the norms before it make of each batch by the batch's own statistics, not by those
    that it is given in the end. ``in_order`` takes the norms one after the other, those before already with what they
    were given, everything in evaluation mode: what a norm then has is the average over what it gets in evaluation.
    Where sums of bits lie close to a threshold, or a norm follows a maximum, that is points of accuracy. It takes a
    pass for each norm, as far as that norm.

    Args:
        model: any network; one without batch norms is left alone.
        batches: inputs ``(N, ...)`` each; at least one.
        in_order: one norm after the other.
    """
    norms = with_statistics(model)
    if not norms:
        return
    given = list(batches) if in_order else batches
    _estimate(model, norms, given)
    if in_order:
        calls = _calls(model, norms, given[0])  # type: ignore[index]
        for norm in dict.fromkeys(calls):
            _settle(model, norm, calls.count(norm), given)


def _calls(model: nn.Module, norms: list[nn.Module], inputs: Tensor) -> list[nn.Module]:
    """The norms in the order in which they are called."""
    found: list[nn.Module] = []
    hooks = [norm.register_forward_pre_hook(lambda norm, _: found.append(norm)) for norm in norms]
    _run(model, [inputs])
    for hook in hooks:
        hook.remove()
    return found


class _Enough(Exception):
    """The norm that was waited for has been called."""


def _settle(model: nn.Module, norm: nn.Module, calls: int, batches: Iterable[Tensor]) -> None:
    """Statistics of what one norm is given in evaluation, ``calls`` times by each batch."""
    made = copy.deepcopy(norm)
    made.reset_running_stats()  # type: ignore[operator]
    made.momentum = None  # type: ignore[assignment]
    made.train()
    left = calls

    def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal left
        made(*inputs)
        left -= 1
        if not left:
            left = calls
            raise _Enough

    hook = norm.register_forward_pre_hook(look)
    try:
        _run(model, batches)
    finally:
        hook.remove()
    for name in STATISTICS:
        getattr(norm, name).copy_(getattr(made, name))


def _run(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Call the network on every batch in evaluation mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), preserved(model):
            for inputs in batches:
                with contextlib.suppress(_Enough):
                    model(inputs)
    finally:
        for module, training in modes:
            module.training = training


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
