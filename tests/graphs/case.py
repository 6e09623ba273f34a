"""A graph with the inputs of its runs: what is checked, shrunk, saved and replayed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import safetensors
import safetensors.numpy
from tests.graphs import random_graph, random_inputs

from onebit.core.files import write_bytes
from onebit.ir import Graph, file


@dataclass(frozen=True, eq=False)
class Case:
    """A graph and what it is run with, one run after the other as its state moves on.

    Args:
        graph: a valid graph.
        runs: the inputs of each run, in the order of ``graph.inputs``.
    """

    graph: Graph
    runs: list[list[np.ndarray]]


def random_case(seed: int) -> Case:
    """The random case with this number: two runs or three, their symbols of different sizes; two in three graphs as
    capture leaves them (batch norms, computed weights), the others as they can be packed."""
    rng = np.random.default_rng([20, seed])
    graph, inputs = random_graph(rng, batch_norm=seed % 3 != 0, wild=True)
    return Case(graph, [inputs, *(random_inputs(rng, graph) for _ in range(2 if seed % 4 == 0 else 1))])


def save(case: Case, path: Path, why: str = "") -> tuple[Path, Path]:
    """Write the graph to ``path`` as a packed file and the inputs beside it; returns both paths.

    A graph that only its passes make packable is written in the same form, for :func:`load` alone.
    """
    with mock.patch.object(file, "check_packable"):
        write_bytes(path, file.dumps(case.graph))
    # An input may be a scalar or empty; both have a place in a safetensors file.
    arrays = {
        f"{number}.{position}": np.ascontiguousarray(array).reshape(array.shape)
        for number, inputs in enumerate(case.runs)
        for position, array in enumerate(inputs)
    }
    beside = path.with_suffix(".safetensors")
    write_bytes(beside, safetensors.numpy.save(arrays, {"runs": str(len(case.runs)), "why": why}))
    return path, beside


def load(path: Path) -> Case:
    """What :func:`save` wrote; ``ValueError`` or ``OSError`` where it is not there or damaged."""
    with mock.patch.object(file, "check_packable"):
        graph = file.load(path)
    beside = path.with_suffix(".safetensors")
    try:
        with safetensors.safe_open(beside, "numpy") as stored:
            count = int((stored.metadata() or {}).get("runs", "0"))
            runs = [
                [stored.get_tensor(f"{number}.{position}") for position in range(len(graph.inputs))]
                for number in range(count)
            ]
    except safetensors.SafetensorError as error:
        raise ValueError(f"{beside} does not hold the inputs of {path}: {error}") from None
    return Case(graph, runs)


def text(case: Case) -> str:
    """The case for people: a line for each input, constant, state, node and output."""
    graph = case.graph
    types = graph.types()
    lines = [f"  input {name}: {types[name]}" for name in graph.inputs]
    lines += [
        f"  {'state' if name in graph.states else 'constant'} {name}: {types[name]}{_values(array)}"
        for name, array in graph.tensors.items()
    ]
    for node in graph.nodes:
        given = ", ".join([*node.inputs, *(f"{name}={value}" for name, value in node.attributes.items())])
        lines.append(f"  {node.output} = {node.kind}({given}): {types[node.output]}")
    lines += [f"  {name} becomes {value}" for name, value in graph.states.items()]
    lines.append(f"  outputs {', '.join(graph.outputs)}")
    for number, inputs in enumerate(case.runs):
        for name, array in zip(graph.inputs, inputs):
            lines.append(f"  run {number}: {name} {array.shape}{_values(array)}")
    return "\n".join(lines)


def _values(array: np.ndarray) -> str:
    return f" = {array.tolist()}" if array.size <= 8 else ""
