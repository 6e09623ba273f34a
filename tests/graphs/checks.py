"""What must hold of every case: passes keep what the graph computes, and the engine gives the interpreter's bits."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import numpy as np
from tests.engine.build import ISAS, same
from tests.graphs.case import Case
from tests.graphs.rounding import farthest

from onebit import ir, runtime
from onebit.core.errors import Unsupported
from onebit.ir import Graph, Node, TensorType, interpreter, passes
from onebit.runtime import _engine
from onebit.runtime.backend import INTERPRETER

ROUNDING = (passes.fold_batch_norm, passes.permute_linear)  # the passes that may change the last bits of floats
FEW = 2**15  # integers that thresholds tries one by one: both of its ways are met, and neither takes long
THRESHOLDS = importlib.import_module("onebit.ir.passes.thresholds")


class Difference(AssertionError):
    """Something does not hold.

    Args:
        stage: what was checked, the same for every failure of one sort.
        text: what differs.
    """

    def __init__(self, stage: str, text: str) -> None:
        super().__init__(f"{stage}: {text}")
        self.stage = stage


@dataclass(frozen=True, eq=False)
class Outcome:
    """What runs give: outputs and states after each, and the error that ended them, if one did."""

    results: list[tuple[list[np.ndarray], dict[str, np.ndarray]]]
    error: str | None = None


def outcome(graph: Graph, runs: Sequence[Sequence[np.ndarray]]) -> Outcome:
    """The interpreter's. A run may end in ``ValueError``: an index outside its table, a reduction of nothing."""
    results: list[tuple[list[np.ndarray], dict[str, np.ndarray]]] = []
    state = None
    graph.types()
    for inputs in runs:
        try:
            outputs, state = graph.run(*inputs, state=state)
        except ValueError as error:
            return Outcome(results, str(error))
        results.append((list(outputs), dict(state)))
    return Outcome(results)


def check(case: Case, turn: int = 0, isas: Sequence[str] = ISAS) -> None:
    """Raises :class:`Difference`, or whatever else goes wrong, unless all of it holds.

    Every pass on the graph as it is, every step of ``optimize``, the packed file, and the engine on every instruction
    set, with 1, 2 or 3 threads (``turn`` says which with which), with arrays of its own and with given ones.
    """
    with inferred_once(), mock.patch.object(THRESHOLDS, "MOST_EVALUATIONS", FEW):
        expected = outcome(case.graph, case.runs)
        for one in dict.fromkeys(passes.PASSES):
            check_pass(one, case, expected)
        graph, best = case.graph, expected
        for one in passes.PASSES:
            graph, best = check_pass(one, Case(graph, case.runs), best)
        types, after = case.graph.types(), graph.types()
        if [types[name] for name in case.graph.outputs] != [after[name] for name in graph.outputs]:
            raise Difference("optimize", "an output has another type")
        check_engine(case, expected, turn, isas[turn % len(isas) :][:1])
        check_engine(Case(graph, case.runs), best, turn, isas)


@contextmanager
def inferred_once() -> Iterator[None]:
    """Inference that remembers graphs and nodes: it was half of the time, and most passes leave most graphs alone."""
    infer, infer_node = Graph.types, Graph._infer
    graphs: dict[tuple, tuple[dict[str, TensorType], Graph]] = {}
    nodes: dict[tuple, tuple[TensorType, Node]] = {}

    def types(graph: Graph) -> dict[str, TensorType]:
        key = (
            *map(id, graph.nodes), *graph.tensors, *map(id, graph.tensors.values()), *graph.outputs,
            *graph.states.items(), *graph.inputs.items(), *sorted(graph.bits), *sorted(graph.trits),
        )  # fmt: skip
        if key not in graphs:
            graphs[key] = (infer(graph), graph.copy())  # what is kept alive keeps its number
        return dict(graphs[key][0])

    def of_node(graph: Graph, node: Node, known: dict[str, TensorType], symbols: set[str]) -> TensorType:
        key = (id(node), *map(known.get, node.inputs))
        if key not in nodes:
            nodes[key] = (infer_node(graph, node, known, symbols), node)
        return nodes[key][0]

    with mock.patch.object(Graph, "types", types), mock.patch.object(Graph, "_infer", of_node):
        yield


def changed(before: Graph, after: Graph) -> bool:
    """Whether a pass did anything."""
    return (
        before.nodes != after.nodes or before.tensors.keys() != after.tensors.keys() or before.outputs != after.outputs
    )


