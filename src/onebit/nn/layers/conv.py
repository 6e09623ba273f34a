"""Convolutions of bits in one and two dimensions."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.nn.layers.quantized import Quantized, QuantizerLike
from onebit.nn.ops import conv_sums

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class _Conv(Quantized):
    """What one- and two-dimensional convolutions share."""

    channel_dim = 1
    pad_value: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        weight_quantizer: QuantizerLike = "binary",
        input_quantizer: QuantizerLike = "sign",
        output: nn.Module | None = None,
        pad_value: int = 0,
    ) -> None:
        super().__init__(  # type: ignore[call-arg]
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.adopt(pad_value)
        self.attach(weight_quantizer, input_quantizer, output)
    # PyTorch's own, by whose class each convolution is completed
    in_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    padding_mode: PaddingMode
    _reversed_padding_repeated_twice: list[int]

    def adopt(self, pad_value: int = 0) -> None:
        if pad_value not in (-1, 0, 1):
            raise ValueError(f"pad_value must be -1, 0 or 1, got {pad_value!r}")
        if pad_value and self.padding_mode != "zeros":
            raise ValueError(f"pad_value {pad_value} needs padding_mode='zeros', got {self.padding_mode!r}")
        self.pad_value = int(pad_value)

    def attach(
        self, weight_quantizer: QuantizerLike, input_quantizer: QuantizerLike, output: nn.Module | None = None
    ) -> None:
        super().attach(weight_quantizer, input_quantizer, output)
        if self.pad_value and self.input_quantizer is not None and self.input_quantizer.scaled:
            raise ValueError(
                f"pad_value {self.pad_value} needs an input quantizer without a scale, got {input_quantizer!r}"
            )

    def input_channels(self) -> int:
        return self.in_channels

    def check_input(self, x: Tensor) -> None:
        super().check_input(x)
        if torch.compiler.is_exporting():
            return
        for dim, (size, kernel, dilation) in enumerate(zip(x.shape[2:], self.kernel_size, self.dilation)):
            at = 2 * (self.spatial - 1 - dim)
            reach = dilation * (kernel - 1) + 1 - sum(self._reversed_padding_repeated_twice[at : at + 2])
            if size < reach:
                raise ValueError(f"x must have a size of at least {reach} along axis {2 + dim}, got {tuple(x.shape)}")

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        # torch keeps (last dimension before, after, ..., first before, after); the operator takes first to last
        pairs = list(self._reversed_padding_repeated_twice)
        if self.padding_mode != "zeros":
            x = F.pad(x, pairs, mode=self.padding_mode)
            pairs = [0] * len(pairs)
        padding = [side for dim in reversed(range(self.spatial)) for side in pairs[2 * dim : 2 * dim + 2]]
        product = torch.ops.onebit.conv if torch.compiler.is_exporting() else conv_sums
        return product(
            x,
            weight,
            list(self.stride),
            padding,
            list(self.dilation),
            self.groups,
            self.pad_value,
        )

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return f"{text}, pad_value={self.pad_value}" if self.pad_value else text


class Conv2d(_Conv, nn.Conv2d):
    """Two-dimensional convolution of quantized input and weight: a drop-in for ``torch.nn.Conv2d``.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype:
            as in ``torch.nn.Conv2d``.
        weight_quantizer: a name (``"bnn"``, ``"biper"``, ...), a quantizer, a factory of one, or None for float
            weights.
        input_quantizer: the same for the input.
        output: a module ``output(y, x) -> y`` before the bias.
        pad_value: what a tap in the padding reads instead of a code: 0 (adds nothing), +1 or -1. Only with
            ``padding_mode="zeros"`` and an input quantizer without a scale.

    Shape: ``(N, in_channels, H, W) -> (N, out_channels, H', W')``.

    Raises:
        KeyError: unknown quantizer name. ValueError: an input of the wrong shape, a bad ``pad_value``.

    Example:
        >>> layer = Conv2d(3, 8, 3, padding=1, weight_quantizer="biper", input_quantizer="react")
        >>> layer(torch.randn(2, 3, 5, 5)).shape
        torch.Size([2, 8, 5, 5])
    """

    spatial = 2


class Conv1d(_Conv, nn.Conv1d):
    """One-dimensional convolution of quantized input and weight: a drop-in for ``torch.nn.Conv1d``.

    Arguments and errors as in :class:`Conv2d`.

    Shape: ``(N, in_channels, L) -> (N, out_channels, L')``.

    Example:
        >>> layer = Conv1d(3, 8, 5, stride=2, padding="valid", input_quantizer=None)
        >>> layer(torch.randn(2, 3, 9)).shape
        torch.Size([2, 8, 3])
    """

    spatial = 1
