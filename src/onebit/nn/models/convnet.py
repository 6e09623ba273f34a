"""A small residual network for small images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from onebit.nn.models import parts
from onebit.nn.models.registry import registry


@registry.register("convnet")
class ConvNet(nn.Module):
    """A small residual network of bits for images such as 28x28 or 8x8 digits.

    | layer | output | numbers |
    | --- | --- | --- |
    | conv 3x3, stride `stem_stride`, BN, activation | `(width, H/s, W/s)` | `stem` |
    | `depth` times: conv 3x3, BN, plus shortcut, activation | halved and widened at `downsample` | bits |
    | global average pooling | `width * widen**len(downsample)` | float |
    | linear with bias | `num_classes` | `head` |

    Each convolution has its own shortcut [Liu2018]: 2x2 average pooling where it strides, its channels again where
    they grow. Global pooling keeps the head small, so that the bits and not the head decide the size of the file.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        width: channels of the stem.
        depth: convolutions of bits.
        downsample: which of them (0-based) have stride 2; without it the middle one, ``depth // 2``.
        widen: factor of the channels at these, 1 or more.
        stem_stride: 1 or 2; 2 for images of 28x28 and larger, 1 for smaller ones.
        activation: ``"prelu"``, ``"hardtanh"`` or ``"rprelu"``.
        scheme: how layers become bits; ``None`` is the float twin.
        stem, head: ``"float"`` or ``"int8"`` for first and last layer.

    Shape: ``(N, in_channels, H, W) -> (N, num_classes)``.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        width: int = 64,
        depth: int = 5,
        downsample: Sequence[int] | None = None,
        widen: int = 1,
        stem_stride: int = 2,
        activation: str = "prelu",
        scheme=None,
        stem: str = "float",
        head: str = "float",
    ) -> None:
        super().__init__()
        sizes = (("num_classes", num_classes), ("in_channels", in_channels), ("width", width), ("depth", depth))
        for name, value in (*sizes, ("widen", widen), ("stem_stride", stem_stride)):
            parts.check_size(name, value)
        positions = (depth // 2,) if downsample is None else tuple(downsample)
        if sorted(set(positions)) != list(positions) or any(p not in range(depth) for p in positions):
            raise ValueError(f"downsample must be ascending positions in 0..{depth - 1}, got {downsample!r}")
        self.stem = parts.stem_conv(in_channels, width, 3, stem_stride, stem)
        self.bn = nn.BatchNorm2d(width)
        self.activation = parts.activation(activation, width)
        blocks, channels = [], width
        for position in range(depth):
            stride, out = (2, channels * widen) if position in positions else (1, channels)
            conv = parts.conv3x3(channels, out, stride, scheme)
            blocks.append(parts.Residual(conv, parts.Shortcut(channels, out, stride, "concat"), activation))
            channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = parts.head(channels, num_classes, head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.activation(self.bn(self.stem(x))))
        return self.head(x.mean((2, 3)))
