"""What a trainer tells the whole model: where training stands; and what it asks: the sum of the regularisers."""

from __future__ import annotations

import torch
from torch import Tensor

from onebit.core.progress import Progress

__all__ = ["Progress", "broadcast", "penalty"]


def broadcast(model: torch.nn.Module, progress: Progress) -> None:
    """Call ``on_progress(progress)`` of every submodule that has it, the model included, parents first.

    A module that is shared is told once.
    """
    for module in model.modules():
        hook = getattr(module, "on_progress", None)
        if callable(hook):
            hook(progress)


def penalty(model: torch.nn.Module) -> Tensor:
    """The sum of ``penalty()`` over all modules of ``model`` that have it: a 0-d tensor, 0 when there is none.

    A layer answers for its weight quantizer, which needs the layer's weight: quantizers themselves are not asked. A
    shared module counts once.
    """
    from onebit.nn.quantizers.base import Quantizer

    terms = [
        module.penalty()  # type: ignore[operator]
        for module in model.modules()
        if not isinstance(module, Quantizer) and callable(getattr(module, "penalty", None))
    ]
    return sum(terms, torch.zeros(()))
