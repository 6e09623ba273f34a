"""The operations of PokeBNN as its authors count them: products by their bits, element-wise ones part by part."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from onebit.nn.layers import DPReLU, Gate, PokeConv, Quantized, ReshapeAdd
from onebit.nn.models.pokebnn import PokeBNN

#: The names of the counts.
OPERATIONS = (
    "batch norm",
    "DPReLU",
    "channel adds",
    "channel muls",
    "shortcut pooling",
    "bottleneck adds",
    "local adds",
    "gate pooling adds",
    "gate pooling muls",
    "gate ReLU",
    "gate hard sigmoid",
    "gate multiplication",
    "final pooling",
)


def elementwise_operations(model: PokeBNN, input_size: Sequence[int]) -> dict[str, int]:
    """How many operations on single values each part of a PokeBNN has for one example, beside its products.

    One for each value that a batch norm, DPReLU, ReLU or hard sigmoid gives, that a shortcut or gate adds to or
    multiplies, that a mean reads; nine for each value that a 3x3 pooling gives; one multiplication for each mean of
    channels, or of a map in a gate. The network is walked through without computing anything.

    Args:
        model: any width; with ``activation="dprelu"``, for other activations are not counted.
        input_size: of one example, ``(C, H, W)``.

    Returns:
        a count for each name of ``OPERATIONS``.

    Reference: [Zhang2022].

    Example:
        >>> from onebit.nn import models
        >>> model = models.build("pokebnn", width=0.125, blocks=(1,), channels=(64,))
        >>> elementwise_operations(model, (3, 32, 32))["final pooling"]
        2048
    """
    if not isinstance(model, PokeBNN):
        raise ValueError(f"model must be a PokeBNN, got {type(model).__name__}")
    counts = dict.fromkeys(OPERATIONS, 0)
    twin = copy.deepcopy(model).to("meta").eval()
    for part in twin.modules():
        part.register_forward_hook(lambda part, given, result: _count(counts, part, given, result))
    twin.blocks.register_forward_hook(lambda _, given, result: counts.update({"final pooling": result.numel()}))
    twin(torch.zeros(1, *input_size, device="meta"))
    return counts


def multiply_accumulates(model: nn.Module, input_size: Sequence[int]) -> dict[int, int]:
    """Bits -> multiply-accumulates of the quantized layers of a model for one example, without making a graph.

    Both sides of a layer have the bits of its weight; ACE is ``sum bits^2 n``, CPU64 ``sum bits n / 64``. Float layers
    do not count: :func:`onebit.ir.cost.ace` of the graph counts all.

    Args:
        model: any model with :class:`~onebit.nn.layers.Quantized` layers.
        input_size: of one example, ``(C, H, W)``.

    Reference: [Zhang2022].

    Example:
        >>> from onebit.nn import models
        >>> model = models.build("pokebnn", width=0.125, blocks=(1,), channels=(64,), stem="int8", head="int8")
        >>> multiply_accumulates(model, (3, 32, 32))
        {8: 167168}
    """
    counts: dict[int, int] = {}

    def count(part: Any, _: tuple[Any, ...], result: torch.Tensor) -> None:
        bits = part.weight_quantizer.num_bits
        counts[bits] = counts.get(bits, 0) + result.numel() * part.weight[0].numel()

    twin = copy.deepcopy(model).to("meta").eval()
    for part in twin.modules():
        if isinstance(part, Quantized):
            part.register_forward_hook(count)
    twin(torch.zeros(1, *input_size, device="meta"))
    return counts


def _count(counts: dict[str, int], part: nn.Module, given: tuple[Any, ...], result: torch.Tensor) -> None:
    if isinstance(part, nn.BatchNorm2d):
        counts["batch norm"] += result.numel()
    elif isinstance(part, DPReLU):
        counts["DPReLU"] += result.numel()
    elif isinstance(part, ReshapeAdd):
        r, y = given
        counts["local adds" if part.expand == "zeropad" else "bottleneck adds"] += y.numel()
        if r.shape[1] > y.shape[1]:
            means = r[:, : y.shape[1]].numel()
            counts["channel muls"] += means
            counts["channel adds"] += means * (r.shape[1] // y.shape[1])
        if r.shape[2:] != y.shape[2:]:
            counts["shortcut pooling"] += 9 * y.numel()
    elif isinstance(part, Gate):
        counts["gate pooling adds"] += given[0].numel()
        counts["gate pooling muls"] += given[0][:, :, 0, 0].numel()
        counts["gate ReLU"] += part.squeeze.out_channels * len(result)
        counts["gate hard sigmoid"] += result.numel()
    elif isinstance(part, PokeConv) and part.gate is not None:
        counts["gate multiplication"] += result.numel()
