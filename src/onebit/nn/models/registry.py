"""The models by name, and ``build``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from onebit.core.registry import Registry, unknown
from onebit.nn import schemes

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
    model = factory(**sizes)
    model.onebit_built = _written(name, sizes)  # type: ignore[assignment]
    return model


def description(model: nn.Module) -> dict[str, Any] | None:
    """How :func:`build` built ``model``, as plain data for :func:`rebuild`: ``{"name", "sizes", "scheme"}``.

    None for a model that was not built by it, or by a scheme that was made by hand.
    """
    return getattr(model, "onebit_built", None)


def rebuild(described: dict[str, Any]) -> nn.Module:
    """A model like the one that :func:`description` was asked about, with weights of its own.

    Raises:
        KeyError, TypeError, ValueError: as :func:`build`.
    """
    scheme = described["scheme"]
    made = {} if scheme is None else {"scheme": schemes.build(scheme["name"], **scheme["settings"])}
    return build(described["name"], **described["sizes"], **made)


def _written(name: str, sizes: dict[str, Any]) -> dict[str, Any] | None:
    plain = {size: value for size, value in sizes.items() if size != "scheme"}
    scheme = None if sizes.get("scheme") is None else schemes.build(sizes["scheme"])
    if scheme is not None and not scheme.name:
        return None
    return {"name": name, "sizes": plain, "scheme": None if scheme is None else scheme.describe()}
