"""Latent weights: the float weights behind the bits of quantized layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _quantized(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(getattr(module, "weight_quantizer", None), nn.Module)
        and isinstance(getattr(module, "weight", None), Tensor)
    ]


def latent_weights(model: nn.Module) -> list[nn.Parameter]:
    """The latent weights of the layers with a weight quantizer, each once."""
    found: dict[int, nn.Parameter] = {}
    for _, module in _quantized(model):
        weight = module._parameters.get("weight")
        if weight is None and hasattr(module, "parametrizations"):
            # A parametrized weight (weight standardisation) is a function of the parameter called "original".
            weight = getattr(getattr(module.parametrizations, "weight", None), "original", None)
        if isinstance(weight, nn.Parameter):
            found[id(weight)] = weight
    return list(found.values())


def clamp_(weights: list[nn.Parameter], limit: float) -> None:
    """Clamp ``weights`` to ``[-limit, limit]`` in place."""
    with torch.no_grad():
        for weight in weights:
            weight.clamp_(-limit, limit)


def binary_signs(model: nn.Module) -> dict[str, Tensor]:
    """Which binary weights are +1: path of the layer -> bool tensor of its weight's shape, on the CPU.

    Layers whose weights are no bits (of more levels, or real in a first stage) are left out.
    """
    signs = {}
    with torch.no_grad():
        for path, module in _quantized(model):
            latent = getattr(module, "latent_weight", None)
            weight = latent() if callable(latent) else module.weight
            codes = module.weight_quantizer.encode(weight).codes  # type: ignore[union-attr,operator]
            if bool((codes.abs() == 1).all()):
                signs[path] = (codes > 0).cpu()
    return signs


def flip_rate(before: dict[str, Tensor], after: dict[str, Tensor]) -> float | None:
    """Share of the binary weights in both that are another bit; ``None`` where there are none."""
    shared = [path for path in before if path in after]
    count = sum(before[path].numel() for path in shared)
    flips = sum(int((before[path] != after[path]).sum()) for path in shared)
    return flips / count if count else None
