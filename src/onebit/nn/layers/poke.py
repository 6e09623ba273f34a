"""The parts of PokeBNN: DPReLU, reshape-add, the 4-bit gate, and the convolution that has them all around it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.nn.layers.activation import per_channel
from onebit.nn.layers.bounded import BoundedConv2d, same_padding
from onebit.nn.quantizers import FixedRange, UniformWeight

EXPAND = ("zeropad", "tile")
GATE_BITS = (None, *range(2, 9))


class DPReLU(nn.Module):
    """Two slopes between two shifts, learned per channel: ``u = x - a``, ``y = (p if u >= 0 else n) u - b``.

    At the start ``a = b = 0``, ``p = 1``, ``n = 0.25``.

    Args:
        channels: size of axis ``channel_dim``.
        channel_dim: 1 for images, -1 for the last axis.

    Shape: ``(N, C, ...)`` to the same.

    Reference: [Zhang2022].

    Example:
        >>> DPReLU(2)(torch.tensor([[-4.0, 3.0]]))
        tensor([[-1.,  3.]], grad_fn=...)
    """

    def __init__(self, channels: int, channel_dim: int = 1) -> None:
        super().__init__()
        self.channel_dim = channel_dim
        self.before = nn.Parameter(torch.zeros(channels))
        self.positive = nn.Parameter(torch.ones(channels))
        self.negative = nn.Parameter(torch.full((channels,), 0.25))
        self.after = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        before, positive, negative, after = (
            per_channel(values, x, self.channel_dim)
            for values in (self.before, self.positive, self.negative, self.after)
        )
        u = x - before
        if torch.compiler.is_exporting():
            # the same numbers, one of the two products being 0, by kinds that the engine runs in registers
            return F.relu(u) * positive - F.relu(-u) * negative - after
        return torch.where(u >= 0, positive, negative) * u - after

    def extra_repr(self) -> str:
        return f"{self.positive.numel()}, channel_dim={self.channel_dim}"


def average_channels(x: Tensor, channels: int) -> Tensor:
    """The means of so many groups of consecutive channels, what is left over after them dropped.

    Shape: ``(N, C, H, W) -> (N, channels, H, W)`` with ``channels <= C``; a group has ``C // channels``.

    Example:
        >>> average_channels(torch.arange(1.0, 8.0).view(1, 7, 1, 1), 3).flatten()
        tensor([1.5000, 3.5000, 5.5000])
    """
    size = x.shape[1] // channels
    total = x[:, 0 : size * channels : size]
    for place in range(1, size):  # strided slices: one for each place in the group
        total = total + x[:, place : size * channels : size]
    return total / size if size > 1 else total


def same_average(x: Tensor) -> Tensor:
    """Average pooling 3x3 with stride 2 to ``ceil(size / 2)``; the padding counts, and comes after on even sizes."""
    top, bottom, left, right = same_padding(x.shape[2:], (3, 3), (2, 2))
    return F.avg_pool2d(F.pad(x, (left, right, top, bottom)), 3, 2)


def reshape_add(r: Tensor, y: Tensor, expand: str = "zeropad") -> Tensor:
    """``y`` plus ``r`` in the shape of ``y``, without parameters.

    Channels first: too many become means of consecutive ones (:func:`average_channels`), too few are followed by zeros
    (``"zeropad"``) or repeat as a whole (``"tile"``; the last time only as far as they are needed, where the published
    code asks for a multiple). Then, where the maps differ, :func:`same_average`.

    Args:
        r: ``(N, C', H', W')`` with maps as large as those of ``y``, or such that half, rounded up, is as large.
        y: ``(N, C, H, W)``.
        expand: ``"zeropad"`` or ``"tile"``.

    Reference: [Zhang2022].

    Example:
        >>> r, y = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1), torch.zeros(1, 4, 1, 1)
        >>> reshape_add(r, y).flatten(), reshape_add(r, y, "tile").flatten()
        (tensor([1., 2., 0., 0.]), tensor([1., 2., 1., 2.]))
    """
    if expand not in EXPAND:
        raise ValueError(f"expand must be one of {', '.join(EXPAND)}, got {expand!r}")
    have, want = r.shape[1], y.shape[1]
    if have > want:
        r = average_channels(r, want)
    elif have < want and expand == "zeropad":
        r = F.pad(r, (0, 0, 0, 0, 0, want - have))
    elif have < want:
        r = torch.cat([r] * -(-want // have), 1)
        r = r[:, :want] if want % have else r
    if r.shape[2:] != y.shape[2:]:
        if any(-(-a // 2) != b for a, b in zip(r.shape[2:], y.shape[2:])):
            raise ValueError(
                f"r must have the map of y, {tuple(y.shape[2:])}, or one that is halved to it, got {tuple(r.shape[2:])}"
            )
        r = same_average(r)
    return y + r


class ReshapeAdd(nn.Module):
    """:func:`reshape_add` as a module: called with ``(r, y)``."""

    def __init__(self, expand: str = "zeropad") -> None:
        super().__init__()
        if expand not in EXPAND:
            raise ValueError(f"expand must be one of {', '.join(EXPAND)}, got {expand!r}")
        self.expand = expand

    def forward(self, r: Tensor, y: Tensor) -> Tensor:
        return reshape_add(r, y, self.expand)

    def extra_repr(self) -> str:
        return repr(self.expand)


class Gate(nn.Module):
    """A squeeze-and-excite gate in few bits: what the channels are multiplied by, from their means (SE-4b).

    ``s = mean of r over H, W``; ``h = relu(W1 s + b1)`` with ``I // ratio`` channels;
    ``gate = clip(W2 h + b2 + 3, 0, 6) / 6``. Both products have weights and inputs of ``bits`` bits, the inputs of the
    second unsigned, with running bounds of each channel
    (:class:`~onebit.nn.layers.BoundedConv2d`). In the packed file 4-bit codes are held, and multiplied, as int8.

    Args:
        in_channels: I, at least ``ratio``.
        out_channels: of what is gated.
        ratio: I over the hidden channels.
        bits: 2..8, or None for float.

    Shape: ``(N, I, H, W) -> (N, out_channels, 1, 1)``, in [0, 1].

    Reference: [Zhang2022].

    Example:
        >>> Gate(16, 8)(torch.randn(2, 16, 5, 5)).shape
        torch.Size([2, 8, 1, 1])
    """

    def __init__(self, in_channels: int, out_channels: int, ratio: int = 8, bits: int | None = 4) -> None:
        super().__init__()
        if bits not in GATE_BITS or isinstance(bits, bool):
            raise ValueError(f"bits must be 2..8 or None, got {bits!r}")
        if in_channels // ratio < 1:
            raise ValueError(
                f"in_channels must be at least ratio = {ratio} for a gate to have a hidden layer, got {in_channels}"
            )
        self.squeeze = _pointwise(in_channels, in_channels // ratio, bits, signed=True)
        self.excite = _pointwise(in_channels // ratio, out_channels, bits, signed=False)

    def forward(self, r: Tensor) -> Tensor:
        hidden = F.relu(self.squeeze(r.mean((2, 3), keepdim=True)))
        return F.hardsigmoid(self.excite(hidden))


def _pointwise(in_channels: int, out_channels: int, bits: int | None, signed: bool) -> nn.Conv2d:
    if bits is None:
        return nn.Conv2d(in_channels, out_channels, 1)
    weight, codes = UniformWeight(bits), FixedRange(bits, signed)
    return BoundedConv2d(in_channels, out_channels, 1, weight_quantizer=weight, input_quantizer=codes)


class PokeConv(nn.Module):
    """A convolution of bits with what PokeBNN puts around it.

    ``z = norm(conv(x))``, plus ``x`` (zero channels where they are too few), plus the input of the bottleneck (tiled),
    then the activation, times the gate of ``x``, and a second norm.

    Args:
        conv: of bits or float, padded so that maps become ``ceil(size / stride)``.
        activation: a module for the output channels.
        gate: a module from ``x`` to factors ``(N, O, 1, 1)``, or None.
        local_shortcut: whether ``x`` is added.
        second_norm: whether there is a norm at the end.

    Shape: ``(N, I, H, W) -> (N, O, H', W')``; ``block_input`` in a shape that :func:`reshape_add` takes.

    Reference: [Zhang2022].
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        activation: nn.Module,
        gate: nn.Module | None,
        local_shortcut: bool = True,
        second_norm: bool = True,
    ) -> None:
        super().__init__()
        channels = conv.out_channels
        self.conv = conv
        self.norm = nn.BatchNorm2d(channels)
        self.local_shortcut = ReshapeAdd("zeropad") if local_shortcut else None
        self.block_shortcut = ReshapeAdd("tile")
        self.activation = activation
        self.gate = gate
        self.second_norm = nn.BatchNorm2d(channels) if second_norm else nn.Identity()

    def forward(self, x: Tensor, block_input: Tensor | None = None) -> Tensor:
        z = self.norm(self.conv(x))
        if self.local_shortcut is not None:
            z = self.local_shortcut(x, z)
        if block_input is not None:
            z = self.block_shortcut(block_input, z)
        z = self.activation(z)
        if self.gate is not None:
            z = z * self.gate(x)
        return self.second_norm(z)
