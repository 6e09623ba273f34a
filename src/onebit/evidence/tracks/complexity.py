"""What a network costs in theory: parameters and multiply-accumulates, on bits and on everything else."""

from __future__ import annotations

from torch import nn

from onebit import capture
from onebit.data import Dataset, normalize
from onebit.ir import Graph, cost

#: The number systems of one or two bits.
FEW = ("bit", "ternary")


def complexity(model: nn.Module, data: Dataset) -> dict[str, int]:
    """Counted on the captured graph, before norms and scales are folded into one another, for one example.

    Args:
        model: in evaluation mode.
        data: of the example.

    Returns:
        What :func:`count` gives.
    """
    return count(captured(model, data))


def captured(model: nn.Module, data: Dataset) -> Graph:
    """The graph of ``model``, which takes a batch of any size of the examples of ``data``."""
    split = data.train.take(data.train.labels.new_zeros(2))
    return capture.from_torch(model, normalize(split.inputs, data.mean, data.std))


def count(graph: Graph) -> dict[str, int]:
    """Parameters and operations of a graph.

    Returns:
        ``bit_parameters`` and ``real_parameters`` (scales, thresholds and norms with their statistics included),
        ``bit_macs`` and ``real_macs`` (multiply-accumulates on bits; on 8-bit integers and floats), ``elementwise``
        (other operations).
    """
    types, total = graph.types(), cost.total(cost.table(graph))
    sizes = {name: tensor.size for name, tensor in graph.tensors.items()}
    bits = sum(size for name, size in sizes.items() if types[name].dtype in FEW)
    counts = total.operations
    return {
        "bit_parameters": bits,
        "real_parameters": sum(sizes.values()) - bits,
        "bit_macs": counts.get("bit_macs", 0),
        "real_macs": counts.get("int8_macs", 0) + counts.get("float_macs", 0),
        "elementwise": counts.get("float_ops", 0),
    }
