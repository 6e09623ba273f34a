"""The models by name, and ``build``."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch import nn

from onebit.core.registry import Registry, unknown

registry: Registry[Callable[..., nn.Module]] = Registry("model")


def build(name: str, **sizes) -> nn.Module:
    """The model called ``name``.

    Args:
        name: a name of ``onebit.nn.models.registry``: ``"mlp"``, ``"convnet"``, ``"vgg-small"``, ``"resnet20"``, ...
        **sizes: the arguments of that model; all have defaults. ``scheme`` is ``None`` for the float network, or the
            name of a scheme or a ``Scheme`` for the network of bits of the same architecture.

    Raises:
        KeyError: unknown name.
        TypeError: an argument that the model does not have.
        ValueError: a size out of its range.

    Example:
        >>> model = build("mlp", in_features=64, width=32, num_classes=10)
        >>> sum(p.numel() for p in model.parameters() if p.ndim > 1)
        4416
    """
    factory = registry[name]
    allowed = inspect.signature(factory).parameters
    for size in sizes:
        if size not in allowed:
            raise TypeError(unknown(f"argument of model {name!r}:", size, allowed))
    return factory(**sizes)
