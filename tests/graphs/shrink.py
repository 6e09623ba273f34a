"""A failing case becomes a small one that fails in the same way: delta debugging of graphs.

Reductions are tried one after the other; one that keeps the failure is kept where it makes the case simpler, until
none does. Simpler means, in this order: fewer nodes; fewer outputs, states and runs; fewer elements; fewer attributes;
plainer numbers. Nothing here uses the passes, which may be what fails.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from tests.graphs.case import Case
from tests.graphs.resize import resized

from onebit.ir import Graph, TensorType, interpreter
from onebit.ir import dim as dims

MOST_TRIALS = 5000


def shrink(case: Case, fails: Callable[[Case], bool], *, trials: int = MOST_TRIALS, seconds: float = math.inf) -> Case:
    """The smallest case found that ``fails``, which ``case`` does; it takes ``trials`` or ``seconds`` at most."""
    end = time.monotonic() + seconds
    left = trials
    improved = True
    while improved:
        improved = False
        for reduction in REDUCTIONS:
            again = True
            while again:
                again = False
                for candidate in reduction(case):
                    tidied = tidy(candidate)
                    if tidied is None or cost(tidied) >= cost(case):
                        continue
                    if left == 0 or time.monotonic() > end:
                        return case
                    left -= 1
                    if fails(tidied):
                        case, again, improved = tidied, True, True
                        break
    return case


def cost(case: Case) -> tuple[int, ...]:
    """What shrinking makes smaller, the most important first."""
    graph = case.graph
    arrays = [*graph.tensors.values(), *(array for inputs in case.runs for array in inputs)]
    symbols = dims.symbols_of(size for given in graph.inputs.values() for size in given.shape)
    return (
        len(graph.nodes),
        len(graph.outputs) + len(graph.states) + len(case.runs),
        sum(array.size for array in arrays),
        sum(len(node.attributes) for node in graph.nodes) + len(symbols) + len(graph.meta),
        sum(map(_plainness, arrays)),
    )


def _plainness(array: np.ndarray) -> int:
    whole = array == np.rint(array) if array.dtype == np.float32 else np.ones(array.shape, bool)
    return int((array != 0).sum() + (array != 1).sum() + 2 * (~whole).sum())


def tidy(case: Case) -> Case | None:
    """The case without what nothing needs; None where it is not valid."""
    graph = case.graph.copy()
    needed = {*graph.outputs, *graph.states, *graph.states.values()}
    nodes = []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.update(node.inputs)
            nodes.append(node)
    graph.nodes = nodes[::-1]
    graph.tensors = {name: array for name, array in graph.tensors.items() if name in needed}
    graph.bits &= graph.tensors.keys()
    graph.trits &= graph.tensors.keys()
    kept = [position for position, name in enumerate(graph.inputs) if name in needed]
    graph.inputs = {name: given for name, given in graph.inputs.items() if name in needed}
    try:
        graph.types()
    except ValueError:
        return None
    return Case(graph, [[inputs[position] for position in kept] for inputs in case.runs])


# Reductions: each gives candidates, the boldest first


def runs(case: Case) -> Iterator[Case]:
    """All runs but one."""
    for number in range(len(case.runs)):
        if len(case.runs) > 1:
            yield Case(case.graph, case.runs[:number] + case.runs[number + 1 :])


def border(case: Case) -> Iterator[Case]:
    """The value of one node as the only output; one output, or all but one; a state that is a constant."""
    graph = case.graph
    for node in graph.nodes:
        yield _changed(case, outputs=[node.output], states={})
        yield _changed(case, outputs=[node.output])
    for name in graph.outputs:
        yield _changed(case, outputs=[name])
    for position in range(len(graph.outputs)):
        yield _changed(case, outputs=graph.outputs[:position] + graph.outputs[position + 1 :])
    for name in graph.states:
        yield _changed(case, states={other: value for other, value in graph.states.items() if other != name})
        if graph.states[name] != name:
            yield _changed(case, states=graph.states | {name: name})
    if graph.meta:
        yield _changed(case, meta={})


def cut(case: Case) -> Iterator[Case]:
    """Inputs in place of what nodes compute: of everything up to a node, then of one node alone."""
    graph = case.graph
    values = []
    state = None
    try:
        for inputs in case.runs:
            values.append(interpreter.evaluate(graph, inputs, state))
            state = {name: values[-1][value] for name, value in graph.states.items()}
    except ValueError:
        return
    made = [node.output for node in graph.nodes]
    for count in range(len(made) - 1, 0, -1):
        yield _with_inputs(case, set(made[:count]), values)
    for name in made:
        yield _with_inputs(case, {name}, values)


def _with_inputs(case: Case, names: set[str], values: list[dict[str, np.ndarray]]) -> Case:
    graph, types = case.graph.copy(), case.graph.types()
    graph.nodes = [node for node in graph.nodes if node.output not in names]
    read = {name for node in graph.nodes for name in node.inputs} | {*graph.outputs, *graph.states.values()}
    new = [name for name in types if name in names and name in read]
    graph.inputs |= {name: types[name] for name in new}
    return Case(graph, [[*inputs, *(found[name] for name in new)] for inputs, found in zip(case.runs, values)])


def bypass(case: Case) -> Iterator[Case]:
    """A node's input in place of its output, where the types agree."""
    graph, types = case.graph, case.graph.types()
    for node in graph.nodes:
        for name in dict.fromkeys(node.inputs):
            if types[name] == types[node.output]:
                result = graph.copy()
                result.nodes = [
                    replace(other, inputs=tuple(name if read == node.output else read for read in other.inputs))
                    for other in graph.nodes
                    if other is not node
                ]
                result.outputs = [name if output == node.output else output for output in graph.outputs]
                result.states = {
                    state: name if value == node.output else value for state, value in graph.states.items()
                }
                yield Case(result, case.runs)


