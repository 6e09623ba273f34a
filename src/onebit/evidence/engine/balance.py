"""Random networks whose signs are balanced, as those of trained networks are."""

from __future__ import annotations

import torch
from torch import nn

from onebit.nn.layers import Quantized

PASSES = 8


def balance(model: nn.Module, images: torch.Tensor, passes: int = PASSES) -> None:
    """Set the batch norms of ``model`` so that about half of what each binary layer reads is +1 on ``images``.

    The statistics are those of ``images``; then the bias of the norm that ran last before a binary layer is lowered by
    the median of each channel that the layer reads, ``passes`` times, because what follows changes with it. A float
    network gets the statistics alone. The model is left in evaluation mode.

    Args:
        model: with a ``BatchNorm2d`` before each of its binary layers.
        images: ``(N, C, H, W)``.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the statistics of all that came, which is one batch
    last: list[nn.BatchNorm2d] = []

    def ran(norm, inputs, result) -> None:
        last[:] = [norm]

    def read(layer, inputs):
        if not last or last[0].num_features != inputs[0].shape[1]:
            return None
        median = inputs[0].transpose(0, 1).flatten(1).median(1).values
        last[0].bias.sub_(median)
        return (inputs[0] - median[:, None, None],)

    with torch.no_grad():
        model.train()(images)
        model.eval()
        hooks = [norm.register_forward_hook(ran) for norm in norms]
        hooks += [layer.register_forward_pre_hook(read) for layer in binary_layers(model)]
        try:
            for _ in range(passes if binary_layers(model) else 0):
                model(images)
        finally:
            for hook in hooks:
                hook.remove()


def binary_layers(model: nn.Module) -> list[Quantized]:
    """The layers of ``model`` whose weights are bits."""
    found = [module for module in model.modules() if isinstance(module, Quantized)]
    return [layer for layer in found if layer.weight_quantizer is not None and layer.weight_quantizer.num_bits == 1]
