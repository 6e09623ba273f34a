"""A scheme: how the layers of a network become bits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from onebit.core.registry import Registry
from onebit.nn.quantizers import Quantizer, build_activation, build_weight, centred

QuantizerLike = str | Quantizer | Callable[[], Quantizer] | None


@dataclass(frozen=True)
class Scheme:
    """Which quantizers the layers of a network get, and which layers stay float.

    Args:
        weight: a name of ``weight_registry``, a quantizer (copied for each layer), a factory of one, or None.
        activation: the same for inputs, a name of ``activation_registry``.
        output: a factory of the module ``output(y, x) -> y`` of a layer, called with the layer, or None; what it makes
            may be None too.
        linear_weight, linear_activation: instead of the two for linear layers, attention and recurrent layers; None:
            the same ones.
        stages: how many stages of training the scheme is meant for (``Progress.stage`` is 1..stages).
        keep_downsample: whether 1x1 convolutions of shortcuts stay float.
        name: of the factory in ``registry`` that made it; empty for one made by hand.
        settings: the factory's arguments.

    Example:
        >>> scheme = Scheme(weight="binary", activation="react")
        >>> type(scheme.weight_quantizer()).__name__, type(scheme.input_quantizer()).__name__
        ('BinaryWeight', 'BinaryActivation')
    """

    weight: QuantizerLike
    activation: QuantizerLike
    output: Callable[[nn.Module], nn.Module | None] | None = None
    stages: int = 1
    keep_downsample: bool = True
    name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    linear_weight: QuantizerLike = None
    linear_activation: QuantizerLike = None

    def __post_init__(self) -> None:
        if not isinstance(self.stages, int) or self.stages < 1:
            raise ValueError(f"stages must be an integer of at least 1, got {self.stages!r}")
        # unknown names fail here, not in the middle of a model
        build_weight(self.weight)
        build_activation(self.activation)
        build_weight(self.linear_weight)
        build_activation(self.linear_activation)

    def weight_quantizer(self, linear: bool = False) -> Quantizer | None:
        """A weight quantizer for one convolution, or for one linear layer."""
        like = self.linear_weight if linear and self.linear_weight is not None else self.weight
        return build_weight(copy.deepcopy(like) if isinstance(like, Quantizer) else like)

    def input_quantizer(self, non_negative: bool = False, linear: bool = False) -> Quantizer | None:
        """The same for its input; with ``non_negative``, one for inputs that cannot be negative."""
        like = self.linear_activation if linear and self.linear_activation is not None else self.activation
        made = build_activation(copy.deepcopy(like) if isinstance(like, Quantizer) else like)
        return centred(made) if non_negative and made is not None else made

    def describe(self) -> dict[str, Any]:
        """``{"name", "settings"}``: what ``registry`` needs to make the scheme again.

        Raises:
            ValueError: the scheme was made by hand and has no name.
        """
        if not self.name:
            raise ValueError("only a scheme made by a registered factory can be stored; this one was made by hand")
        return {"name": self.name, "settings": dict(self.settings)}


registry: Registry[Callable[..., Scheme]] = Registry("scheme")


def build(scheme: str | Scheme | Callable[[], Scheme], **settings: Any) -> Scheme:
    """The scheme of that name with these settings; a scheme as it is; what a factory returns.

    Raises:
        KeyError: unknown name; the text lists the known ones.
    """
    if isinstance(scheme, str):
        return registry[scheme](**settings)
    made = scheme if isinstance(scheme, Scheme) else scheme(**settings) if callable(scheme) else scheme
    if not isinstance(made, Scheme):
        raise TypeError(f"scheme must be a name, a Scheme or a factory of one, got {scheme!r}")
    return made
