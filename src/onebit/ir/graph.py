"""The graph: named inputs, outputs, constants and state tensors, and nodes in topological order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onebit.core.errors import Unsupported, shown
from onebit.core.registry import unknown
from onebit.ir import dim as dims
from onebit.ir import interpreter
from onebit.ir.kind import registry
from onebit.ir.types import NAMES, TensorType, is_bits, is_ternary, make_type

MAX_NAME = 255  # bytes of UTF-8
MAX_SYMBOLS = 64
#: Who reads a ternary constant, and where; nothing makes one.
TERNARY_READERS = {("conv", 1), ("linear", 1), ("cast", 0)}
MAX_PORTS = 4096  # inputs, outputs, states: what a run checks and moves each time is never many


@dataclass(frozen=True)
class Node:
    """One step of the graph.

    Args:
        kind: name of a registered :class:`~onebit.ir.kind.Kind`.
        inputs: names of values: graph inputs, tensors, or outputs of earlier nodes.
        outputs: the name that the result gets (every kind has one output).
        attributes: those that differ from the kind's defaults; others may be given too.
        path: the module of the model that the node came from, for messages and tables; not part of the file.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    path: str = ""

    @property
    def output(self) -> str:
        """The name of the result."""
        return self.outputs[0]


@dataclass(eq=False)
class Graph:
    """A network as a list of nodes; :meth:`run` defines what it computes.

    Args:
        inputs: name to type, in the order of :meth:`run`'s arguments.
        outputs: names of the results, in order.
        nodes: in topological order.
        tensors: constants and initial states by name; a bit tensor is int8 of -1 and +1 and its name is in ``bits``.
        bits: names of the tensors of dtype ``bit``.
        states: name of a state tensor (its initial value is in ``tensors``) to the name of the value that replaces it.
        meta: ``class_names``, ``mean``, ``std``, ``producer`` of the packed file; all optional.
        trits: names of the tensors of dtype ``ternary``, which are int8 of -1, 0 and +1: constants, read as weights.

    Example:
        >>> graph = Graph({"x": TensorType("float32", ("batch", 2))})
        >>> bits = graph.add("sign", "x")
        >>> weight = graph.constant(np.int8([[1, -1], [1, 1], [-1, 1]]), bit=True)
        >>> graph.outputs = [graph.add("linear", bits, weight)]
        >>> (y,), state = graph.run(np.float32([[0.5, -3.0]]))
        >>> y
        array([[ 2,  0, -2]], dtype=int32)
        >>> str(graph.types()[graph.outputs[0]])
        'int32 (batch, 3)'
    """

    inputs: dict[str, TensorType] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    bits: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    trits: set[str] = field(default_factory=set)

    # Building

    def fresh(self, stem: str) -> str:
        """A name that nothing in the graph has yet."""
        used = {name for node in self.nodes for name in node.outputs} | self.inputs.keys() | self.tensors.keys()
        number = len(self.nodes)
        while f"{stem}_{number}" in used:
            number += 1
        return f"{stem}_{number}"

    def add(self, kind: str, *inputs: str, path: str = "", name: str | None = None, **attributes: Any) -> str:
        """Append a node and return the name of its result."""
        name = self.fresh(kind) if name is None else name
        self.nodes.append(Node(kind, inputs, (name,), attributes, path))
        return name

    def constant(self, array: np.ndarray, *, bit: bool = False, ternary: bool = False, name: str | None = None) -> str:
        """Keep ``array`` as a constant and return its name; ``bit``: an int8 array of -1 and +1 as bits, ``ternary``:
        one of -1, 0 and +1 as ternary numbers."""
        name = self.fresh("constant") if name is None else name
        self.tensors[name] = np.asarray(array)
        if bit:
            self.bits.add(name)
        if ternary:
            self.trits.add(name)
        return name

    def state(self, initial: np.ndarray, *, bit: bool = False, name: str | None = None) -> str:
        """Keep a state tensor that starts as ``initial``; give ``states[name]`` the value that replaces it."""
        name = self.constant(initial, bit=bit, name=name)
        self.states[name] = name
        return name

    def copy(self) -> Graph:
        """A graph that can be changed without changing this one; the arrays are shared."""
        return Graph(
            dict(self.inputs),
            list(self.outputs),
            list(self.nodes),
            dict(self.tensors),
            set(self.bits),
            dict(self.states),
            dict(self.meta),
            set(self.trits),
        )

    # Reading

    def is_constant(self, name: str) -> bool:
        """Whether ``name`` is a tensor that no run changes."""
        return name in self.tensors and name not in self.states

    def producers(self) -> dict[str, Node]:
        """The node that makes each value."""
        return {name: node for node in self.nodes for name in node.outputs}

    def readers(self) -> dict[str, list[Node | None]]:
        """The nodes that read each value, once for each reading; None stands for an output or a state."""
        found: dict[str, list[Node | None]] = {}
        for node in self.nodes:
            for name in node.inputs:
                found.setdefault(name, []).append(node)
        for name in [*self.outputs, *self.states.values()]:
            found.setdefault(name, []).append(None)
        return found

    def types(self) -> dict[str, TensorType]:
        """The type of every value, after checking everything.

        Raises:
            ValueError: one sentence on what is wrong: which node (index, kind, module path), which argument, what is
            allowed.
        """
        for what in ("inputs", "outputs", "states"):
            if len(getattr(self, what)) > MAX_PORTS:
                raise ValueError(f"a graph has at most {MAX_PORTS} {what}, got {len(getattr(self, what))}")
        types: dict[str, TensorType] = {}
        for name, given in self.inputs.items():
            _check_name(name, types)
            try:
                types[name] = make_type(*given)
                if types[name].dtype == "ternary":
                    raise ValueError("dtype ternary is for constants only")
                for dim in types[name].shape:
                    if len(dims.parse(dim)[1]) > 1:
                        raise ValueError(f"a dimension of an input must hold one symbol at most, got {shown(dim)}")
            except (TypeError, ValueError) as error:
                raise ValueError(f"input {shown(name)}: {error}") from None
        symbols = {symbol for given in types.values() for symbol in dims.symbols_of(given.shape)}
        if len(symbols) > MAX_SYMBOLS:
            raise ValueError(f"a graph has at most {MAX_SYMBOLS} symbols, got {len(symbols)}")
        for name, array in self.tensors.items():
            _check_name(name, types)
            types[name] = self._tensor_type(name, array)
        for name in self.bits - self.tensors.keys():
            raise ValueError(f"bits name {shown(name)}, which is no tensor of the graph")
        for name in self.trits - self.tensors.keys():
            raise ValueError(f"trits name {shown(name)}, which is no tensor of the graph")
        for index, node in enumerate(self.nodes):
            try:
                output = self._infer(node, types, symbols)
                if len(node.outputs) != 1:
                    raise ValueError(f"has one output, got {len(node.outputs)}")
                _check_name(node.outputs[0], types)
            except ValueError as error:
                path = f", from {node.path}" if node.path else ""
                kind = shown(node.kind)[1:-1]  # any text in a file
                raise type(error)(f"node {index} ({kind}{path}): {error}") from None
            types[node.outputs[0]] = output
        for name in self.outputs:
            if name not in types:
                raise ValueError(f"output {shown(name)} is defined nowhere")
            if types[name].dtype == "ternary":
                raise ValueError(f"output {shown(name)} is ternary, which only weights are: cast it")
        self._check_states(types)
        return types

    def _tensor_type(self, name: str, array: np.ndarray) -> TensorType:
        if not isinstance(array, np.ndarray) or array.dtype not in NAMES:
            got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise ValueError(f"tensor {name!r} must be a NumPy array of {', '.join(NAMES.values())}, got {got}")
        if name in self.bits and not is_bits(array):
            raise ValueError(f"tensor {name!r} is in bits and must be int8 of -1 and +1 only")
        if name in self.trits:
            if not is_ternary(array):
                raise ValueError(f"tensor {name!r} is in trits and must be int8 of -1, 0 and +1 only")
            if name in self.bits or name in self.states:
                raise ValueError(f"tensor {name!r} is in trits and must be neither in bits nor a state")
            return make_type("ternary", array.shape)
        return make_type("bit" if name in self.bits else NAMES[array.dtype], array.shape)

    def _infer(self, node: Node, types: Mapping[str, TensorType], symbols: set[str]) -> TensorType:
        if node.kind not in registry:
            raise Unsupported(unknown("kind", node.kind, registry))
        kind = registry[node.kind]
        kind.check_arity(len(node.inputs))
        for name in node.inputs:
            if name not in types:
                raise ValueError(f"input {shown(name)} is not defined before it")
        for position, name in enumerate(node.inputs):
            if types[name].dtype == "ternary" and (node.kind, position) not in TERNARY_READERS:
                raise ValueError(f"input {shown(name)} is ternary, which only weights are: cast it")
        output = kind.infer(kind.complete(node.attributes), *[types[name] for name in node.inputs])
        output = make_type(*output)
        free = dims.symbols_of(output.shape) - symbols
        if free:
            raise ValueError(f"symbol {shown(min(free))} occurs in the shape of no input of the graph")
        return output

    def _check_states(self, types: Mapping[str, TensorType]) -> None:
        for name, value in self.states.items():
            if name not in self.tensors:
                raise ValueError(f"state {shown(name)} has no initial tensor")
            if value not in types:
                raise ValueError(f"state {shown(name)} is replaced by {shown(value)}, which is defined nowhere")
            if types[value] != types[name]:
                raise ValueError(
                    f"state {name!r} is {types[name]} and is replaced by {value!r}, which is {types[value]}"
                )

    # Running

    def run(
        self, *inputs: np.ndarray, state: Mapping[str, np.ndarray] | None = None
    ) -> tuple[tuple[np.ndarray, ...], dict[str, np.ndarray]]:
        """The outputs, and the state after this run; exact as the page on kinds defines it.

        Args:
            inputs: one array for each input of the graph, of its exact dtype (bits: int8 of -1 and +1).
            state: what an earlier run returned; None for the initial state.

        Raises:
            ValueError: the graph is not valid, or an input does not fit; the text says which and what is expected.
        """
        return interpreter.run(self, inputs, state)


def _check_name(name: object, taken: Mapping[str, object]) -> None:
    if not isinstance(name, str) or not 1 <= len(name.encode(errors="replace")) <= MAX_NAME:
        raise ValueError(f"a name must be a text of 1 to {MAX_NAME} bytes, got {shown(name)}")
    if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
        raise ValueError(f"a name must be valid Unicode, got {shown(name)}")
    if name in taken:
        raise ValueError(f"the name {shown(name)} is given twice")
