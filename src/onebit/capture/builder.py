"""A graph under construction: emits nodes, lays values out, turns constants into tensors of the graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from onebit import ir
from onebit.capture.values import DTYPES, Constant, Expected, Shape, Value, constant
from onebit.core.errors import Unsupported
from onebit.ir import dim as dims
from onebit.ir.kind import registry as kinds
from onebit.ir.types import TensorType

Operand = Value | Constant | float | int | bool


class Builder:
    """A graph under construction; the rules of capture call its methods.

    While a rule runs, ``out`` is what the program expects of its first result, ``outs`` of all, ``path`` the path of
    the module it comes from and ``op`` its operator.
    """

    def __init__(self) -> None:
        self.inputs: dict[str, TensorType] = {}
        self.nodes: list[ir.Node] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.bits: set[str] = set()
        self.trits: set[str] = set()
        self.types: dict[str, TensorType] = {}
        self.outs: list[Expected] = []
        self.path = self.op = ""
        self._known: dict[tuple[str, tuple[int, ...], bytes, int], str] = {}
        self._laid: dict[tuple[str, tuple[int, ...]], Value] = {}
        self._cast: dict[tuple[str, str], Value] = {}

    @property
    def out(self) -> Expected:
        return self.outs[0]

    def unsupported(self, what: str, advice: str) -> Unsupported:
        """The error for something in the current node: names operator and module, and says what to do."""
        where = f"module {self.path!r}" if self.path else "the model's own forward"
        return Unsupported(f"{self.op} in {where}: {what}; {advice}")

    # values

    def input(self, name: str, dtype: torch.dtype, shape: Shape) -> Value:
        """An input of the graph."""
        self.inputs[name] = self.types[name] = TensorType(DTYPES[dtype], shape)
        return Value(name, DTYPES[dtype], shape, tuple(range(len(shape))))

    def emit(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        entry = kinds[kind]
        try:
            inferred = entry.infer(entry.complete(attributes), *[self.types[name] for name in inputs])
        except ValueError as error:
            raise self.unsupported(f"the graph cannot hold it ({kind}: {error})", "change that layer") from error
        name = self._fresh("v", len(self.nodes))
        self.types[name] = inferred
        self.nodes.append(ir.Node(kind, inputs, (name,), attributes, self.path))
        return name

    def producer(self, name: str) -> ir.Node | None:
        """The node that makes the value called ``name``, or None for inputs and constants."""
        return next((node for node in reversed(self.nodes) if node.outputs[0] == name), None)

    def value(self, name: str, order: Sequence[int] | None = None) -> Value:
        """The value called ``name``, laid out by ``order`` (default: as in PyTorch)."""
        dtype, laid_out = self.types[name]
        order = tuple(range(len(laid_out)) if order is None else order)
        shape: list[dims.Dim] = [0] * len(order)
        for size, axis in zip(laid_out, order):
            shape[axis] = size
        return Value(name, dtype, tuple(shape), order)

    def tensor(self, array: np.ndarray, *, dtype: str | None = None, source: torch.Tensor | None = None) -> str:
        """The name of a constant with these contents, which is kept once; ``dtype``: bit or ternary, of int8.

        Vectors of different ``source`` are kept apart: those of layers that have not been trained are equal by chance.
        """
        array = np.ascontiguousarray(array).reshape(array.shape)  # a scalar stays one
        apart = source is not None and array.ndim == 1 and array.size > 1
        key = (
            dtype or array.dtype.name,
            array.shape,
            array.tobytes(),
            source.data_ptr() if source is not None and apart else 0,
        )
        if key not in self._known:
            name = self._known[key] = self._fresh("w", len(self._known))
            self.tensors[name] = array
            self.types[name] = TensorType(key[0], array.shape)
            if dtype == "bit":
                self.bits.add(name)
            if dtype == "ternary":
                self.trits.add(name)
        return self._known[key]

    def _fresh(self, stem: str, number: int) -> str:
        """A short name that nothing has."""
        name = f"{stem}{number}"
        while name in self.types:
            name += "_"
        return name

    # layouts and dtypes

    def lay_out(self, x: Value, order: Sequence[int] | None = None) -> Value:
        """``x`` laid out by ``order`` (default: as in PyTorch)."""
        order = tuple(range(len(x.shape)) if order is None else order)
        if order == x.order:
            return x
        key = (x.name, (*x.order, -1, *order))
        if key not in self._laid:
            perm = [x.order.index(axis) for axis in order]
            moved = [position for position in perm if x.laid_out[position] != 1]
            if moved == sorted(moved):
                name = self.emit("reshape", x.name, shape=[x.shape[axis] for axis in order])
            else:
                name = self.emit("transpose", x.name, perm=perm)
            self._laid[key] = self.value(name, order)
        return self._laid[key]

    def channels_last(self, x: Value, axis: int = 1) -> Value:
        """``x`` with ``axis`` last and the others in order."""
        return self.lay_out(x, [*(a for a in range(len(x.shape)) if a != axis), axis])

    def as_dtype(self, x: Value, dtype: str) -> Value:
        """``x`` in another dtype of the graph."""
        if x.dtype == dtype:
            return x
        key = (x.name, dtype)
        if key not in self._cast:
            self._cast[key] = self.value(self.emit("cast", x.name, dtype=dtype), x.order)
        cast = self._cast[key]
        return Value(cast.name, dtype, x.shape, x.order)

    def materialize(self, x: Operand, dtype: str | None = None) -> Value:
        """A constant or number as a value of the graph, with all of its shape; values as they are."""
        if not isinstance(x, Value):
            x = x if isinstance(x, Constant) else constant(torch.tensor(x))
            if x.counts:
                raise self.unsupported("it needs the numbers 0, 1, ... up to a dynamic size", "make that size static")
            name = self.tensor(to_numpy(x.tensor, dtype))
            if x.spread:
                name = self.emit("broadcast_to", name, shape=x.shape)
            return self.value(name)
        return x if dtype is None else self.as_dtype(x, dtype)

    def floats(self, x: Operand) -> Value:
        """``x`` as a float32 value of the graph."""
        return self.materialize(x, "float32")

    def vector(self, x: Operand) -> str:
        """A float32 constant of shape ``(n)`` from one with ``n`` entries in any shape."""
        if isinstance(x, Value):
            raise self.unsupported("a parameter is computed from the input", "make it a constant in evaluation mode")
        array = to_numpy(x.tensor if isinstance(x, Constant) else torch.tensor(x), "float32").reshape(-1)
        return self.tensor(array, source=x.tensor if isinstance(x, Constant) else None)

    # elementwise

    def operand(self, x: Operand, order: tuple[int, ...], dtype: str) -> str:
        """The name of ``x`` as an operand of an elementwise kind whose result is laid out by ``order``."""
        rank = len(order)
        if isinstance(x, Value):
            x = self.as_dtype(x, dtype)
            if len(x.shape) < rank:
                shape = (*[1] * (rank - len(x.shape)), *x.shape)
                x = self.value(self.emit("reshape", self.lay_out(x).name, shape=shape))
            return self.lay_out(x, order).name
        if isinstance(x, Constant) and x.counts:
            return self.materialize(x).name
        tensor = x.tensor if isinstance(x, Constant) else torch.tensor(x)
        tensor = tensor.reshape([1] * (rank - tensor.dim()) + list(tensor.shape)).permute(order)
        sizes = list(tensor.shape)
        while len(sizes) > 1 and sizes[0] == 1:
            sizes.pop(0)
        return self.tensor(to_numpy(tensor.reshape(sizes), dtype), source=tensor)

    def elementwise(self, kind: str, *operands: Operand, dtypes: Sequence[str], **attributes: Any) -> Value:
        """An elementwise kind with broadcasting, in the layout of the operand that moves most."""
        values = [x for x in operands if isinstance(x, Value)]
        rank = max(len(x.shape) if isinstance(x, (Value, Constant)) else 0 for x in operands)
        full = [x for x in values if len(x.shape) == rank]
        sizes = [math.prod(size if isinstance(size, int) else 1000 for size in x.shape) for x in full]
        order = full[sizes.index(max(sizes))].order if full else tuple(range(rank))
        names = [self.operand(x, order, dtype) for x, dtype in zip(operands, dtypes)]
        if not values:
            names[0] = self.materialize(operands[0], dtypes[0]).name
        shape = dims.broadcast(
            *[(1,) * (rank - len(x.shape)) + x.shape for x in operands if isinstance(x, (Value, Constant))]
        )
        return self.spread(self.value(self.emit(kind, *names, **attributes), order), shape)

    def spread(self, x: Value, shape: Shape) -> Value:
        """``x`` broadcast to ``shape`` of the same rank where that is larger."""
        if x.shape == shape:
            return x
        laid_out = [shape[axis] for axis in x.order]
        return self.value(self.emit("broadcast_to", x.name, shape=laid_out), x.order)

    def arithmetic(self, kind: str, *operands: Operand) -> Value:
        """``add``, ``sub``, ``mul``, ... of two operands in float32, or in int64 where the program expects integers."""
        dtype = "float32" if not self.outs or self.out.floating else "int64"
        return self.elementwise(kind, *operands, dtypes=[dtype] * len(operands))

    def float_op(self, kind: str, *operands: Operand, **attributes: Any) -> Value:
        """An elementwise kind on float32."""
        return self.elementwise(kind, *operands, dtypes=["float32"] * len(operands), **attributes)

    # shapes

    def reshape(self, x: Value, shape: Shape) -> Value:
        """``x`` in another shape, row-major in PyTorch's order of axes."""
        x = self.lay_out(x)
        return x if x.shape == tuple(shape) else self.value(self.emit("reshape", x.name, shape=list(shape)))

    def permute(self, x: Value, perm: Sequence[int]) -> Value:
        """``x.permute(perm)``, which moves nothing in the graph."""
        where = [list(perm).index(axis) for axis in range(len(perm))]
        return Value(x.name, x.dtype, tuple(x.shape[axis] for axis in perm), tuple(where[axis] for axis in x.order))

    def slice(self, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
        """``x[start:stop:step]`` along ``axis``; bounds lie in 0..size."""
        if start == 0 and step == 1 and stop == x.shape[axis]:
            return x
        name = self.emit("slice", x.name, axis=x.order.index(axis), start=start, stop=stop, step=step)
        return self.value(name, x.order)

    def squeeze(self, x: Value, axes: Sequence[int]) -> Value:
        """``x`` without these axes, all of size 1."""
        if not axes:
            return x
        kept = [axis for axis in range(len(x.shape)) if axis not in axes]
        order = [axis for axis in x.order if axis in kept]
        name = self.emit("reshape", x.name, shape=[x.shape[axis] for axis in order])
        return self.value(name, [kept.index(axis) for axis in order])

    def unsqueeze(self, x: Value, axis: int) -> Value:
        """``x`` with an axis of size 1 before ``axis``."""
        order = [other + (other >= axis) for other in x.order]
        plain = x.order == tuple(range(len(x.shape)))
        order.insert(axis if plain else 0, axis)
        shape = [*x.shape[:axis], 1, *x.shape[axis:]]
        return self.value(self.emit("reshape", x.name, shape=[shape[a] for a in order]), order)

    def finish(self, outputs: list[str], meta: dict[str, Any]) -> ir.Graph:
        """The graph, without what no output needs."""
        needed, nodes = set(outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                nodes.append(node)
        tensors = {name: array for name, array in self.tensors.items() if name in needed}
        graph = ir.Graph(
            inputs=self.inputs,
            outputs=outputs,
            nodes=nodes[::-1],
            tensors=tensors,
            bits=self.bits & set(tensors),
            states={},
            meta=meta,
            trits=self.trits & set(tensors),
        )
        graph.types()
        return graph


Rule = Callable[..., Any]


def to_numpy(tensor: torch.Tensor, dtype: str | None = None) -> np.ndarray:
    """A tensor as an array in a dtype of the graph (default: the one that stands for the tensor's)."""
    dtype = dtype or DTYPES.get(tensor.dtype)
    if dtype is None:
        raise Unsupported(f"a constant has dtype {tensor.dtype}, which the graph does not have; cast it")
    kind = {"bit": torch.int8, "ternary": torch.int8}.get(dtype) or getattr(torch, dtype)
    return tensor.detach().to(kind).cpu().contiguous().numpy()
