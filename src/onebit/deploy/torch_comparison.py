"""How a packed network differs from the PyTorch model that it was made from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from onebit import ir, runtime
from onebit.deploy.comparison import Comparison
from onebit.nn.layers import MultiheadAttention, Quantized
from onebit.nn.layers.quantized import unaccelerated
from onebit.nn.operators import Operator


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
    return Comparison.of(
        [tensor.detach().cpu().numpy() for tensor in wanted],
        given if isinstance(given, tuple) else (given,),
        _bits(graph, seen, arrays),
        samples=len(arrays[0]),
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
        with unaccelerated(model):
            yield seen
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode


def _bits(
    graph: ir.Graph, seen: dict[str, list[np.ndarray]], inputs: list[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of the bits that enter layers: PyTorch's and the graph's, in PyTorch's order of axes."""
    types = graph.types()
    entering: dict[str, list[str]] = {}
    for node in graph.nodes:
        if node.kind in ("conv", "linear") and types[node.inputs[0]].dtype == "bit" and node.path in seen:
            entering.setdefault(node.path, []).append(node.inputs[0])
    names = [(path, call, name) for path, found in entering.items() for call, name in enumerate(found)]
    if not names:
        return
    inner = graph.copy()
    inner.outputs = [name for _, _, name in names]
    given = runtime.Model(ir.dumps(inner)).run(*inputs)
    values = given if isinstance(given, tuple) else (given,)
    for (path, call, _), value in zip(names, values):
        if call < len(seen[path]) and seen[path][call].size == value.size:
            yield seen[path][call], _in_order(seen[path][call], value)


def _in_order(wanted: np.ndarray, value: np.ndarray) -> np.ndarray:
    """``value`` in the order of axes of ``wanted``; the axes before the last may stand in another order in the
    graph."""
    if wanted.ndim != value.ndim:
        return value.reshape(wanted.shape)
    orders = [(*order, wanted.ndim - 1) for order in itertools.permutations(range(wanted.ndim - 1))]
    same = [moved for order in orders if (moved := value.transpose(order)).shape == wanted.shape]
    return min(same, key=lambda moved: int((moved != wanted).sum()), default=value.reshape(wanted.shape))
