"""Small helpers that build graphs for the engine's tests, and run them in interpreter and engine."""

from __future__ import annotations

import numpy as np

from onebit import ir
from onebit.ir import Graph, TensorType
from onebit.runtime import _engine

ISAS = _engine.available_isas()


def image(channels: int, dtype: str = "float32", size: int = 6) -> tuple[Graph, np.random.Generator]:
    """A graph with one input ``x`` of shape (batch, size, size, channels), and a generator seeded by the arguments."""
    return Graph({"x": TensorType(dtype, ("batch", size, size, channels))}), np.random.default_rng([channels, size])


def signs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random -1 and +1 as int8."""
    return rng.integers(0, 2, shape, np.int8) * np.int8(2) - np.int8(1)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random float32."""
    return rng.standard_normal(shape).astype(np.float32)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal dtype, shape and bits; any NaN equals any NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype != np.float32:
        return np.array_equal(a, b)
    return bool(np.all((a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b))))


def engine(graph: Graph, isa: str | None = None, threads: int = 1, **settings) -> _engine.Model:
    """The graph, packed and loaded; even the smallest work is divided among the threads."""
    return _engine.Model(ir.dumps(graph), threads=threads, isa=isa, grain=0, **settings)


def check(graph: Graph, *runs: list[np.ndarray], isas: list[str] = ISAS, threads: tuple[int, ...] = (1, 2, 3)) -> None:
    """Asserts that every run, one after the other, gives the interpreter's bits, states included."""
    state, expected = None, []
    for inputs in runs:
        outputs, state = graph.run(*inputs, state=state)
        expected.append((outputs, dict(state)))
    data = ir.dumps(graph)
    for isa in isas:
        for count in threads:
            model = _engine.Model(data, threads=count, isa=isa, grain=0)
            where = f"{isa}, {count} threads"
            for inputs, (outputs, after) in zip(runs, expected):
                found = model.run([np.ascontiguousarray(array) for array in inputs])
                for name, a, b in zip(graph.outputs, found, outputs):
                    assert same(np.asarray(a), np.asarray(b)), f"{name} ({b.dtype} {b.shape}) differs: {where}"
                for (name, *_), array in zip(model.states, model.state()):
                    assert same(np.asarray(array), np.asarray(after[name])), f"state {name} differs: {where}"
