"""Packing: a trained model as one small file that the engine runs without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from onebit import capture, ir, runtime
from onebit.core.files import write_bytes
from onebit.core.tables import plain_table
from onebit.deploy.comparison import Comparison
from onebit.deploy.torch_comparison import compare
from onebit.ir import passes
from onebit.ir.kind import registry
from onebit.nn.finite import non_finite

Inputs = torch.Tensor | Sequence[Any]


@dataclass(frozen=True)
class PackReport:
    """What packing made. Prints as a table.

    Args:
        path: the file.
        size: its bytes.
        float_size: bytes of the parameters and running statistics of the same model in float32.
        weight_bits: weights that are one bit each.
        other_weights: numbers of 8 bits and more.
        nodes: nodes of the graph.
        comparison: with PyTorch, on the samples; None without samples.
    """

    path: str
    size: int
    float_size: int
    weight_bits: int
    other_weights: int
    nodes: int
    comparison: Comparison | None

    @property
    def times_smaller(self) -> float:
        """How many times smaller the file is than the float32 numbers of the same model."""
        return self.float_size / self.size

    def __str__(self) -> str:
        rows = [
            ["file", self.path],
            ["size", f"{self.size:,} bytes"],
            ["the same model in float32", f"{self.float_size:,} bytes, {self.times_smaller:.1f} times as large"],
            ["weights of one bit", f"{self.weight_bits:,}"],
            ["other numbers", f"{self.other_weights:,}"],
            ["nodes", f"{self.nodes}"],
        ]
        if self.comparison is not None:
            rows += self.comparison.rows("PyTorch")
        return plain_table(["packed", ""], rows)


def pack(
    model: torch.nn.Module,
    example: Inputs,
    path: str | Path,
    *,
    samples: Inputs | None = None,
    meta: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic: capture.Dynamic | None = None,
) -> PackReport:
    """Write ``model`` as a packed file.

    Captures the graph, runs its passes, refuses numbers that are not finite, and writes the file, which is whole or not
    there; what was written has been read back and compared before it takes its name.

    Args:
        model: a trained model, of bits or float; evaluation mode is used, and the model is left as it was.
        example: an input, or all positional ones, as for :func:`onebit.capture.from_torch`.
        path: the file, by custom ``*.onebit``.
        samples: inputs like ``example`` on which the file is compared with PyTorch: folding batch norms changes the
            rounding of floats, so a sign near 0 may come out the other way.
        meta: ``class_names``, and ``mean`` and ``std`` per channel for images scaled to 0..1.
        kwargs, dynamic: as for :func:`onebit.capture.from_torch`.

    Raises:
        Unsupported: an operator that cannot be captured or packed; the text says where and what to do.
        ValueError: a number that is not finite, with its name; wrong ``meta``.
    """
    graph = prepare(model, example, meta=meta, kwargs=kwargs, dynamic=dynamic)
    data = ir.dumps(graph)
    check_same(graph, ir.loads(data))
    runtime.Model(data)  # the loader that will read the file accepts it
    write_bytes(path, data)
    comparison = None
    if samples is not None:
        if kwargs:
            raise ValueError("samples must be None where kwargs are given")
        comparison = compare(model, graph, data, (samples,) if isinstance(samples, torch.Tensor) else tuple(samples))
    bits = sum(graph.tensors[name].size for name in graph.bits)
    others = sum(array.size for name, array in graph.tensors.items() if name not in graph.bits)
    return PackReport(str(path), len(data), float_size(model), bits, others, len(graph.nodes), comparison)


def prepare(
    model: torch.nn.Module,
    example: Inputs,
    *,
    meta: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic: capture.Dynamic | None = None,
) -> ir.Graph:
    """The graph of a trained model after its passes, ready for a packed file or an export.

    Args:
        model, example, meta, kwargs, dynamic: as for :func:`pack`.

    Raises:
        Unsupported, ValueError: as :func:`pack` does.
    """
    check_finite(model)
    inputs = (example,) if isinstance(example, torch.Tensor) else tuple(example)
    graph = capture.from_torch(model, inputs, kwargs, dynamic=dynamic)
    graph.meta |= _plain(meta or {})
    graph = passes.optimize(graph)
    check_finite_graph(graph)
    return graph


def float_size(model: torch.nn.Module) -> int:
    """Bytes in float32 of the parameters of the float twin of ``model`` and of the running statistics of its norms."""
    numbers = sum(p.numel() for name, p in model.named_parameters() if "_quantizer" not in name)
    statistics = sum(
        b.numel() for name, b in model.named_buffers() if name.rpartition(".")[2] in ("running_mean", "running_var")
    )
    return 4 * (numbers + statistics)


def check_finite(model: torch.nn.Module) -> None:
    """``ValueError`` that names the first parameter or statistic that is not finite."""
    found = non_finite(model)
    if found is not None:
        raise ValueError(f"{found}: only finite numbers can be packed")


def check_finite_graph(graph: ir.Graph) -> None:
    """``ValueError`` for a weight, scale or threshold of the graph that is not finite; names kind and module.

    What is added or selected may be minus infinity: attention masks are.
    """
    for node in graph.nodes:
        kind = registry[node.kind]
        if node.kind == "batch_norm":
            raise ValueError(
                f"the scale or shift of batch_norm in module {node.path!r} is not finite and cannot be packed"
            )
        for position, name in enumerate(node.inputs):
            array = graph.tensors.get(name)
            if array is None or array.dtype != np.float32:
                continue
            parameter = position in kind.positions
            allowed = np.isneginf(array) if not parameter and node.kind not in ("mul", "div") else False
            if not (np.isfinite(array) | allowed).all():
                what = kind.inputs[position] if parameter and position < len(kind.inputs) else "constant"
                raise ValueError(
                    f"the {what} of {node.kind} in module {node.path!r} is not finite and cannot be packed"
                )


def check_same(graph: ir.Graph, read: ir.Graph) -> None:
    """``RuntimeError`` unless a graph that was written and read back is the same."""
    same = len(graph.nodes) == len(read.nodes) and len(graph.tensors) == len(read.tensors)
    for a, b in zip(graph.nodes, read.nodes):
        same = (
            same
            and a.kind == b.kind
            and registry[a.kind].complete(a.attributes) == registry[b.kind].complete(b.attributes)
        )
        for x, y in zip(a.inputs, b.inputs):
            if x in graph.tensors:
                same = same and y in read.tensors and _equal(graph.tensors[x], read.tensors[y])
    if not same:
        raise RuntimeError("the packed file reads back as another graph: this is an error of onebit, please report it")


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _plain(meta: Mapping[str, Any]) -> dict[str, Any]:
    """``meta`` with lists in place of tuples and arrays."""
    return {
        key: value.tolist() if hasattr(value, "tolist") else list(value) if isinstance(value, tuple) else value
        for key, value in meta.items()
    }
