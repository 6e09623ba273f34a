"""VGG-small, the plain network of the CIFAR tables of the literature."""

from __future__ import annotations

import torch
from torch import nn

from onebit.nn.models import parts
from onebit.nn.models.registry import registry


@registry.register("vgg-small")
class VGGSmall(nn.Module):
    """VGG-small: six convolutions without shortcuts [Zhang2018].

    | layer | output at width 128, 32x32 images | numbers |
    | --- | --- | --- |
    | conv 3x3, BN, hardtanh | 128, 32x32 | `stem` |
    | conv 3x3, max pool 2, BN, hardtanh | 128, 16x16 | bits |
    | conv 3x3, BN, hardtanh | 256, 16x16 | bits |
    | conv 3x3, max pool 2, BN, hardtanh | 256, 8x8 | bits |
    | conv 3x3, BN, hardtanh | 512, 8x8 | bits |
    | conv 3x3, max pool 2, BN, hardtanh | 512, 4x4 | bits |
    | linear with bias | `num_classes` | `head` |

    Published widths: 128, 128, 256, 256, 512, 512.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        width: channels of the first two convolutions; the others have 2 and 4 times as many.
        image_size: height and width of the images, 8 or more; each pooling leaves out a last odd row and column.
        scheme: how layers become bits; ``None`` is the float twin.
        stem, head: ``"float"`` or ``"int8"`` for first and last layer.

    Shape: ``(N, in_channels, image_size, image_size) -> (N, num_classes)``.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        width: int = 128,
        image_size: int = 32,
        scheme=None,
        stem: str = "float",
        head: str = "float",
    ) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("in_channels", in_channels), ("width", width)):
            parts.check_size(name, value)
        parts.check_size("image_size", image_size, 8)
        layers: list[nn.Module] = [
            parts.stem_conv(in_channels, width, 3, 1, stem),
            nn.BatchNorm2d(width),
            nn.Hardtanh(),
        ]
        channels = width
        for position, factor in enumerate((1, 2, 2, 4, 4)):
            out = factor * width
            layers.append(parts.conv3x3(channels, out, 1, scheme))
            if position % 2 == 0:
                layers.append(nn.MaxPool2d(2))
            layers += [nn.BatchNorm2d(out), nn.Hardtanh()]
            channels = out
        self.features = nn.Sequential(*layers)
        self.head = parts.head(channels * (image_size // 8) ** 2, num_classes, head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).flatten(1))