def numbers_for_symbols(case: Case) -> Iterator[Case]:
    """The sizes that the symbols have, where all runs have the same."""
    sizes: dict[str, int] = {}
    for inputs in case.runs:
        for given, array in zip(case.graph.inputs.values(), inputs):
            if not all(dims.bind(dim, size, sizes) for dim, size in zip(given.shape, array.shape)):
                return
    if not sizes:
        return
    graph = case.graph.copy()
    graph.inputs = {
        name: TensorType(given.dtype, tuple(dims.evaluate(dim, sizes) for dim in given.shape))
        for name, given in graph.inputs.items()
    }
    graph.nodes = [
        replace(
            node, attributes=node.attributes | {"shape": [dims.evaluate(d, sizes) for d in node.attributes["shape"]]}
        )
        if "shape" in node.attributes
        else node
        for node in graph.nodes
    ]
    yield Case(graph, case.runs)


def attributes(case: Case) -> Iterator[Case]:
    """An attribute left to its default."""
    for index, node in enumerate(case.graph.nodes):
        for name in node.attributes:
            rest = {other: value for other, value in node.attributes.items() if other != name}
            yield _with_node(case, index, rest)
            if node.attributes[name] != [1, 1] and name in ("kernel", "stride", "dilation"):
                yield _with_node(case, index, rest | {name: [1, 1]})


def _with_node(case: Case, index: int, given: dict) -> Case:
    nodes = list(case.graph.nodes)
    nodes[index] = replace(nodes[index], attributes=given)
    return _changed(case, nodes=nodes)


def sizes(case: Case) -> Iterator[Case]:
    """An axis of an input or a constant cut to 1, to a half, by one, and all axes of inputs that have its size; what no
    longer fits is cut as well."""
    graph = case.graph
    for name in (*graph.inputs, *graph.tensors):
        for axis, size in enumerate(_shape(case, name)):
            alike = [
                (other, place) for other in graph.inputs for place, n in enumerate(_shape(case, other)) if n == size
            ]
            for smaller in sorted({1, size // 2, size - 1} - {size, 0, -1}):
                for places in ([(name, axis)], alike) if (name, axis) in alike[:1] else ([(name, axis)],):
                    candidate = resized(case, places, smaller)
                    if candidate is not None:
                        yield candidate


def _shape(case: Case, name: str) -> tuple[int, ...]:
    if name in case.graph.tensors:
        return case.graph.tensors[name].shape
    position = list(case.graph.inputs).index(name)
    return tuple(max(column) for column in zip(*(inputs[position].shape for inputs in case.runs)))


def numbers(case: Case) -> Iterator[Case]:
    """Zeros, ones, whole numbers in place of an array's."""
    graph = case.graph
    for name, array in graph.tensors.items():
        for plain in _plainer(array, name in graph.bits):
            yield _changed(case, tensors=graph.tensors | {name: plain})
    for position, name in enumerate(graph.inputs):
        for number, inputs in enumerate(case.runs):
            for plain in _plainer(inputs[position], graph.inputs[name].dtype == "bit"):
                changed = [*inputs[:position], plain, *inputs[position + 1 :]]
                yield Case(graph, [*case.runs[:number], changed, *case.runs[number + 1 :]])


def _plainer(array: np.ndarray, bit: bool) -> Iterator[np.ndarray]:
    if not bit:
        yield np.zeros_like(array)
    yield np.ones_like(array)
    if array.dtype == np.float32:
        with np.errstate(all="ignore"):
            yield np.rint(array)
            yield np.where(np.isfinite(array), np.sign(array), array)
    halves = np.arange(array.size).reshape(array.shape) * 2 < array.size
    for half in (halves, ~halves):
        yield np.where(half, array.dtype.type(1), array)
        if not bit:
            yield np.where(half, array.dtype.type(0), array)


def _changed(case: Case, **fields: object) -> Case:
    graph: Graph = case.graph.copy()
    for name, value in fields.items():
        setattr(graph, name, value)
    return Case(graph, case.runs)


REDUCTIONS = (runs, border, cut, bypass, numbers_for_symbols, sizes, attributes, numbers)
