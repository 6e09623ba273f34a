"""PokeBNN: a network of the shape of ResNet-50, its convolutions of bits with many shortcuts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from onebit.nn import layers, schemes
from onebit.nn.layers import BoundedConv2d, BoundedLinear, DPReLU, Gate, PokeConv, SameConv2d, SameQuantizedConv2d
from onebit.nn.layers.bounded import _Bounded
from onebit.nn.models import parts
from onebit.nn.models.registry import registry
from onebit.nn.quantizers import FixedRange, FloatFirst, UniformWeight
from onebit.nn.quantizers.bounded import check_phase

ACTIVATIONS = ("dprelu", "rprelu", "prelu", "relu")
GATES = {"int4": 4, "int8": 8, "float": None}
STEM = 32
#: What makes the network the published one: every layer in few bits.
PUBLISHED: dict[str, Any] = {"scheme": "pokebnn", "stem": "int8", "gate": "int4", "head": "int8"}


@registry.register("pokebnn")
class PokeBNN(nn.Module):
    """PokeBNN [Zhang2022]: bottlenecks of three convolutions of bits, each a :class:`~onebit.nn.layers.PokeConv`.

    | layer | output at width 1, 224x224 images | numbers |
    | --- | --- | --- |
    | conv 4x4, stride 4, BN, activation | 32, 56x56 | `stem` |
    | conv 3x3 of 32 groups, BN, activation | 64, 56x56 | `stem` |
    | stage 1: 3 bottlenecks, convs 1x1, 3x3, 1x1 | 256, 56x56 | bits; their gates `gate` |
    | stage 2: 4 bottlenecks, the first 3x3 with stride 2 | 512, 28x28 | bits |
    | stage 3: 6 bottlenecks, the first 3x3 with stride 2 | 1024, 14x14 | bits |
    | stage 4: 3 bottlenecks, the first 3x3 with stride 2 | 2048, 7x7 | bits |
    | global average pooling | 2048 | float |
    | linear with bias | `num_classes` | `head` |

    A bottleneck's convolutions have ``f``, ``f`` and ``4 f`` filters, ``f = int(width * channels)`` of its stage. The
    published network is that with the settings ``PUBLISHED``; each of its parts is an argument. Its 4-bit codes stand
    in the packed file as int8. Differences: scales of 4- and 8-bit inputs are multiplied into the weights before these
    are rounded (see :class:`~onebit.nn.layers.BoundedConv2d`), halves are rounded to even, and a number of channels
    that is no multiple of the bottleneck's input repeats it only as far as needed.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        width: factor of the channels, 0.5 to 2 in the paper; the stem stays as it is.
        blocks: bottlenecks of each stage.
        channels: of each stage, before ``width``; one for each of ``blocks``.
        small_images: a stem of one 3x3 convolution with stride 1 and 32 filters, for images of about 32x32 (ours).
        activation: ``"dprelu"`` (as published), ``"rprelu"``, ``"prelu"`` or ``"relu"``.
        gate: ``"int4"`` (as published), ``"int8"``, ``"float"`` or ``"none"``.
        local_shortcut, block_shortcut: whether there is one around each convolution, around each bottleneck.
        second_norm: whether each PokeConv ends in a norm.
        zero_init: whether the first norm of each bottleneck's last convolution starts at 0.
        float_phase: in which part of the training all weights are float, and inputs of 4 and 8 bits too: a share of it
            (0.0625 as published), 0 for none, or ``"stage"`` for the first stage of a training in several.
        scheme: how the convolutions become bits; ``None`` is the float twin.
        stem, head: ``"float"`` or ``"int8"`` for first and last layers.

    Shape: ``(N, in_channels, H, W) -> (N, num_classes)``.

    Example:
        >>> from onebit.nn import models
        >>> model = models.build("pokebnn", width=0.125, blocks=(1, 1), channels=(64, 128), **PUBLISHED)
        >>> model(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 1000])
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        blocks: tuple[int, ...] = (3, 4, 6, 3),
        channels: tuple[int, ...] = (64, 128, 256, 512),
        small_images: bool = False,
        activation: str = "dprelu",
        gate: str = "float",
        local_shortcut: bool = True,
        block_shortcut: bool = True,
        second_norm: bool = True,
        zero_init: bool = True,
        float_phase: float | str = 0.0,
        scheme=None,
        stem: str = "float",
        head: str = "float",
    ) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("in_channels", in_channels)):
            parts.check_size(name, value)
        filters = _filters(width, blocks, channels)
        for name, choice, allowed in (
            ("activation", activation, ACTIVATIONS),
            ("gate", gate, (*GATES, "none")),
            ("stem", stem, parts.STEMS),
            ("head", head, parts.HEADS),
        ):
            parts.check_choice(name, choice, allowed)
        check_phase(float_phase)
        self.stem = _stem(in_channels, small_images, activation, stem)
        before = STEM if small_images else 2 * STEM
        made = []
        for stage, (count, f) in enumerate(zip(blocks, filters)):
            for position in range(count):
                stride = 2 if stage and not position else 1
                convs = [
                    PokeConv(
                        _conv(i, o, kernel, s, scheme),
                        _activation(activation, o),
                        None if gate == "none" else Gate(i, o, bits=GATES[gate]),
                        local_shortcut,
                        second_norm,
                    )
                    for i, o, kernel, s in ((before, f, 1, 1), (f, f, 3, stride), (f, 4 * f, 1, 1))
                ]
                made.append(Bottleneck(convs, block_shortcut))
                before = 4 * f
        self.blocks = nn.Sequential(*made)
        self.head = _head(before, num_classes, head)
        _initialize(self, zero_init)
        if float_phase:
            _delay(self, float_phase)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Bottleneck(nn.Module):
    """Convolutions in a row, the input of the first added within the last."""

    def __init__(self, convs: Sequence[PokeConv], shortcut: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for conv in self.convs[:-1]:
            y = conv(y)
        return self.convs[-1](y, x if self.shortcut else None)


def _filters(width: float, blocks: Sequence[int], channels: Sequence[int]) -> list[int]:
    if not isinstance(width, (int, float)) or isinstance(width, bool) or not 0 < width < math.inf:
        raise ValueError(f"width must be a finite number above 0, got {width!r}")
    if not blocks or len(blocks) != len(channels):
        raise ValueError(f"blocks and channels must have one entry for each stage, got {blocks!r} and {channels!r}")
    for name, values in (("blocks", blocks), ("channels", channels)):
        for value in values:
            parts.check_size(name, value)
    filters = [int(width * size) for size in channels]
    if min(filters) < 1:
        raise ValueError(f"width {width!r} leaves a stage of {min(channels)} channels none")
    return filters


def _activation(name: str, channels: int) -> nn.Module:
    if name == "dprelu":
        return DPReLU(channels)
    return nn.ReLU() if name == "relu" else parts.activation(name, channels)


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int, scheme) -> nn.Conv2d:
    shape = (in_channels, out_channels, kernel, stride)
    if scheme is None:
        return SameConv2d(*shape, bias=False)
    made = schemes.build(scheme)
    parts_of = {"weight_quantizer": made.weight_quantizer(), "input_quantizer": made.input_quantizer()}
    # with stride 1 the padding does not depend on the size of the map: such a layer can be accelerated
    settings: dict[str, Any] = {"bias": False, **parts_of} | ({} if stride > 1 else {"padding": kernel // 2})
    conv = (SameQuantizedConv2d if stride > 1 else layers.Conv2d)(*shape, **settings)
    conv.output = None if made.output is None else made.output(conv)
    return conv


def _stem(in_channels: int, small: bool, activation: str, numbers: str) -> nn.Sequential:
    def conv(*shape: Any, **more: Any) -> nn.Conv2d:
        settings: dict[str, Any] = {"bias": False, **more}
        if numbers == "float":
            return nn.Conv2d(*shape, **settings)
        return BoundedConv2d(*shape, weight_quantizer=UniformWeight(8), input_quantizer=FixedRange(8), **settings)

    first = conv(in_channels, STEM, 3, padding=1) if small else conv(in_channels, STEM, 4, stride=4)
    made = [first, nn.BatchNorm2d(STEM), _activation(activation, STEM)]
    if not small:
        grouped = conv(STEM, 2 * STEM, 3, padding=1, groups=STEM)
        made += [grouped, nn.BatchNorm2d(2 * STEM), _activation(activation, 2 * STEM)]
    return nn.Sequential(*made)


def _head(in_features: int, num_classes: int, numbers: str) -> nn.Linear:
    if numbers == "float":
        return nn.Linear(in_features, num_classes)
    return BoundedLinear(in_features, num_classes, weight_quantizer=UniformWeight(8), input_quantizer=FixedRange(8))


@torch.no_grad()
def _initialize(model: PokeBNN, zero_init: bool) -> None:
    """LeCun's normal distribution, cut at two deviations, for all weights; zeros for biases."""
    for part in model.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            deviation = 1 / math.sqrt(part.weight[0].numel()) / 0.87962566103423978  # of the normal before it is cut
            nn.init.trunc_normal_(part.weight, 0.0, deviation, -2 * deviation, 2 * deviation)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif zero_init and isinstance(part, Bottleneck):
            nn.init.zeros_(cast(PokeConv, part.convs[-1]).norm.weight)


def _delay(model: nn.Module, phase: float | str) -> None:
    """Let all weights stay float in the first phase, and in training the inputs of 4 and 8 bits."""
    for part in model.modules():
        if isinstance(part, layers.Quantized) and part.weight_quantizer is not None:
            part.weight_quantizer = FloatFirst(part.weight_quantizer, phase)
            if isinstance(part, _Bounded) and part.input_quantizer is not None:
                part.input_quantizer = FloatFirst(part.input_quantizer, phase, evaluation=False)
