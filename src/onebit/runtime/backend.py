"""What runs a packed network: the native engine, or the NumPy interpreter where that is asked for or all there is."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np

from onebit.core.errors import OnebitWarning
from onebit.runtime.port import ARRAYS, Gate, Port

INTERPRETER = "interpreter"


class NodeOfStep(NamedTuple):
    """A node of the graph in the sizes of a run."""

    number: int
    kind: str
    attributes: dict[str, Any]
    inputs: list[Port]
    output: Port


class Step(NamedTuple):
    """What a run does at once: one node or several; bytes of values, packed weights and tables, each once."""

    nodes: list[NodeOfStep]
    bytes_read: int
    bytes_written: int


class Backend(Protocol):
    """One loaded network. Arrays that come in have been checked."""

    isa: str
    threads: int
    inputs: list[Port]
    outputs: list[Port]
    states: list[Port]
    meta: dict[str, Any]

    def run(self, inputs: list[np.ndarray], out: list[np.ndarray] | None) -> list[np.ndarray]:
        """The outputs, written into ``out`` where it is given; the state moves on."""

    def state(self) -> list[np.ndarray]:
        """Copies of the state tensors."""

    def set_state(self, arrays: list[np.ndarray]) -> None:
        """Replaces the state tensors."""


def engine() -> ModuleType | None:
    """The native engine, or None where it was not built."""
    try:
        return importlib.import_module("onebit.runtime._engine")
    except ImportError:
        return None


def available_isas() -> list[str]:
    """Names that ``isa`` can have here: the instruction sets of this machine, fastest first, and the interpreter."""
    native = engine()
    return [*(native.available_isas() if native else ()), INTERPRETER]


def open_backend(
    data: bytes, threads: int, isa: str | None, max_memory: int | None, share_threads: bool = False
) -> Backend:
    """The backend for these settings; ``ValueError`` for a bad file."""
    native = engine()
    if isa == INTERPRETER:
        return Interpreter(data, max_memory)
    if native is None:
        warnings.warn(
            "onebit.runtime._engine is not there (the package was not built with a C++ compiler): networks run in the "
            "NumPy interpreter, with the same results but slowly; isa='interpreter' says that this is wanted",
            OnebitWarning,
            stacklevel=4,
        )
        return Interpreter(data, max_memory)
    return Native(native, data, threads, isa, max_memory, share_threads and threads > 1)


class Native:
    """The engine of ``native/``."""

    def __init__(
        self,
        native: ModuleType,
        data: bytes,
        threads: int,
        isa: str | None,
        max_memory: int | None,
        share_threads: bool,
    ) -> None:
        settings = {"shared_threads": True} if share_threads else {}
        self._model = native.Model(data, threads, isa, max_memory, **settings)
        self.isa, self.threads = str(self._model.isa), int(self._model.threads)
        self.inputs, self.outputs = _ports(self._model.inputs), _ports(self._model.outputs)
        self.states = _ports(self._model.states)
        self.meta = json.loads(self._model.meta)

    def run(self, inputs: list[np.ndarray], out: list[np.ndarray] | None) -> list[np.ndarray]:
        return self._model.run(inputs, out)

    def profile(self, inputs: list[np.ndarray], out: list[np.ndarray] | None) -> list[float]:
        """As ``run``; gives the seconds of each step."""
        return self._model.profile(inputs, out)[1]

    def steps(self, inputs: list[np.ndarray]) -> list[Step]:
        """What a run with such inputs does, in order."""
        return [
            Step(
                [
                    NodeOfStep(number, kind, attributes, list(map(_port, read)), _port(output))
                    for number, kind, attributes, read, output in nodes
                ],
                bytes_read,
                bytes_written,
            )
            for nodes, bytes_read, bytes_written in self._model.steps(inputs)
        ]

    def state(self) -> list[np.ndarray]:
        return [np.array(array) for array in self._model.state()]

    def set_state(self, arrays: list[np.ndarray]) -> None:
        self._model.set_state(arrays)


class Interpreter:
    """:mod:`onebit.ir`: the definition of the right answer, and slow."""

    isa = INTERPRETER
    threads = 1

    def __init__(self, data: bytes, max_memory: int | None) -> None:
        from onebit import ir

        self._graph = ir.loads(data)
        self._max_memory = max_memory
        types = self._graph.types()
        self.inputs = _ports((name, *types[name]) for name in self._graph.inputs)
        self.outputs = _ports((name, *types[name]) for name in self._graph.outputs)
        self.states = _ports((name, *types[name]) for name in self._graph.states)
        self.meta = dict(self._graph.meta)
        self._state: dict[str, np.ndarray] | None = None

    def run(self, inputs: list[np.ndarray], out: list[np.ndarray] | None) -> list[np.ndarray]:
        if self._max_memory is not None:
            self._check_memory(inputs, self._max_memory)
        try:
            results, state = self._graph.run(*inputs, state=self._state)
            # A state may be an input as it came, whose array belongs to the caller.
            self._state = {name: np.array(array) for name, array in state.items()}
            if out is None:
                return [np.array(result, order="C") for result in results]
        except MemoryError:
            raise ValueError("a run with these input shapes needs more memory than the machine gives") from None
        for array, result in zip(out, results):
            np.copyto(array, result)
        return out

    def state(self) -> list[np.ndarray]:
        held = self._graph.tensors if self._state is None else self._state
        return [np.array(held[port.name]) for port in self.states]

    def set_state(self, arrays: list[np.ndarray]) -> None:
        self._state = {port.name: np.array(array) for port, array in zip(self.states, arrays)}

    def _check_memory(self, inputs: Sequence[np.ndarray], allowed: int) -> None:
        from onebit.ir import interpreter

        sizes: dict[str, int] = {}
        for port, array in zip(self.inputs, inputs):
            Gate("input", port).receive(array, sizes)
        needed = interpreter.memory(self._graph, sizes)
        if needed > allowed:
            raise ValueError(
                f"a run with these input shapes needs up to {needed} bytes of memory, max_memory allows {allowed}"
            )


def _port(described: Any) -> Port:
    name, dtype, shape = described
    return Port(str(name), str(dtype), tuple(shape))


def _ports(described: Any) -> list[Port]:
    ports = list(map(_port, described))
    unknown = [port for port in ports if port.dtype not in ARRAYS]
    if unknown:
        raise ValueError(f"unknown dtype of {unknown[0]}")
    return ports
