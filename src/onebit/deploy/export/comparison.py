"""How an exported file differs from the engine on the same inputs, bits inside included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from onebit import ir, runtime
from onebit.deploy.comparison import Comparison
from onebit.deploy.export.executors import Run
from onebit.ir import dim as dims
from onebit.ir.types import NUMPY, TensorType

#: Kinds that make bits out of numbers: where a difference of a rounding becomes one of a bit.
DECISIONS = ("sign", "threshold")
LENGTH = 8  # of a random input along a dynamic axis that is not the batch
MOVES = ("cast", "reshape", "transpose", "slice", "broadcast_to", "concat", "pad")


def decisions(graph: ir.Graph) -> list[str]:
    """The activations of one bit of a graph: results of ``sign`` and ``threshold`` that are not outputs already."""
    return [node.output for node in graph.nodes if node.kind in DECISIONS and node.output not in graph.outputs]


def with_bits(graph: ir.Graph) -> ir.Graph:
    """The graph with its activations of one bit as further outputs."""
    probe = graph.copy()
    probe.outputs = [*graph.outputs, *decisions(graph)]
    return probe


def compare_with_engine(
    graph: ir.Graph, written: Run, probe: Run | None, batches: Iterable[Sequence[np.ndarray]]
) -> Comparison:
    """Run batches through the engine and through an exported file.

    Args:
        graph: what was exported.
        written: runs the file.
        probe: runs the export of :func:`with_bits`, whose further outputs are the bits; None where there are none.
        batches: inputs of the graph, one sequence a batch; at least one. States are at their start for each.

    Returns:
        Outputs as the file gives them, bits as the probe does.
    """
    engine = runtime.Model(ir.dumps(with_bits(graph)))
    count = len(graph.outputs)
    bits = [name for name in graph.outputs if graph.types()[name].dtype == "bit"]
    types = graph.types()
    total: Comparison | None = None
    for batch in batches:
        engine.reset()
        given = engine.run(*batch)
        wanted = given if isinstance(given, tuple) else (given,)
        found = written(batch)[:count]
        inner = probe(batch) if probe is not None else found
        names = [*graph.outputs, *decisions(graph)]
        pairs = [
            (_samples_first(graph, types[name], a), _samples_first(graph, types[name], as_bits(b)))
            for name, a, b in zip(names, wanted, inner)
            if types[name].dtype == "bit"
        ]
        outputs = [as_bits(b) if name in bits else b for name, b in zip(graph.outputs, found)]
        part = Comparison.of(wanted[:count], outputs, pairs, samples=len(batch[0]) if batch[0].ndim else 1)
        total = part if total is None else total + part
    if total is None:
        raise ValueError("batches must hold at least one batch")
    return total


def as_bits(array: np.ndarray) -> np.ndarray:
    """Bits however a file holds them (numbers -1 and +1, or booleans) as int8 of -1 and +1."""
    return np.where(array > 0, np.int8(1), np.int8(-1))


def in_batches(graph: ir.Graph, inputs: Sequence[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    """Inputs in batches of at most ``size`` samples along axis 0.

    Where the graph takes one number of samples only, so does every batch, and what is left over is left out. An input
    without the symbol of the batch goes into all of them.
    """
    symbol = batch_symbol(graph)
    firsts = [given.shape[0] if given.shape else 1 for given in graph.inputs.values()]
    if symbol is None:
        units, step = [dims.parse(first)[0] for first in firsts], 1
    else:
        units = [dims.parse(first)[0] if symbol in dims.symbols_of([first]) else 0 for first in firsts]
        step = max(1, size // units[0])
    count = len(inputs[0]) // units[0] if inputs[0].ndim and units[0] else 1
    for start in range(0, count, step):
        stop = min(start + step, count)
        yield [a[start * n : stop * n] if n and a.ndim else a for a, n in zip(inputs, units, strict=True)]


def sizes_of(graph: ir.Graph, inputs: Sequence[np.ndarray]) -> dict[str, int]:
    """What the symbols of a graph are for these inputs."""
    sizes: dict[str, int] = {}
    for array, given in zip(inputs, graph.inputs.values(), strict=True):
        for dim, size in zip(given.shape, array.shape, strict=True):
            dims.bind(dim, size, sizes)
    return sizes


def batch_symbol(graph: ir.Graph) -> str | None:
    """The symbol of axis 0 of the first input; None where the graph takes one number of samples only."""
    first = next(iter(graph.inputs.values())).shape
    symbols = dims.symbols_of(first[:1])
    return min(symbols) if symbols else None


def random_inputs(graph: ir.Graph, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Inputs of a graph for ``count`` samples: standard normal floats, bits, integers that embeddings can look up.

    Args:
        graph: without a symbol of the batch it gets the number of samples that it takes.
        count: what the symbol of the batch becomes; any other becomes 8.
        rng: where they come from.
    """
    symbol = batch_symbol(graph)
    symbols = {s: LENGTH for given in graph.inputs.values() for s in dims.symbols_of(given.shape)}
    if symbol is not None:
        symbols[symbol] = count
    return [
        _random(rng, given.dtype, tuple(dims.evaluate(dim, symbols) for dim in given.shape), _limit(graph, name))
        for name, given in graph.inputs.items()
    ]


def _random(rng: np.random.Generator, dtype: str, shape: tuple[int, ...], limit: int) -> np.ndarray:
    if dtype == "float32":
        return rng.standard_normal(shape, np.float32)
    if dtype == "bit":
        return as_bits(rng.standard_normal(shape))
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype in ("int8", "uint8"):
        limits = np.iinfo(NUMPY[dtype])
        return rng.integers(limits.min, limits.max, shape, NUMPY[dtype], endpoint=True)
    return rng.integers(0, limit, shape, NUMPY[dtype])


def _limit(graph: ir.Graph, name: str) -> int:
    """How many rows the smallest table has that is read at ``name``, moved or not; 2 where none is."""
    moved, limit = {name}, None
    for node in graph.nodes:
        if node.kind in MOVES and moved & {*node.inputs}:
            moved.add(node.output)
        elif node.kind == "embedding" and node.inputs[1] in moved:
            rows = len(graph.tensors[node.inputs[0]])
            limit = rows if limit is None else min(limit, rows)
    return 2 if limit is None else limit


def _samples_first(graph: ir.Graph, given: TensorType, array: np.ndarray) -> np.ndarray:
    """``array`` with the axis that counts samples in front."""
    symbol = batch_symbol(graph)
    axes = [axis for axis, dim in enumerate(given.shape) if symbol in dims.symbols_of((dim,))]
    return np.moveaxis(array, axes[0], 0) if axes else array
