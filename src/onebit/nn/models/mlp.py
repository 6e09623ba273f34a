"""The multilayer perceptron."""

from __future__ import annotations

import torch
from torch import nn

from onebit.nn.models import parts
from onebit.nn.models.registry import registry


@registry.register("mlp")
class MLP(nn.Sequential):
    """A multilayer perceptron of bits between a first layer and a head of float or 8-bit numbers.

    | layer | output | numbers |
    | --- | --- | --- |
    | flatten | `in_features` | |
    | linear, BN, hardtanh | `width` | `stem` |
    | `depth` times: linear, BN, hardtanh | `width` | bits |
    | linear with bias | `num_classes` | `head` |

    [Hubara2016] has three hidden layers of 4096 on MNIST (``width=4096, depth=2``).

    Args:
        num_classes: outputs.
        in_features: numbers in one example; images are flattened.
        width: neurons of each hidden layer.
        depth: hidden layers of bits, after the first one.
        scheme: how layers become bits; ``None`` is the float twin.
        stem, head: ``"float"`` or ``"int8"`` for first and last layer.

    Shape: ``(N, ...) -> (N, num_classes)``.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_features: int = 784,
        width: int = 512,
        depth: int = 2,
        scheme=None,
        stem: str = "float",
        head: str = "float",
    ) -> None:
        for name, value in (("num_classes", num_classes), ("in_features", in_features), ("width", width)):
            parts.check_size(name, value)
        parts.check_size("depth", depth, 0)
        layers: list[nn.Module] = [nn.Flatten(), parts.stem_linear(in_features, width, stem)]
        layers += [nn.BatchNorm1d(width), nn.Hardtanh()]
        for _ in range(depth):
            layers += [parts.linear(width, width, scheme), nn.BatchNorm1d(width), nn.Hardtanh()]
        super().__init__(*layers, parts.head(width, num_classes, head))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)
