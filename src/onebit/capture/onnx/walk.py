"""The walk through an ONNX file that builds its graph."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from onebit import ir
from onebit.capture.builder import Builder
from onebit.capture.onnx import file, fold
from onebit.capture.onnx.call import Call, Known, Running
from onebit.capture.onnx.rules import rules
from onebit.capture.values import Constant, Expected, Value
from onebit.core.errors import Unsupported
from onebit.ir import dim as dims
from onebit.ir.types import TensorType, is_bits

OLDEST = 7
TORCH = {name: getattr(torch, name) for name in file.DTYPES}


def from_onnx(path: str | Path) -> ir.Graph:
    """The graph of an ONNX file.

    Standard operators only (opset 7 or newer, float32). A file of :func:`onebit.deploy.export.to_onnx` gives back a
    graph with the same outputs to the bit. In others, too, bits and integers are found where they are: a sign written
    as a comparison and a selection of -1 and +1, weights of -1 and +1, integer codes that were cast to float.

    Args:
        path: of one file that holds its weights itself.

    Returns:
        A graph with the inputs and outputs of the file, images inside channels last. Not optimized: see
        :func:`onebit.ir.passes.optimize`. Dynamic sizes keep their names.

    Raises:
        ValueError: no ONNX file, or one that is damaged.
        Unsupported: an operator, dtype or size that the graph cannot hold; names the node and says what to do.

    Example:
        >>> import tempfile
        >>> from onnx import TensorProto, helper
        >>> x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 3]) for name in "xy")
        >>> body = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "small", [x], [y])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "small.onnx"
        ...     opset = helper.make_opsetid("", 17)
        ...     _ = path.write_bytes(helper.make_model(body, opset_imports=[opset]).SerializeToString())
        ...     graph = from_onnx(path)
        >>> str(graph.inputs["x"]), [node.kind for node in graph.nodes]
        ('float32 (rows, 3)', ['relu'])
    """
    return Walk(file.read_model(path)).graph()


class Walk:
    """One walk through a checked model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.builder = Builder()
        self.known: dict[str, Known] = {}
        self.symbols: dict[str, str] = {}
        self.meta, self.states, self.bits = file.meta(model)
        self.opset = file.opset(model)
        if self.opset < OLDEST:
            raise Unsupported(f"the file has opset {self.opset}: convert it to {OLDEST} or newer with onnx")

    def graph(self) -> ir.Graph:
        """The graph of the model."""
        body = self.model.graph
        initial = {tensor.name: file.array(tensor) for tensor in body.initializer}
        outputs = {entry.name for entry in body.output}
        inputs = {entry.name for entry in body.input}
        self.states = {
            name: output
            for name, output in self.states.items()
            if name in initial and name in inputs and output in outputs
        }
        for entry in body.input:
            if entry.name not in initial:
                self._input(entry)
            elif entry.name in self.states:
                self._state(entry.name, initial.pop(entry.name))
        for name, array in initial.items():
            if name not in self.known:
                self.known[name] = Known(array, array.dtype.name)
        for node in body.node:
            self._node(node)
        results = {entry.name: self._output(entry.name) for entry in body.output}
        following = set(self.states.values())
        names = [name for output, name in results.items() if output not in following]
        graph = self.builder.finish([*results.values()], self.meta)
        graph.outputs = names
        for state, output in self.states.items():
            graph.tensors[state] = self.builder.tensors[state]
            graph.states[state] = results[output]
            if state in self.builder.bits:
                graph.bits.add(state)
        graph.types()
        return graph

    # Inputs and outputs

    def _input(self, entry: Any) -> None:
        tensor = entry.type.tensor_type
        try:
            if not entry.type.HasField("tensor_type") or not tensor.HasField("shape"):
                raise Unsupported("it is no tensor of known rank; give it a shape")
            dtype = file.dtype(tensor.elem_type)
            shape = [self._size(entry.name, axis, size) for axis, size in enumerate(tensor.shape.dim)]
            value = self.builder.input(entry.name, TORCH[dtype], tuple(shape))
        except ValueError as error:
            raise type(error)(f"input {entry.name!r}: {error}") from None
        if entry.name in self.bits and dtype == "int8":
            given = TensorType("bit", tuple(shape))
            self.builder.inputs[entry.name] = self.builder.types[entry.name] = given
            value = self.builder.value(entry.name)
        self.known[entry.name] = Known(value, dtype)

    def _size(self, name: str, axis: int, size: Any) -> dims.Dim:
        """A dimension of an input; one without a name that can be used gets its own."""
        if size.HasField("dim_value"):
            if size.dim_value < 0:
                raise ValueError(f"axis {axis} has size {size.dim_value}")
            return size.dim_value
        text = size.dim_param or f"{name}_{axis}"
        try:
            if len(dims.parse(text)[1]) == 1:
                return dims.canonical(text)
        except ValueError:
            pass
        if text not in self.symbols:
            plain = re.sub(r"\W", "_", text, flags=re.ASCII) or "size"
            self.symbols[text] = f"{'n' if plain[0].isdigit() else ''}{plain}"[:64]
        return self.symbols[text]

    def _state(self, name: str, array: np.ndarray) -> None:
        bits = name in self.bits and is_bits(array)
        self.builder.tensors[name] = array
        self.builder.types[name] = TensorType("bit" if bits else array.dtype.name, array.shape)
        if bits:
            self.builder.bits.add(name)
        self.known[name] = Known(self.builder.value(name), array.dtype.name)

    def _output(self, name: str) -> str:
        """The value of the graph that an output of the file is, in its dtype."""
        found = self.known[name]
        builder = self.builder
        builder.op, builder.path = "Output", name
        call = Call(builder, "output", name, self.opset, {}, [found])
        value = call.value(0)
        if name in self.bits:
            if value.dtype != "bit":
                value = builder.floats(value)
                value = builder.value(builder.emit("sign", value.name), value.order)
        else:
            value = builder.as_dtype(value, found.dtype)
        return builder.lay_out(value).name

    # Nodes

    def _node(self, node: Any) -> None:
        builder = self.builder
        builder.op, builder.path = node.op_type, node.name
        call = Call(builder, node.op_type, node.name, self.opset, {}, [], len(node.output))
        try:
            call.attributes = {entry.name: _attribute(entry) for entry in node.attribute}
            call.inputs = [self.known[name] if name else None for name in node.input]
            found = self._run(call)
        except Unsupported:
            raise
        except ValueError as error:
            raise ValueError(f"{node.op_type} {node.name!r}: {str(error)[:300]}") from None
        except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError) as error:
            # What a rule takes for granted about a node that the checker let through does not hold.
            raise ValueError(f"{node.op_type} {node.name!r} is malformed: {str(error)[:300]}") from None
        for name, result in zip(node.output, found):
            if name and result is not None:
                self.known[name] = Known(result, call.dtype, call)

    def _run(self, call: Call) -> list[Any]:
        """The results of a node: values of the graph, or arrays."""
        if call.op not in rules and call.op not in fold.folds:
            raise call.unsupported("there is no rule for this operator", "replace it by operators that have one")
        call.dtype = _dtype(call)
        folded = fold.run(call)
        if folded is not None:
            return [folded]
        if call.op not in rules:
            raise call.unsupported("it depends on the input", "make what it computes a constant")
        self.builder.outs = [Expected((), TORCH[call.dtype])]
        result = rules[call.op].rule(call)
        results = list(result) if isinstance(result, (list, tuple)) else [result]
        return [_plain(call, entry) for entry in results]


def _dtype(call: Call) -> str:
    given: Any = rules[call.op].dtype if call.op in rules else 0
    if callable(given):
        return given(call)
    if isinstance(given, int):
        found = call.inputs[given] if given < len(call.inputs) else None
        return call.known(given).dtype if found is None else found.dtype
    return given


def _plain(call: Call, result: Any) -> Any:
    """A result of a rule as it is kept."""
    if isinstance(result, Constant):
        if result.spread or result.counts:
            return call.b.materialize(result)
        return result.tensor.numpy()
    assert result is None or isinstance(result, (Value, np.ndarray, Running))
    return result


def _attribute(entry: Any) -> Any:
    """An attribute in Python's types."""
    import onnx

    value = onnx.helper.get_attribute_value(entry)
    if isinstance(value, onnx.TensorProto):
        return file.array(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (onnx.GraphProto, onnx.SparseTensorProto)):
        raise Unsupported(f"the attribute {entry.name!r} holds a graph of its own or a sparse tensor: unroll it")
    return value if isinstance(value, (int, float)) else list(value)
