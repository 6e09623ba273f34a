"""A model by name, sizes and scheme: what can be written down and built again."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onebit.core.registry import unknown
from onebit.core.seeds import derive
from onebit.data import Dataset

if TYPE_CHECKING:
    from onebit.nn.schemes import Scheme


#: a model for each kind of examples
SUITABLE = {"images": "convnet", "points": "pointnet", "tokens": "transformer", "features": "mlp"}


@dataclass(frozen=True)
class ModelSpec:
    """A model of ``onebit.nn.models`` by name.

    Args:
        name: in ``onebit.nn.models.registry``.
        sizes: keyword arguments of the model, plain values only.
        scheme: name of a scheme in ``onebit.nn.schemes.registry``; ``None``: the float twin.
        scheme_settings: keyword arguments of the scheme, plain values only: ``{"stages": 2}``.

    Example:
        >>> ModelSpec("mlp", {"in_features": 4, "width": 8, "num_classes": 3}).build()(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    name: str
    sizes: dict[str, Any] = field(default_factory=dict)
    scheme: str | None = None
    scheme_settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for said, values in (("size", self.sizes), ("scheme setting", self.scheme_settings)):
            for key, value in values.items():
                if not isinstance(value, (int, float, str, bool, list, tuple, type(None))):
                    raise ValueError(f"{said} {key} of model {self.name!r} must be a plain value, got {value!r}")
        if self.scheme_settings and self.scheme is None:
            raise ValueError(f"scheme_settings of model {self.name!r} need a scheme")
        if "scheme" in self.sizes:
            raise ValueError(f"scheme of model {self.name!r} must be given as scheme, not among the sizes")

    def build(self, seed: int | None = None) -> nn.Module:
        """The network, its weights drawn from ``seed`` (``None``: from PyTorch's own stream)."""
        from onebit.nn import models

        scheme = self.built_scheme()
        if seed is None:
            return models.build(self.name, **self.sizes, scheme=scheme)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "weights"))
            return models.build(self.name, **self.sizes, scheme=scheme)

    def built_scheme(self) -> Scheme | None:
        """The scheme with its settings; ``None`` for the float twin."""
        from onebit.nn import schemes

        try:
            return None if self.scheme is None else schemes.build(self.scheme, **self.scheme_settings)
        except TypeError as error:
            raise ValueError(f"scheme_settings of scheme {self.scheme!r}: {error}") from None

    def check(self) -> None:
        """``ValueError`` or ``KeyError`` where model, scheme or one of the sizes is unknown; nothing is built."""
        from onebit.nn import models

        known = [size for size in inspect.signature(models.registry[self.name]).parameters if size != "scheme"]
        for size in self.sizes:
            if size not in known:
                raise ValueError(unknown(f"size of model {self.name!r}:", size, known))
        self.built_scheme()

    def fitted(self, data: Dataset) -> ModelSpec:
        """The same with the sizes that follow from ``data``, where the model has them and they were not given.

        Raises:
            ValueError: the model takes images, points or tokens and the examples are something else, or the examples
                are tokens and the model is none of tokens.
        """
        from onebit.nn import models

        known = inspect.signature(models.registry[self.name]).parameters
        shape = data.input_shape
        self._check_takes(known, data)
        follow: dict[str, Any] = {"num_classes": data.num_classes, "in_features": torch.Size(shape).numel()}
        if data.num_tokens:
            follow |= {"num_tokens": data.num_tokens, "length": shape[0]}
        if len(shape) == 2:
            follow["point_features"] = shape[0]
        if len(shape) == 3:
            follow |= {"in_channels": shape[0], "image_size": shape[1], "frame_features": shape[0] * shape[2]}
        sizes = {name: value for name, value in follow.items() if name in known} | self.sizes
        return dataclasses.replace(self, sizes=sizes)

    def _check_takes(self, known: Mapping[str, inspect.Parameter], data: Dataset) -> None:
        """``ValueError`` where the model, whose arguments are ``known``, takes other examples than those of ``data``.

        What a model takes is said by the sizes that it has: channels of images, features of a point, a vocabulary.
        """
        shape, said = data.input_shape, f"data set {data.name!r}"
        kind = "tokens" if data.num_tokens else {3: "images", 2: "points"}.get(len(shape), "features")
        advice = f"choose a model for them, such as {SUITABLE[kind]!r} for {kind}"
        if "in_channels" in known and len(shape) != 3:
            raise ValueError(
                f"model {self.name!r} takes examples (C, H, W), and those of {said} have shape {shape}: {advice}"
            )
        if "point_features" in known and kind != "points":
            raise ValueError(
                f"model {self.name!r} takes clouds of points (F, P), and the examples of {said} have shape {shape}: "
                f"{advice}"
            )
        framed = kind in ("images", "tokens") or self.sizes.get("frame_features") == shape[-1]
        if "frame_features" in known and not framed:
            raise ValueError(
                f"model {self.name!r} takes frames, as of images (C, T, F), and the examples of {said} have shape "
                f"{shape}: {advice}"
            )
        if kind == "tokens" and "num_tokens" not in known:
            raise ValueError(
                f"model {self.name!r} takes numbers, and the examples of {said} are tokens of a vocabulary: {advice}"
            )
        if kind != "tokens" and "num_tokens" in known and known["num_tokens"].default is not None:
            raise ValueError(
                f"model {self.name!r} takes tokens of a vocabulary, and the examples of {said} are numbers: {advice}"
            )

    def to_dict(self) -> dict[str, Any]:
        """As YAML and JSON have it."""
        content: dict[str, Any] = {"name": self.name}
        if self.sizes:
            content["sizes"] = dict(self.sizes)
        if self.scheme is not None:
            content["scheme"] = self.scheme
        if self.scheme_settings:
            content["scheme_settings"] = dict(self.scheme_settings)
        return content
