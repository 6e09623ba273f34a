"""The walk through a graph that makes the nodes of an ONNX model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from onebit.core.errors import Unsupported
from onebit.deploy.export.deciding import deciding
from onebit.deploy.export.shapes import Shapes
from onebit.ir import Graph, Node, Rules, TensorType
from onebit.ir import dim as dims
from onebit.ir.kind import registry

Order = tuple[int, ...]

#: dtype of the graph -> dtype in which rules compute with it. Bits are floats of -1 and +1: runtimes multiply these
#: fastest, and their sums are exact below 2^24.
COMPUTED = {"bit": "float32", "ternary": "float32"}
#: dtype of the graph -> dtype of an input or output of the file.
STORED = {"bit": "int8", "ternary": "int8"}
#: A float that holds the exact integer sums of a product. Whoever multiplies them must go through int32: a runtime
#: would fold the factor into the weights of the product, and sums that are exactly 0 would become +-1e-7.
SUMS = "sums"


class Tensor(NamedTuple):
    """A tensor of the ONNX model that holds a value of the graph.

    Args:
        name: of the tensor.
        order: axis j of the tensor is axis ``order[j]`` of the value: ``(0, 3, 1, 2)`` is an image with its channels
            second.
    """

    name: str
    order: Order


@dataclass(frozen=True)
class Operation:
    """A node of the model to be."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    domain: str = ""
    path: str = ""


Rule = Callable[["Exporter", Node], None]


