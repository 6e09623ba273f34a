"""DFSMN: speech, by feed-forward layers with a memory of the frames before and after."""

from __future__ import annotations

import torch
from torch import nn

from onebit.nn.models import parts
from onebit.nn.models.registry import registry


class MemoryBlock(nn.Module):
    """``p = BN(project(PReLU(BN(expand(m)))))``, then ``m + p + BN(filter(p))``.

    The filter is a convolution over time of each channel by itself, which sees ``back`` frames before its own and
    ``ahead`` after it. All three layers take the scheme.

    Shape: ``(N, memory, T)`` to the same.
    """

    def __init__(self, memory: int, hidden: int, back: int, ahead: int, scheme) -> None:
        super().__init__()
        self.expand = parts.conv1d(memory, hidden, 1, scheme)
        self.expand_bn, self.activation = nn.BatchNorm1d(hidden), nn.PReLU(hidden)
        self.project = parts.conv1d(hidden, memory, 1, scheme)
        self.project_bn = nn.BatchNorm1d(memory)
        # both sides are padded alike, for the codes of a layer of bits are what is padded, and the rest is cut off
        wide = max(back, ahead)
        self.filter = parts.conv1d(memory, memory, back + ahead + 1, scheme, padding=wide, groups=memory)
        self.filter_bn = nn.BatchNorm1d(memory)
        self.first = wide - back

    def forward(self, m: torch.Tensor) -> torch.Tensor:
        p = self.project_bn(self.project(self.activation(self.expand_bn(self.expand(m)))))
        seen = self.filter(p)[:, :, self.first : self.first + p.shape[2]]
        return m + p + self.filter_bn(seen)


@registry.register("dfsmn")
class DFSMN(nn.Module):
    """A deep feed-forward sequential memory network that classifies speech [Zhang2018b].

    | layer | output | numbers |
    | --- | --- | --- |
    | linear of each frame, BN, PReLU | `(T, memory)` | `stem` |
    | `depth` times: linear of each frame, BN, PReLU | `(T, hidden)` | bits |
    | linear of each frame, BN: the projection p | `(T, memory)` | bits |
    | depth-wise conv over `back + 1 + ahead` frames, BN, plus p, plus the memory before | `(T, memory)` | bits |
    | linear of each frame, BN, PReLU | `(T, hidden)` | bits |
    | mean over the frames | `hidden` | float |
    | linear with bias | `num_classes` | `head` |

    The shortcut from memory to memory is a float stream, to which each block adds. Linear layers of frames are
    convolutions of kernel 1. BiBench [Qin2023] has ``depth=8, hidden=256, memory=128``.

    Args:
        num_classes: outputs.
        frame_features: numbers in one frame.
        hidden: neurons of the wide layers.
        memory: numbers of a frame's memory.
        depth: blocks.
        back, ahead: frames that the memory sees before and after its own, 0 or more.
        scheme: how layers become bits; ``None`` is the float twin.
        stem, head: ``"float"`` or ``"int8"`` for first and last layer.

    Shape: frames ``(N, T, frame_features)`` or spectrograms ``(N, C, T, bands)``, frames of ``C * bands`` numbers, to
    ``(N, num_classes)``. A packed network takes as many frames as it was packed with.

    Example:
        >>> DFSMN(frame_features=6, hidden=16, memory=8, scheme="bnn")(torch.randn(2, 1, 9, 6)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int = 10,
        frame_features: int = 32,
        hidden: int = 128,
        memory: int = 64,
        depth: int = 3,
        back: int = 2,
        ahead: int = 2,
        scheme=None,
        stem: str = "float",
        head: str = "float",
    ) -> None:
        super().__init__()
        sizes = (("num_classes", num_classes), ("frame_features", frame_features), ("hidden", hidden))
        for name, value in (*sizes, ("memory", memory), ("depth", depth)):
            parts.check_size(name, value)
        for name, value in (("back", back), ("ahead", ahead)):
            parts.check_size(name, value, 0)
        self.frame_features = frame_features
        self.stem = parts.stem_linear(frame_features, memory, stem)
        self.stem_bn, self.stem_activation = nn.BatchNorm1d(memory), nn.PReLU(memory)
        self.blocks = nn.Sequential(*(MemoryBlock(memory, hidden, back, ahead, scheme) for _ in range(depth)))
        self.last = parts.conv1d(memory, hidden, 1, scheme)
        self.last_bn, self.last_activation = nn.BatchNorm1d(hidden), nn.PReLU(hidden)
        self.head = parts.head(hidden, num_classes, head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        m = self.stem(parts.frames(x, self.frame_features)).transpose(1, 2)
        m = self.blocks(self.stem_activation(self.stem_bn(m)))
        return self.head(self.last_activation(self.last_bn(self.last(m))).mean(2))
