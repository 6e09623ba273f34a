"""Residual networks for CIFAR and for ImageNet."""

from __future__ import annotations

import torch
from torch import nn

from onebit.nn.models import parts
from onebit.nn.models.registry import registry

BLOCKS = ("bireal", "react")
PROJECTIONS = ("float", "int8")


@registry.register("resnet20")
class ResNet20(nn.Module):
    """ResNet-20 for CIFAR with a shortcut around every convolution.

    | layer | output at width 16, 32x32 images | numbers |
    | --- | --- | --- |
    | conv 3x3, BN, activation | 16, 32x32 | `stem` |
    | 6 times: conv 3x3, BN, plus shortcut, activation | 16, 32x32 | bits |
    | 6 times, the first with stride 2 | 32, 16x16 | bits |
    | 6 times, the first with stride 2 | 64, 8x8 | bits |
    | global average pooling | 64 | float |
    | linear with bias | `num_classes` | `head` |

    Shortcuts have no parameters: 2x2 average pooling and zero channels (option A of [He2016]). Published widths: 16,
        32, 64;
    the shortcut per convolution is that of [Liu2018], used on CIFAR by [Qin2020] and [Vargas2024].

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        width: channels of the first stage; the others have 2 and 4 times as many.
        activation: ``"hardtanh"`` (as published), ``"prelu"`` or ``"rprelu"``.
        scheme: how layers become bits; ``None`` is the float twin.
        stem, head: ``"float"`` or ``"int8"`` for first and last layer.

    Shape: ``(N, in_channels, H, W) -> (N, num_classes)``.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        width: int = 16,
        activation: str = "hardtanh",
        scheme=None,
        stem: str = "float",
        head: str = "float",
    ) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("in_channels", in_channels), ("width", width)):
            parts.check_size(name, value)
        self.stem = parts.stem_conv(in_channels, width, 3, 1, stem)
        self.bn = nn.BatchNorm2d(width)
        self.activation = parts.activation(activation, width)
        blocks, channels = [], width
        for stage in range(3):
            out = width * 2**stage
            for position in range(6):
                stride = 2 if stage and not position else 1
                conv = parts.conv3x3(channels, out, stride, scheme)
                blocks.append(parts.Residual(conv, parts.Shortcut(channels, out, stride, "pad"), activation))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = parts.head(channels, num_classes, head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.activation(self.bn(self.stem(x))))
        return self.head(x.mean((2, 3)))


class ResNet(nn.Module):
    """ResNet-18 or ResNet-34 for ImageNet with a shortcut around every convolution.

    | layer | output at width 64, 224x224 images | numbers |
    | --- | --- | --- |
    | conv 7x7, stride 2, BN, max pool 3x3, stride 2 | 64, 56x56 | `stem` |
    | stage 1: conv 3x3, BN, plus shortcut, activation | 64, 56x56 | bits |
    | stage 2, the first convolution with stride 2 | 128, 28x28 | bits |
    | stage 3, the first convolution with stride 2 | 256, 14x14 | bits |
    | stage 4, the first convolution with stride 2 | 512, 7x7 | bits |
    | global average pooling | 512 | float |
    | linear with bias | `num_classes` | `head` |

    The stages have 4, 4, 4, 4 convolutions (ResNet-18) or 6, 8, 12, 6 (ResNet-34). Where the map shrinks the shortcut
    is a 2x2 average pooling, a 1x1 convolution in the numbers of `projection` and BN. ``block="bireal"`` [Liu2018]
    has PReLU as its activation; ``block="react"`` [Liu2020] a learned shift before the sign and RPReLU. Published
    widths: 64, 128, 256, 512.

    Args:
        stages: blocks of two convolutions in each stage.
        num_classes: outputs.
        in_channels: channels of the images.
        width: channels of the first stage; the others have 2, 4 and 8 times as many.
        block: ``"bireal"`` or ``"react"``.
        small_images: a 3x3 stem with stride 1 and without pooling, for images of about 32x32.
        scheme: how layers become bits; ``None`` is the float twin.
        stem, head: ``"float"`` or ``"int8"`` for first and last layer.
        projection: ``"float"`` (as published) or ``"int8"`` for the 1x1 convolutions of the shortcuts.

    Shape: ``(N, in_channels, H, W) -> (N, num_classes)``.
    """

    def __init__(
        self,
        stages: tuple[int, int, int, int],
        num_classes: int = 1000,
        in_channels: int = 3,
        width: int = 64,
        block: str = "react",
        small_images: bool = False,
        scheme=None,
        stem: str = "float",
        head: str = "float",
        projection: str = "float",
    ) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("in_channels", in_channels), ("width", width)):
            parts.check_size(name, value)
        parts.check_choice("block", block, BLOCKS)
        parts.check_choice("projection", projection, PROJECTIONS)
        self.stem = parts.stem_conv(in_channels, width, 3 if small_images else 7, 1 if small_images else 2, stem)
        self.bn = nn.BatchNorm2d(width)
        self.pool = nn.Identity() if small_images else nn.MaxPool2d(3, 2, 1)
        blocks, channels = [], width
        for stage, count in enumerate(stages):
            out = width * 2**stage
            for position in range(2 * count):
                stride = 2 if stage and not position else 1
                conv = parts.conv3x3(channels, out, stride, scheme)
                shortcut = nn.Identity() if out == channels else _projection(channels, out, projection)
                react = block == "react"
                name = "rprelu" if react else "prelu"
                blocks.append(parts.Residual(conv, shortcut, name, shift=react and not parts.has_shift(conv)))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = parts.head(channels, num_classes, head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.pool(self.bn(self.stem(x))))
        return self.head(x.mean((2, 3)))


def _projection(in_channels: int, out_channels: int, numbers: str) -> nn.Module:
    pool = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, parts.stem_conv(in_channels, out_channels, 1, 1, numbers), nn.BatchNorm2d(out_channels))


@registry.register("resnet18")
def resnet18(
    num_classes: int = 1000,
    in_channels: int = 3,
    width: int = 64,
    block: str = "react",
    small_images: bool = False,
    scheme=None,
    stem: str = "float",
    head: str = "float",
    projection: str = "float",
) -> ResNet:
    """ResNet-18 with a shortcut around every convolution; see :class:`ResNet`."""
    return ResNet((2, 2, 2, 2), num_classes, in_channels, width, block, small_images, scheme, stem, head, projection)


@registry.register("resnet34")
def resnet34(
    num_classes: int = 1000,
    in_channels: int = 3,
    width: int = 64,
    block: str = "react",
    small_images: bool = False,
    scheme=None,
    stem: str = "float",
    head: str = "float",
    projection: str = "float",
) -> ResNet:
    """ResNet-34 with a shortcut around every convolution; see :class:`ResNet`."""
    return ResNet((3, 4, 6, 3), num_classes, in_channels, width, block, small_images, scheme, stem, head, projection)
