"""A graph as an ONNX file with standard operators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onebit.core.errors import require
from onebit.core.files import write_bytes
from onebit.deploy.export.exporter import Exporter, Operation
from onebit.deploy.export.rules import onnx_rules
from onebit.ir import Graph

OPSET = 17
OPSETS = range(17, 24)
IR_VERSION = 8
NEXT = "_next"


def to_onnx(graph: Graph, path: str | Path, *, opset: int = OPSET) -> Path:
    """Write ``graph`` as an ONNX file of standard operators."""
    if opset not in OPSETS:
        raise ValueError(f"opset must be {OPSETS[0]}..{OPSETS[-1]}, got {opset!r}")
    exporter = Exporter(graph, onnx_rules, opset)
    exporter.walk()
    write_bytes(path, model(exporter, {"": opset}).SerializeToString())
    return Path(path)


def model(exporter: Exporter, opsets: dict[str, int]) -> Any:
    """The ``onnx.ModelProto`` of a walk that is done.

    Args:
        exporter: after :meth:`Exporter.walk`.
        opsets: domain -> version.
    """
    onnx = require("onnx", "train", "exporting ONNX")
    helper = onnx.helper
    graph = exporter.graph
    outputs = _outputs(exporter)

    def info(tensor: str, value: str) -> Any:
        return helper.make_tensor_value_info(
            tensor, _element(onnx, exporter.stored(value)), list(exporter.types[value].shape)
        )

    body = helper.make_graph(
        [_node(onnx, operation, number) for number, operation in enumerate(exporter.operations)],
        "onebit",
        [info(name, name) for name in (*graph.inputs, *graph.states)],
        [info(tensor, value) for tensor, value in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in exporter.initializers.items()]
        + [onnx.numpy_helper.from_array(graph.tensors[name], name) for name in graph.states],
    )
    from onebit import __version__

    made = helper.make_model(
        body,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets.items()],
        ir_version=IR_VERSION,
        producer_name="onebit",
        producer_version=__version__,
    )
    helper.set_model_props(made, _properties(exporter, outputs))
    onnx.checker.check_model(made, full_check=True)
    return made


def _outputs(exporter: Exporter) -> list[tuple[str, str]]:
    """Tensors and values of the outputs, then of the next states; every output is a tensor of its own."""
    graph = exporter.graph
    taken = {*graph.inputs, *graph.states}
    found = []
    states = [(f"{name}{NEXT}", value) for name, value in graph.states.items()]
    for wanted, value in [*zip(graph.outputs, graph.outputs), *states]:
        name = wanted if wanted not in taken else exporter.fresh(wanted)
        taken.add(name)
        exporter.emit("Identity", exporter.plain(value, exporter.stored(value)), output=name)
        found.append((name, value))
    return found


def _properties(exporter: Exporter, outputs: list[tuple[str, str]]) -> dict[str, str]:
    """The metadata of the model: what a packed file holds too, the states, and what is bits."""
    graph = exporter.graph
    found = {key: value if isinstance(value, str) else json.dumps(value) for key, value in graph.meta.items()}
    if graph.states:
        found["states"] = json.dumps(dict(zip(graph.states, [name for name, _ in outputs[len(graph.outputs) :]])))
    bits = [name for name in (*graph.inputs, *graph.states) if exporter.types[name].dtype == "bit"]
    bits += [name for name, value in outputs if exporter.types[value].dtype == "bit"]
    if bits:
        found["bits"] = json.dumps(bits)
    return found


def _element(onnx: Any, dtype: str) -> int:
    return {"float32": onnx.TensorProto.FLOAT}.get(dtype) or getattr(onnx.TensorProto, dtype.upper())


def _node(onnx: Any, operation: Operation, number: int) -> Any:
    attributes = dict(operation.attributes)
    if operation.op == "Cast":
        attributes["to"] = _element(onnx, attributes["to"])
    where = f"{operation.path}/" if operation.path else ""
    return onnx.helper.make_node(
        operation.op,
        list(operation.inputs),
        list(operation.outputs),
        name=f"{where}{operation.op}_{number}",
        domain=operation.domain or None,
        **attributes,
    )
