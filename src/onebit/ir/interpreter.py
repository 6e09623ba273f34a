"""The reference interpreter: runs a graph node by node in NumPy, by each kind's own definition."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from onebit.ir import dim as dims
from onebit.ir.kind import registry
from onebit.ir.types import NUMPY, TensorType, is_bits

if TYPE_CHECKING:
    from onebit.ir.graph import Graph


#: What a kind holds while it runs, for each byte of its inputs and its result, at most: a reduction of one column keeps
#: 16 partial results for each element. Of a padded convolution the padded input counts.
SCRATCH = 24


def check_array(name: str, array: np.ndarray, expected: TensorType, symbols: dict[str, int]) -> None:
    """``ValueError`` unless ``array`` can be a value of type ``expected``; binds symbols."""
    if not isinstance(array, np.ndarray) or array.dtype != NUMPY[expected.dtype]:
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name} must be a NumPy array of {NUMPY[expected.dtype]}, got {got}")
    if array.ndim != len(expected.shape) or not all(
        map(dims.bind, expected.shape, array.shape, [symbols] * array.ndim)
    ):
        bound = ", ".join(
            f"{symbol} = {value}" for symbol, value in symbols.items() if symbol in dims.symbols_of(expected.shape)
        )
        given = f"{dims.text(expected.shape)}{f' with {bound}' if bound else ''}"
        raise ValueError(f"{name} must have shape {given}, got {dims.text(array.shape)}")
    if expected.dtype == "bit" and not is_bits(array):
        raise ValueError(f"{name} must hold -1 and +1 only")


def run(
    graph: Graph,
    inputs: Sequence[np.ndarray],
    state: Mapping[str, np.ndarray] | None,
    instead: Mapping[int, Callable[..., np.ndarray]] | None = None,
) -> tuple[tuple[np.ndarray, ...], dict[str, np.ndarray]]:
    """See :meth:`Graph.run`; ``instead`` has other ways to compute some nodes, by index, called as ``Kind.run`` is."""
    values = evaluate(graph, inputs, state, keep=False, instead=instead)
    return tuple(values[name] for name in graph.outputs), {name: values[value] for name, value in graph.states.items()}


def evaluate(
    graph: Graph,
    inputs: Sequence[np.ndarray],
    state: Mapping[str, np.ndarray] | None = None,
    *,
    keep: bool = True,
    instead: Mapping[int, Callable[..., np.ndarray]] | None = None,
) -> dict[str, np.ndarray]:
    """Every value of the graph by name; without ``keep`` those that nothing reads any more are dropped on the way."""
    types = graph.types()
    if len(inputs) != len(graph.inputs):
        raise ValueError(f"the graph has {len(graph.inputs)} inputs ({', '.join(graph.inputs)}), got {len(inputs)}")
    symbols: dict[str, int] = {}
    values = dict(graph.tensors)
    for name, array in zip(graph.inputs, inputs):
        check_array(f"input {name!r}", array, types[name], symbols)
        values[name] = array
    if state is not None:
        if state.keys() != graph.states.keys():
            raise ValueError(f"state must hold {sorted(graph.states)}, got {sorted(state)}")
        for name, array in state.items():
            check_array(f"state {name!r}", array, types[name], symbols)
            values[name] = array
    last = {} if keep else _last_readings(graph)
    with np.errstate(all="ignore"):
        for index, node in enumerate(graph.nodes):
            kind = registry[node.kind]
            shape = tuple(dims.evaluate(dim, symbols) for dim in types[node.output].shape)
            try:
                run = (instead or {}).get(index, kind.run)
                result = run(kind.complete(node.attributes), shape, *[values[name] for name in node.inputs])
            except ValueError as error:
                raise ValueError(
                    f"node {index} ({node.kind}{f', from {node.path}' if node.path else ''}): {error}"
                ) from None
            values[node.output] = result
            for name in last.get(index, ()):
                del values[name]
    return values


def memory(graph: Graph, symbols: Mapping[str, int]) -> int:
    """Bytes that a run takes at most with these sizes of the symbols: values, copied outputs, the largest node."""
    types = graph.types()

    def nbytes(name: str, padding: Sequence[int] = (0, 0, 0, 0)) -> int:
        shape = [dims.evaluate(dim, symbols) for dim in types[name].shape]
        if any(padding):
            shape[1] += padding[0] + padding[1]
            shape[2] += padding[2] + padding[3]
        return math.prod(shape) * NUMPY[types[name].dtype].itemsize

    largest = 0
    for node in graph.nodes:
        padding = node.attributes.get("padding", (0, 0, 0, 0)) if node.kind == "conv" else (0, 0, 0, 0)
        reads = nbytes(node.inputs[0], padding) + sum(map(nbytes, node.inputs[1:]))
        largest = max(largest, SCRATCH * (reads + nbytes(node.output)))
    return sum(map(nbytes, types)) + sum(map(nbytes, graph.outputs)) + largest


def _last_readings(graph: Graph) -> dict[int, list[str]]:
    """Node index -> the values that no later node reads."""
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        last.update(dict.fromkeys((*node.outputs, *node.inputs), index))
    kept = {*graph.outputs, *graph.states.values()}
    found: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in kept:
            found.setdefault(index, []).append(name)
    return found
