"""Quantizers by name: one registry for weights, one for activations."""

from __future__ import annotations

from collections.abc import Callable

from onebit.core.registry import Registry
from onebit.nn.quantizers.base import Quantizer

weight_registry: Registry[Callable[..., Quantizer]] = Registry("weight quantizer")
activation_registry: Registry[Callable[..., Quantizer]] = Registry("activation quantizer")


def build_weight(quantizer: str | Quantizer | Callable[[], Quantizer] | None) -> Quantizer | None:
    """The weight quantizer of that name, the quantizer itself, or what the factory returns; None stays None.

    Raises:
        KeyError: the name is unknown; the text suggests the nearest.
        TypeError: anything else.
    """
    return _build(quantizer, weight_registry, "weight_quantizer")


def build_activation(quantizer: str | Quantizer | Callable[[], Quantizer] | None) -> Quantizer | None:
    """As :func:`build_weight`, for activations."""
    return _build(quantizer, activation_registry, "input_quantizer")


def _build(quantizer, registry: Registry[Callable[..., Quantizer]], argument: str) -> Quantizer | None:
    if isinstance(quantizer, str):
        return registry[quantizer]()
    if quantizer is None or isinstance(quantizer, Quantizer):
        return quantizer
    built = quantizer() if callable(quantizer) else quantizer
    if not isinstance(built, Quantizer):
        raise TypeError(f"{argument} must be a name, a Quantizer, a factory of one or None, got {quantizer!r}")
    return built
