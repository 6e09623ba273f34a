"""How a packed network differs from the PyTorch model that it was made from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from onebit import ir, runtime
from onebit.nn.layers import MultiheadAttention, Quantized
from onebit.nn.operators import Operator


@dataclass(frozen=True)
class Comparison:
    """A packed network and PyTorch on the same samples.

    Args:
        samples: how many.
        predictions_differ: samples whose largest entry of the first output is another one; None where that is no row
            of scores.
        outputs: numbers in the outputs.
        outputs_differ: those that are not the same float.
        largest_difference: between two outputs.
        bits: activations of one bit that were compared: the inputs of the layers of bits.
        bits_differ: those that differ.
    """

    samples: int
    predictions_differ: int | None
    outputs: int
    outputs_differ: int
    largest_difference: float
    bits: int
    bits_differ: int

    def rows(self) -> list[list[str]]:
        """Rows of a table."""
        rows = [["samples compared with PyTorch", f"{self.samples:,}"]]
        if self.predictions_differ is not None:
            rows.append(["predictions that differ", f"{self.predictions_differ:,}"])
        rows.append(
            [
                "outputs that differ",
                f"{self.outputs_differ:,} of {self.outputs:,}, by at most {self.largest_difference:.3g}",
            ]
        )
        if self.bits:
            rows.append(["activation bits that differ", f"{self.bits_differ:,} of {self.bits:,}"])
        return rows


def compare(model: torch.nn.Module, graph: ir.Graph, data: bytes, samples: Sequence[torch.Tensor]) -> Comparison:
    """Run ``samples`` through the model in evaluation mode and through the packed network.

    Args:
        model: the PyTorch model.
        graph: its graph after the passes, whose nodes know their modules.
        data: the packed file of that graph.
        samples: inputs of the model.
    """
    with recorded_bits(model) as seen, torch.no_grad():
        wanted = torch.utils._pytree.tree_leaves(model(*samples))
    arrays = [sample.detach().cpu().numpy() for sample in samples]
    given = runtime.Model(data).run(*arrays)
    pairs = [(w.detach().cpu().numpy(), g) for w, g in zip(wanted, given if isinstance(given, tuple) else (given,))]
    differ = [(w != g) & ~(np.isnan(w) & np.isnan(g)) if w.dtype.kind == "f" else w != g for w, g in pairs]
    gaps = [float(np.abs(w[d].astype(float) - g[d]).max()) for (w, g), d in zip(pairs, differ) if d.any()]
    first, first_given = pairs[0]
    rows = first.ndim == 2 and first.dtype.kind == "f"
    bits, bits_differ = _bits(graph, seen, arrays)
    return Comparison(
        samples=len(arrays[0]),
        predictions_differ=int((first.argmax(1) != first_given.argmax(1)).sum())
        if rows and first.size
        else 0
        if rows
        else None,
        outputs=sum(w.size for w, _ in pairs),
        outputs_differ=sum(int(d.sum()) for d in differ),
        largest_difference=max(gaps, default=0.0),
        bits=bits,
        bits_differ=bits_differ,
    )


@contextmanager
def recorded_bits(model: torch.nn.Module) -> Iterator[dict[str, list[np.ndarray]]]:
    """In evaluation mode: the bits that enter each layer of bits, channels last, one array a call, by the layer's
    path."""
    seen: dict[str, list[np.ndarray]] = {}
    modes = [(module, module.training) for module in model.modules()]
    handles = []

    def keep(name: str, spatial: int):
        def hook(_module, _args, codes: torch.Tensor) -> None:
            if codes.dtype.is_floating_point and bool((codes.abs() == 1).all()):
                last = codes.movedim(1, -1) if spatial else codes
                seen.setdefault(name, []).append(last.detach().cpu().numpy().astype(np.int8))

        return hook

    for name, module in model.named_modules():
        quantizers: list[torch.nn.Module | None] = [module.input_quantizer] if isinstance(module, Quantized) else []
        if isinstance(module, MultiheadAttention):
            quantizers = list(module.input_quantizers.values())
        for quantizer in quantizers:
            if isinstance(operator := getattr(quantizer, "operator", None), Operator):
                handles.append(operator.register_forward_hook(keep(name, getattr(module, "spatial", 0))))
    try:
        model.eval()
        yield seen
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode


def _bits(graph: ir.Graph, seen: dict[str, list[np.ndarray]], inputs: list[np.ndarray]) -> tuple[int, int]:
    """How many bits that enter layers were compared, and how many differ."""
    types = graph.types()
    entering: dict[str, list[str]] = {}
    for node in graph.nodes:
        if node.kind in ("conv", "linear") and types[node.inputs[0]].dtype == "bit" and node.path in seen:
            entering.setdefault(node.path, []).append(node.inputs[0])
    names = [(path, call, name) for path, found in entering.items() for call, name in enumerate(found)]
    if not names:
        return 0, 0
    inner = graph.copy()
    inner.outputs = [name for _, _, name in names]
    given = runtime.Model(ir.dumps(inner)).run(*inputs)
    values = given if isinstance(given, tuple) else (given,)
    total = differ = 0
    for (path, call, _), value in zip(names, values):
        if call < len(seen[path]) and seen[path][call].size == value.size:
            total += value.size
            differ += _differing(seen[path][call], value)
    return total, differ


def _differing(a: np.ndarray, b: np.ndarray) -> int:
    """How many entries differ; the axes before the last may stand in another order in the graph."""
    if a.ndim != b.ndim:
        return int((a.reshape(-1) != b.reshape(-1)).sum())
    orders = [(*order, a.ndim - 1) for order in itertools.permutations(range(a.ndim - 1))]
    same = [order for order in orders if a.transpose(order).shape == b.shape]
    return min((int((a.transpose(order) != b).sum()) for order in same), default=a.size)
