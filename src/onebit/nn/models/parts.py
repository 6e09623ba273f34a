"""The parts that the models share: binary layers, stems and heads, activations, shortcuts without parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from onebit.nn import layers, schemes
from onebit.nn.layers import RPReLU, Shift

STEMS = HEADS = ("float", "int8")
ACTIVATIONS = ("prelu", "hardtanh", "rprelu")


def check_size(name: str, value: int, low: int = 1) -> int:
    """``value`` if it is an integer of at least ``low``, else ``ValueError``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name} must be an integer of at least {low}, got {value!r}")
    return value


def check_choice(name: str, value: str, allowed: Sequence[str]) -> str:
    """``value`` if it is one of ``allowed``, else ``ValueError``."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def activation(name: str, channels: int) -> nn.Module:
    """The activation called ``name`` (``prelu``, ``hardtanh`` or ``rprelu``) for ``channels`` channels."""
    check_choice("activation", name, ACTIVATIONS)
    if name == "hardtanh":
        return nn.Hardtanh()
    return nn.PReLU(channels) if name == "prelu" else RPReLU(channels)


def conv3x3(in_channels: int, out_channels: int, stride: int, scheme: schemes.Scheme | str | None) -> nn.Conv2d:
    """A 3x3 convolution with padding 1 and without bias, of bits by ``scheme`` or in float without one."""
    if scheme is None:
        return nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
    made = schemes.build(scheme)
    weight, activations = made.weight_quantizer(), made.input_quantizer()
    conv = layers.Conv2d(
        in_channels, out_channels, 3, stride, 1, bias=False, weight_quantizer=weight, input_quantizer=activations
    )
    conv.output = None if made.output is None else made.output(conv)
    return conv


def conv1d(
    in_channels: int,
    out_channels: int,
    kernel: int,
    scheme: schemes.Scheme | str | None,
    padding: int = 0,
    groups: int = 1,
) -> nn.Conv1d:
    """A convolution over time without bias, of bits by ``scheme`` or in float without one."""
    sizes = (in_channels, out_channels, kernel, 1, padding, 1, groups)
    if scheme is None:
        return nn.Conv1d(*sizes, bias=False)
    made = schemes.build(scheme)
    weight, activations = made.weight_quantizer(), made.input_quantizer()
    conv = layers.Conv1d(*sizes, bias=False, weight_quantizer=weight, input_quantizer=activations)
    conv.output = None if made.output is None else made.output(conv)
    return conv


def linear(in_features: int, out_features: int, scheme: schemes.Scheme | str | None) -> nn.Linear:
    """A linear layer without bias, of bits by ``scheme`` or in float without one."""
    if scheme is None:
        return nn.Linear(in_features, out_features, bias=False)
    made = schemes.build(scheme)
    weight, activations = made.weight_quantizer(linear=True), made.input_quantizer(linear=True)
    layer = layers.Linear(in_features, out_features, bias=False, weight_quantizer=weight, input_quantizer=activations)
    layer.output = None if made.output is None else made.output(layer)
    return layer


def has_shift(conv: nn.Conv2d) -> bool:
    """Whether the convolution shifts its input before the sign itself."""
    return getattr(getattr(conv, "input_quantizer", None), "shift", None) is not None


def stem_conv(in_channels: int, out_channels: int, kernel: int, stride: int, stem: str) -> nn.Conv2d:
    """The first convolution, without bias; padding keeps ``ceil(size / stride)``."""
    check_choice("stem", stem, STEMS)
    if stem == "int8":
        return layers.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            kernel // 2,
            bias=False,
            weight_quantizer="int8",
            input_quantizer="int8",
        )
    return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)


def stem_linear(in_features: int, out_features: int, stem: str) -> nn.Linear:
    """The first linear layer, without bias."""
    check_choice("stem", stem, STEMS)
    if stem == "int8":
        return layers.Linear(in_features, out_features, bias=False, weight_quantizer="int8", input_quantizer="int8")
    return nn.Linear(in_features, out_features, bias=False)


def head(in_features: int, num_classes: int, name: str) -> nn.Linear:
    """The last linear layer, with bias."""
    check_choice("head", name, HEADS)
    if name == "int8":
        return layers.Linear(in_features, num_classes, weight_quantizer="int8", input_quantizer="int8")
    return nn.Linear(in_features, num_classes)


def frames(x: torch.Tensor, frame_features: int) -> torch.Tensor:
    """Frames ``(N, T, frame_features)`` as they are, images ``(N, C, T, bands)`` as frames of C * bands numbers."""
    x = x.transpose(1, 2).flatten(2) if x.dim() == 4 else x
    if x.dim() != 3 or x.shape[-1] != frame_features:
        raise ValueError(f"x must be frames (N, T, {frame_features}) or images, got {tuple(x.shape)}")
    return x


class LastNorm(nn.BatchNorm1d):
    """Batch norm of the last dimension: ``(N, L, C)`` to the same, where ``nn.BatchNorm1d`` wants ``(N, C, L)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class Shortcut(nn.Module):
    """A shortcut without parameters: average pooling where the map shrinks, more channels where they grow.

    Args:
        in_channels, out_channels: the second is at least the first.
        stride: 1 or 2; with 2, windows of 2x2, those at an odd edge averaging what is there, so that the size is that
            of a 3x3 convolution with stride 2 and padding 1.
        mode: ``"pad"``: zero channels, half before and half after (option A of [He2016]); ``"concat"``: the channels
            again [Liu2020], for which ``out_channels`` is a multiple of ``in_channels``.

    Shape: ``(N, I, H, W) -> (N, O, ceil(H / stride), ceil(W / stride))``.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, mode: str = "pad") -> None:
        super().__init__()
        check_choice("mode", mode, ("pad", "concat"))
        if out_channels < in_channels:
            raise ValueError(f"out_channels must be at least in_channels = {in_channels}, got {out_channels}")
        if mode == "concat" and out_channels % in_channels:
            raise ValueError(f"out_channels must be a multiple of in_channels = {in_channels}, got {out_channels}")
        self.more = out_channels - in_channels
        self.copies = out_channels // in_channels
        self.stride, self.mode = stride, mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride, ceil_mode=True, count_include_pad=False)
        if not self.more:
            return x
        if self.mode == "concat":
            return torch.cat([x] * self.copies, 1)
        return F.pad(x, (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, more={self.more}, mode={self.mode!r}"


class Residual(nn.Module):
    """One convolution with a shortcut of its own: ``y = activation(bn(conv(x)) + shortcut(x))`` [Liu2018].

    The sum stays in float, so a sign follows it only inside the next convolution: each layer of bits adds to a float
        stream.

    Args:
        conv: the convolution, of bits or float.
        channels: its output channels.
        shortcut: from the block's input to the shape of its output.
        activation_name: see :func:`activation`.
        shift: learn a shift of the convolution's input (RSign); the shortcut sees the input without it.
    """

    def __init__(
        self, conv: nn.Conv2d, shortcut: nn.Module, activation_name: str = "prelu", *, shift: bool = False
    ) -> None:
        super().__init__()
        self.shift = Shift(conv.in_channels) if shift else nn.Identity()
        self.conv = conv
        self.bn = nn.BatchNorm2d(conv.out_channels)
        self.shortcut = shortcut
        self.activation = activation(activation_name, conv.out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.bn(self.conv(self.shift(x))) + self.shortcut(x))
