"""What each layer of a model costs, before packing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from onebit import ir
from onebit.capture.program import from_torch
from onebit.core.tables import plain_table
from onebit.ir import cost
from onebit.ir import dim as dims


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer on one example.

    Args:
        path: of the layer in the model; ``"(forward)"`` for what its own ``forward`` computes; ``"total"`` for the sum.
        kinds: kinds of the graph that it became.
        output: shape of its result in the graph, batch included (images channels last); empty for the total.
        parameters: numbers in its weights and vectors.
        bits: bits of them in a packed file before its passes.
        bit_macs, int8_macs, float_macs: multiply-accumulates by number system.
        float_ops: other operations.
        memory: bytes of its largest result.
        ace, cpu64: arithmetic computation effort and 64-bit words of multiply-accumulates (:mod:`onebit.ir.cost`).
    """

    path: str
    kinds: tuple[str, ...]
    output: tuple[int, ...]
    parameters: int
    bits: int
    bit_macs: int
    int8_macs: int
    float_macs: int
    float_ops: int
    memory: int
    ace: int
    cpu64: float


@dataclass(frozen=True)
class Summary:
    """The cost of a model on one example: one row a layer, and their sum. Prints as a table."""

    layers: tuple[LayerCost, ...]
    total: LayerCost

    def __str__(self) -> str:
        columns = [
            "layer",
            "kinds",
            "output",
            "parameters",
            "bits",
            "bit MACs",
            "int8 MACs",
            "float MACs",
            "other",
            "memory",
            "ACE",
            "CPU64",
        ]
        rows = [
            [
                row.path,
                _shorten(row.kinds),
                "x".join(map(str, row.output)),
                *(
                    f"{n:,}"
                    for n in (
                        row.parameters,
                        row.bits,
                        row.bit_macs,
                        row.int8_macs,
                        row.float_macs,
                        row.float_ops,
                        row.memory,
                        row.ace,
                        round(row.cpu64),
                    )
                ),
            ]
            for row in (*self.layers, self.total)
        ]
        return plain_table(columns, rows, right=range(3, 12))


def summary(
    model: torch.nn.Module, input_size: Sequence[int] | Sequence[Sequence[int]], *, dtype: torch.dtype = torch.float32
) -> Summary:
    """Bits, operations and memory of each layer of ``model`` on one example, from its graph before any pass.

    Args:
        model: what :func:`onebit.capture.from_torch` can capture.
        input_size: shape of one example without the batch, ``(1, 28, 28)``; one shape for each input where there are
            several.
        dtype: of the inputs; ``torch.int64`` for token numbers.

    Example:
        >>> from onebit.nn import models
        >>> report = summary(models.build("mlp", in_features=64, width=32, depth=1, scheme="bnn"), (64,))
        >>> report.total.bit_macs, report.total.float_macs
        (1024, 2368)
    """
    one = all(isinstance(size, int) for size in input_size)
    sizes: list[Any] = [input_size] if one else list(input_size)
    for shape in sizes:
        if not isinstance(shape, Sequence) or not all(isinstance(size, int) and size > 0 for size in shape):
            raise ValueError(f"input_size must be the shape of one example, such as (1, 28, 28), got {input_size!r}")
    return of_graph(from_torch(model, tuple(torch.zeros(2, *shape, dtype=dtype) for shape in sizes)))


def of_graph(graph: ir.Graph) -> Summary:
    """The summary of a captured graph, for a batch of 1."""
    groups: dict[str, list[cost.Row]] = {}
    rows = cost.table(graph, batch=1)
    for row in rows:
        groups.setdefault(_layer(row.path), []).append(row)
    layers = tuple(_sum(path, group) for path, group in groups.items())
    return Summary(layers, _sum("total", rows))


def _layer(path: str) -> str:
    """The layer that a module belongs to: quantizers and their operators belong to the layer that holds them."""
    parts = path.split(".")
    for place, part in enumerate(parts):
        if part.endswith(("_quantizer", "_quantizers")):
            return ".".join(parts[:place]) or "(forward)"
    return path or "(forward)"


def _sum(path: str, rows: list[cost.Row]) -> LayerCost:
    together = cost.total(rows)
    whole = path == "total"
    output = () if whole or rows[-1].output is None else rows[-1].output.shape
    return LayerCost(
        path,
        () if whole else tuple(row.kind for row in rows),
        tuple(dims.evaluate(size, {}) for size in output),
        together.parameters,
        together.bits,
        memory=together.memory,
        ace=together.ace,
        cpu64=together.cpu64,
        **{name: together.operations.get(name, 0) for name in cost.OPERATIONS},
    )


def _shorten(kinds: tuple[str, ...]) -> str:
    """The kinds that compute, once each, at most four."""
    moves = {"reshape", "transpose", "cast", "broadcast_to", "slice"}
    names = list(dict.fromkeys(kind for kind in kinds if kind not in moves)) or list(dict.fromkeys(kinds))
    return " ".join(names[:4]) + (" ..." if len(names) > 4 else "")
