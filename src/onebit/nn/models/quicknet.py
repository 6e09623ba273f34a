"""QuickNet, a residual network of bits designed for the latency of an engine."""

from __future__ import annotations

import torch
from torch import nn

from onebit.nn.models import parts
from onebit.nn.models.registry import registry

COUNTS = (4, 4, 4, 4)
WIDTHS = (1, 2, 4, 8)


@registry.register("quicknet")
class QuickNet(nn.Module):
    """QuickNet: a cheap stem, sections of binary convolutions, cheap transitions between them [Bannink2021].

    | layer | output at width 64, 224x224 images | numbers |
    | --- | --- | --- |
    | conv 3x3, stride 2, BN, ReLU | 16, 112x112 | `stem` |
    | depthwise conv 3x3, stride 2, BN, conv 1x1, BN | 64, 56x56 | float |
    | section 1: 4 times conv 3x3, ReLU, BN, plus shortcut | 64, 56x56 | bits |
    | transition to sections 2, 3, 4: ReLU, max pool 3x3, blur, conv 1x1, BN | 128, 256, 512 channels | float |
    | sections 2, 3, 4: as the first | 128, 28x28; 256, 14x14; 512, 7x7 | bits |
    | ReLU, global average pooling | 512 | float |
    | linear with bias | `num_classes` | `head` |

    The blur is a depthwise 3x3 convolution with stride 2 that starts as the binomial filter (1, 2, 1) x (1, 2, 1) / 16;
    the max pooling before it keeps the size. Convolutions of bits are padded with zeros, where the published network
    pads with +1.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        width: channels of the first section, a multiple of 4; the others have 2, 4 and 8 times as many.
        scheme: how layers become bits; ``None`` is the float twin.
        stem, head: ``"float"`` or ``"int8"`` for first and last layer.

    Shape: ``(N, in_channels, H, W) -> (N, num_classes)``.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: int = 64,
        scheme=None,
        stem: str = "float",
        head: str = "float",
    ) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("in_channels", in_channels), ("width", width)):
            parts.check_size(name, value)
        if width % 4:
            raise ValueError(f"width must be a multiple of 4, got {width}")
        narrow = width // 4
        self.stem = nn.Sequential(
            parts.stem_conv(in_channels, narrow, 3, 2, stem),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            nn.Conv2d(narrow, narrow, 3, 2, 1, groups=narrow, bias=False),
            nn.BatchNorm2d(narrow),
            nn.Conv2d(narrow, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        sections: list[nn.Module] = []
        channels = width
        for count, factor in zip(COUNTS, WIDTHS):
            if factor * width != channels:
                sections.append(_transition(channels, factor * width))
            channels = factor * width
            sections += [Block(parts.conv3x3(channels, channels, 1, scheme)) for _ in range(count)]
        self.sections = nn.Sequential(*sections)
        self.activation = nn.ReLU()
        self.head = parts.head(channels, num_classes, head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.sections(self.stem(x)))
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    """One convolution with a shortcut: ``y = x + bn(relu(conv(x)))``."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.activation = nn.ReLU()
        self.bn = nn.BatchNorm2d(conv.out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bn(self.activation(self.conv(x)))


def _transition(in_channels: int, out_channels: int) -> nn.Module:
    blur = nn.Conv2d(in_channels, in_channels, 3, 2, 1, groups=in_channels, bias=False)
    row = torch.tensor([1.0, 2.0, 1.0])
    with torch.no_grad():
        blur.weight.copy_(torch.outer(row, row) / 16)
    return nn.Sequential(
        nn.ReLU(),
        nn.MaxPool2d(3, 1, 1),
        blur,
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
    )