class Exporter:
    """One walk through a graph; rules call its methods to read values, emit nodes and say what holds the result.

    A value of the graph may live in several tensors: in another dtype (integer codes as integers and as floats) and
    with its axes in another order, each made when the first rule asks for it. A transpose of the graph makes no node:
    it is another order of the same tensor. So a network of convolutions, channels last in the graph and channels
    second in ONNX, needs no transposes.

    Args:
        graph: a valid graph.
        rules: one for each kind: ``rule(exporter, node)``.
        opset: version of the standard operators.
    """

    def __init__(self, graph: Graph, rules: Rules[Rule], opset: int) -> None:
        self.graph, self.rules, self.opset = graph, rules, opset
        self.types = graph.types()
        self.deciding = deciding(graph, self.types)
        self.operations: list[Operation] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.path = ""
        self.called: dict[str, str] = {}  # tensors that are outputs -> what the file calls them
        self._taken = {*graph.inputs, *graph.states, *graph.outputs}
        self._tensors: dict[tuple[str, str], dict[Order, str]] = {}  # value, dtype -> order -> tensor
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._codes: dict[str, str] = {}
        self.shapes = Shapes(self)
        for name in (*graph.inputs, *graph.states):
            self._keep(name, self.stored(name), tuple(range(len(self.types[name].shape))), name)

    def walk(self) -> None:
        """Run the rule of every node."""
        for node in self.graph.nodes:
            self.path = node.path
            self.rules.find(node)(self, node)
        self.path = ""

    # Types

    def attributes(self, node: Node) -> dict[str, Any]:
        """All attributes of a node, defaults filled in."""
        return registry[node.kind].complete(node.attributes)

    def stored(self, name: str) -> str:
        """The dtype of a value as an input or output of the file."""
        return STORED.get(self.types[name].dtype, self.types[name].dtype)

    def computed(self, name: str) -> str:
        """The dtype in which rules compute with a value where any will do."""
        return COMPUTED.get(self.types[name].dtype, self.types[name].dtype)

    def unsupported(self, node: Node, what: str, advice: str) -> Unsupported:
        """The error for something in a node: names reader, kind and module, and says what to do."""
        where = f" (from {node.path})" if node.path else ""
        return Unsupported(f"{self.rules.reader} export of {node.kind}{where}: {what}; {advice}")

    # Emitting

    def fresh(self, stem: str) -> str:
        """A name that nothing in the model has yet."""
        number = len(self._taken)
        while f"{stem}_{number}" in self._taken:
            number += 1
        self._taken.add(f"{stem}_{number}")
        return f"{stem}_{number}"

    def emit(self, op: str, *inputs: str, domain: str = "", output: str | None = None, **attributes: Any) -> str:
        """Append a node and return the name of its result."""
        output = self.fresh(op) if output is None else output
        self.operations.append(Operation(op, inputs, (output,), attributes, domain, self.path))
        return output

    def call(self, tensor: str, name: str) -> None:
        """Make a tensor an output of the model that is called ``name``."""
        made = any(tensor in operation.outputs for operation in self.operations)
        if made and tensor not in self.called:
            self.called[tensor] = name
        else:
            self.emit("Identity", tensor, output=name)

    def constant(self, array: Any, dtype: Any = None) -> str:
        """The name of an initializer with these contents; equal ones are kept once."""
        array = np.ascontiguousarray(array, dtype).reshape(np.shape(array))
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.fresh("constant")
            self.initializers[self._constants[key]] = array
        return self._constants[key]

    def codes(self, array: np.ndarray, bits: bool) -> str:
        """Bits or 8-bit integers as a float32 tensor: in the file they stay integers of 8 bits."""
        name = self.constant(array)
        if name not in self._codes:
            self._codes[name] = self.emit("Cast", name, to="float32")
        return self._codes[name]

    # Values

    def set(self, value: str, tensor: str, order: Sequence[int] | None = None, dtype: str | None = None) -> None:
        """Say which tensor holds a value, in which order (default: the value's) and dtype (default: the computed)."""
        order = tuple(range(len(self.types[value].shape)) if order is None else order)
        self._keep(value, dtype or self.computed(value), order, tensor)

    def permute(self, value: str, source: str, perm: Sequence[int]) -> None:
        """Say that axis i of a value is axis ``perm[i]`` of ``source``: every tensor of one holds the other too."""
        if self.graph.is_constant(source):
            self.set(source, self.plain(source))
        for (name, dtype), there in list(self._tensors.items()):
            if name == source:
                for order, tensor in there.items():
                    self._keep(value, dtype, tuple(list(perm).index(axis) for axis in order), tensor)

    def get(self, value: str, dtype: str | None = None, order: Sequence[int] | None = None) -> Tensor:
        """The tensor that holds a value.

        Args:
            value: name in the graph.
            dtype: a dtype of ONNX; default: the one to compute in.
            order: of its axes; default: any that is there.
        """
        dtype = dtype or self.computed(value)
        if self.graph.is_constant(value):
            return self._constant(value, dtype, order)
        there = self._tensors.get((value, dtype)) or self._convert(value, dtype)
        if order is None:
            order, name = next(iter(there.items()))
            return Tensor(name, order)
        order = tuple(order)
        if order not in there:
            have, name = next(iter(there.items()))
            self._keep(value, dtype, order, self.lay_out(name, self.types[value], have, order))
        return Tensor(self._tensors[value, dtype][order], order)

    def has(self, value: str, dtype: str) -> bool:
        """Whether a value is there in a dtype, so that :meth:`get` need not convert it."""
        return (value, dtype) in self._tensors

    def plain(self, value: str, dtype: str | None = None) -> str:
        """The name of the tensor that holds a value with its axes as in the graph."""
        return self.get(value, dtype, range(len(self.types[value].shape))).name

    def order(self, value: str) -> Order:
        """An order in which a value is there."""
        rank = len(self.types[value].shape)
        for (name, _), there in self._tensors.items():
            if name == value:
                return next(iter(there))
        return tuple(range(rank))

    def _keep(self, value: str, dtype: str, order: Order, tensor: str) -> None:
        self._tensors.setdefault((value, dtype), {})[order] = tensor

    def _convert(self, value: str, dtype: str) -> dict[Order, str]:
        """The tensors of a value in another dtype, from one it is there in."""
        if dtype == "float32" and not self.has(value, self.stored(value)) and self.has(value, SUMS):
            self._convert(value, "int32")
        dtypes = [given for name, given in self._tensors if name == value]
        source = next((d for d in (self.stored(value), "float32") if d in dtypes), dtypes[0])
        for order, name in list(self._tensors[value, source].items())[:1]:
            self._keep(value, dtype, order, self.emit("Cast", name, to=dtype))
        return self._tensors[value, dtype]

    def _constant(self, value: str, dtype: str, order: Sequence[int] | None) -> Tensor:
        array = self.graph.tensors[value]
        order = tuple(range(array.ndim) if order is None else order)
        array = array.transpose(order)
        if array.dtype in (np.int8, np.uint8) and dtype == "float32":
            return Tensor(self.codes(array, value in self.graph.bits), order)
        return Tensor(self.constant(array, dtype), order)

    def lay_out(self, name: str, given: TensorType, have: Order, want: Order) -> str:
        """A tensor with its axes moved from order ``have`` to ``want``; a reshape where only axes of size 1 move."""
        perm = [have.index(axis) for axis in want]
        moved = [position for position in perm if given.shape[have[position]] != 1]
        if moved == sorted(moved):
            return self.shapes.reshape(name, [given.shape[a] for a in have], [given.shape[a] for a in want])
        return self.emit("Transpose", name, perm=perm)

    # Elementwise

    def common_order(self, *values: str) -> Order:
        """An order for a result of elementwise work on values: that of the one which is dearest to move."""
        rank = max(len(self.types[value].shape) for value in values)
        full = [v for v in values if len(self.types[v].shape) == rank and not self.graph.is_constant(v)]
        if not full:
            return tuple(range(rank))
        return self.order(max(full, key=lambda v: _size(self.types[v].shape)))

    def operands(self, values: Sequence[str], order: Order, dtype: str | None = None) -> list[str]:
        """Tensors that hold values, ready to be broadcast together; their result is in ``order``."""
        full = any(len(self.types[v].shape) == len(order) for v in values if not self.graph.is_constant(v))
        return [self.operand(value, order, dtype, whole=not full) for value in values]

    def operand(self, value: str, order: Order, dtype: str | None = None, *, whole: bool = True) -> str:
        """A tensor that holds a value of the same or a lower rank, ready for broadcasting with tensors in ``order``.

        Not ``whole``: leading axes of size 1 of a constant may be left out.
        """
        rank, shape = len(order), self.types[value].shape
        missing = rank - len(shape)
        if self.graph.is_constant(value):
            array = self.graph.tensors[value]
            array = array.reshape((1,) * missing + array.shape).transpose(order)
            while array.ndim and array.shape[0] == 1 and not whole:
                array = array.reshape(array.shape[1:])
            dtype = dtype or self.computed(value)
            if array.dtype in (np.int8, np.uint8) and dtype == "float32":
                return self.codes(array, value in self.graph.bits)
            return self.constant(array, dtype)
        if not missing:
            return self.get(value, dtype, order).name
        name = self.plain(value, dtype)
        if order == tuple(range(rank)):
            return name
        wide: tuple[dims.Dim, ...] = (1,) * missing + shape
        name = self.shapes.reshape(name, shape, wide)
        return self.lay_out(name, TensorType("float32", wide), tuple(range(rank)), order)

    def channels(self, vector: np.ndarray, order: Order) -> str:
        """A constant with one entry a channel (or one for all), ready for broadcasting with a tensor in ``order``."""
        if vector.size == 1:
            return self.constant(vector.reshape(()))
        return self.constant(vector.reshape(-1, *[1] * _axes_after_channels(order)))

    def channel_vector(self, value: str, order: Order) -> str:
        """A vector of the graph, ready like :meth:`channels`."""
        if self.graph.is_constant(value):
            return self.channels(self.graph.tensors[value], order)
        size = self.types[value].shape
        return self.shapes.reshape(self.plain(value), size, (*size, *[1] * _axes_after_channels(order)))


def _axes_after_channels(order: Order) -> int:
    return len(order) - 1 - order.index(len(order) - 1)


def _size(shape: Sequence[dims.Dim]) -> int:
    return dims.parse(dims.product(shape))[0]