def check_pass(one: Callable[[Graph], Graph], case: Case, expected: Outcome) -> tuple[Graph, Outcome]:
    """The graph after one pass and what it gives, which must be what the graph before gave."""
    graph, stage = case.graph, f"pass {one.__name__}"
    nodes, tensors = list(graph.nodes), dict(graph.tensors)
    try:
        result = one(graph)
        result.types()
    except Exception as error:
        raise Difference(stage, f"{type(error).__name__}: {error}") from error
    if graph.nodes != nodes or any(graph.tensors.get(name) is not array for name, array in tensors.items()):
        raise Difference(stage, "the graph that was given has changed")
    if result.inputs != graph.inputs or result.states.keys() != graph.states.keys():
        raise Difference(stage, "inputs or states have changed")
    if not changed(graph, result):
        return result, expected
    found = outcome(result, case.runs)
    if expected.error is not None:  # what failed may be gone, as nothing needs it
        return result, found
    if found.error is not None:
        raise Difference(stage, f"a run fails: {found.error}")
    if one in ROUNDING:
        states = [None, *(state for _, state in expected.results)]
        for inputs, state in zip(case.runs, states):
            problem = farthest(graph, result, inputs, state)
            if problem:
                raise Difference(stage, problem)
    elif one is not passes.bits_through_max_pool or not _pools_nan(graph, result, case.runs):
        _compare(stage, graph, expected, found)
    return result, found


def _pools_nan(graph: Graph, result: Graph, runs: Sequence[Sequence[np.ndarray]]) -> bool:
    """Whether a max-pool that moved meets a NaN: only then may its sign be taken first with another result."""
    pooled = [node.inputs[0] for node in graph.nodes if node.kind == "max_pool" and node not in result.nodes]
    state = None
    for inputs in runs:
        values = interpreter.evaluate(graph, inputs, state)
        if any(np.isnan(values[name]).any() for name in pooled if values[name].dtype == np.float32):
            return True
        state = {name: values[value] for name, value in graph.states.items()}
    return False


def _compare(stage: str, graph: Graph, expected: Outcome, found: Outcome) -> None:
    for number, ((outputs, state), (others, other_state)) in enumerate(zip(expected.results, found.results)):
        for position, (a, b) in enumerate(zip(outputs, others)):
            if not same(np.asarray(a), np.asarray(b)):
                raise Difference(stage, f"run {number}: output {position} ({a.dtype} {a.shape}) differs")
        for name in graph.states:
            if not same(np.asarray(state[name]), np.asarray(other_state[name])):
                raise Difference(stage, f"run {number}: state {name} differs")


def check_engine(case: Case, expected: Outcome, turn: int = 0, isas: Sequence[str] = ISAS) -> None:
    """The packed file is the graph, and the engine gives the interpreter's bits; nothing where it cannot be packed."""
    try:
        data = ir.dumps(case.graph)
    except Unsupported:
        if not _may_be_unpackable(case.graph):
            raise
        return
    if (len(isas) > 1 or turn % 4 == 0) and ir.dumps(ir.loads(data)) != data:
        raise Difference("packed file", "what is read is not what was written")
    for number, isa in enumerate(isas):
        threads = 1 + (turn + number) % 3
        model = _engine.Model(data, threads=threads, isa=isa, grain=0)
        _check_runs("engine", f"{isa}, {threads} threads", case, expected, model)
    if (turn + len(isas)) % 4 == 0:
        for isa in (isas[0], INTERPRETER):
            _check_runs("runtime", isa, case, expected, _Runtime(data, isa))


def _may_be_unpackable(graph: Graph) -> bool:
    """A batch norm that is left, or a weight that is computed: ``pack`` refuses both by name."""
    return any(
        node.kind == "batch_norm"
        or not all(graph.is_constant(node.inputs[i]) for i in ir.registry[node.kind].positions)
        for node in graph.nodes
    )


def _check_runs(stage: str, where: str, case: Case, expected: Outcome, model: _engine.Model | _Runtime) -> None:
    for number, inputs in enumerate(case.runs):
        arrays = [np.ascontiguousarray(array).reshape(array.shape) for array in inputs]
        if number >= len(expected.results):
            try:
                model.run(arrays)
            except ValueError:
                return
            raise Difference(stage, f"run {number} ends well, the interpreter says: {expected.error} ({where})")
        outputs, state = expected.results[number]
        out = None
        if number % 2:  # arrays that are full of something else
            out = [np.full(array.shape, 77, array.dtype) for array in outputs]
        found = model.run(arrays, out)
        for position, (a, b) in enumerate(zip(outputs, found if out is None else out)):
            if not same(np.asarray(a), np.asarray(b)):
                raise Difference(stage, f"run {number}: output {position} ({a.dtype} {a.shape}) differs: {where}")
        for (name, *_), array in zip(model.states, model.state()):
            if not same(np.asarray(array), np.asarray(state[name])):
                raise Difference(stage, f"run {number}: state {name} differs: {where}")


class _Runtime:
    """:class:`onebit.runtime.Model`, with inputs that do not lie one element after the other, and are overwritten."""

    def __init__(self, data: bytes, isa: str) -> None:
        self._model = runtime.Model(data, isa=isa)
        self.states = [(name,) for name in self._model.state]

    def run(self, arrays: list[np.ndarray], out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        given = [scattered(array) if out is None else array.copy() for array in arrays]
        results = self._model.run(*given, out=out)
        for array in given:
            array.fill(1)
        return list(results) if isinstance(results, tuple) else [results]

    def state(self) -> list[np.ndarray]:
        return list(self._model.state.values())


def scattered(array: np.ndarray) -> np.ndarray:
    """The same array, every second element of a larger one, read from the end."""
    if array.ndim == 0:
        return array.copy()
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    view = wide[..., ::-2]
    view[...] = array
    return view
