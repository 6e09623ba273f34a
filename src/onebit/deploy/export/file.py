"""A graph as an ONNX file with standard operators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onebit.core.errors import require
from onebit.core.files import write_bytes
from onebit.deploy.export.exporter import Exporter, Operation
from onebit.deploy.export.rules import onnx_rules
from onebit.ir import Graph

OPSET = 17
OPSETS = range(17, 24)
NEXT = "_next"


def to_onnx(graph: Graph, path: str | Path, *, opset: int = OPSET) -> Path:
    """Write a graph as one ONNX file of standard operators, checked before it takes its name.

    Images are channels second in the file, as everywhere in ONNX; a network of convolutions needs no transposes. Bits
    are floats of -1 and +1 while they are computed with, and 8-bit integers in the weights and where they are inputs or
    outputs. Sums of integers are exact: they are float sums below 2^24, written as int32 before they are scaled, so
    that no runtime folds a scale into the weights; wider sums are put together from several.

    What is exact: everything but float sums, which a runtime may add up in another order, and ``exp``, ``tanh``,
    ``erf`` and ``sigmoid``, which each runtime computes in its own way. ``reduce``, ``layer_norm`` and ``avg_pool``
    over small windows are exact, too, where bits or integer codes depend on them: their order is written out.
    ``conv``, ``linear`` and ``matmul`` of floats and ``softmax`` never are. NaN is lost by ``max_pool`` and by
    ``max`` and ``min`` of ``reduce`` in ONNX Runtime; the standard leaves it open.

    States become further inputs, with their initial value as default, and further outputs, named ``..._next``. The
    metadata of the file hold ``class_names``, ``mean``, ``std`` and ``producer`` of the graph (lists as JSON), and
    what :func:`onebit.capture.from_onnx` needs to read the same graph back: ``states`` and ``bits``.

    Args:
        graph: any valid graph; one that is not to be packed may hold ``batch_norm``.
        path: the file; whole or not there.
        opset: version of the operators, 17 to 23. Default 17, the first with ``LayerNormalization``: ONNX Runtime reads
            it from 1.12 (2022) on, and every other runtime that is kept up does.

    Returns:
        ``path``.

    Raises:
        ValueError: the graph is not valid, or ``opset`` is none of those.
        Unsupported: limits or integer weights that are computed in the graph; the text says where and what to do.

    Example:
        >>> import numpy as np, onnxruntime, tempfile
        >>> from onebit.ir import TensorType
        >>> graph = Graph({"x": TensorType("float32", ("batch", 2))})
        >>> weight = graph.constant(np.int8([[1, -1], [1, 1], [-1, 1]]), bit=True)
        >>> graph.outputs = [graph.add("linear", graph.add("sign", "x"), weight)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = to_onnx(graph, Path(folder) / "small.onnx")
        ...     session = onnxruntime.InferenceSession(path)
        >>> session.run(None, {"x": np.float32([[0.5, -3.0]])})
        [array([[ 2,  0, -2]], dtype=int32)]
    """
    if isinstance(opset, bool) or opset not in OPSETS:
        raise ValueError(f"opset must be {OPSETS[0]}..{OPSETS[-1]}, got {opset!r}")
    exporter = Exporter(graph, onnx_rules, opset)
    exporter.walk()
    write_bytes(path, model(exporter, {"": opset}).SerializeToString())
    return Path(path)


def model(exporter: Exporter, opsets: dict[str, int]) -> Any:
    """The ``onnx.ModelProto`` of a walk that is done, checked.

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
        [_node(onnx, operation, number, exporter.called) for number, operation in enumerate(exporter.operations)],
        "onebit",
        [info(name, name) for name in (*graph.inputs, *graph.states)],
        [info(tensor, value) for tensor, value in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in exporter.initializers.items()]
        + [onnx.numpy_helper.from_array(graph.tensors[name], name) for name in graph.states],
    )
    from onebit import __version__

    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    made = helper.make_model(
        body,
        opset_imports=imports,
        ir_version=helper.find_min_ir_version_for(imports, ignore_unknown=True),  # what older runtimes read, too
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
        exporter.call(exporter.plain(value, exporter.stored(value)), name)
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


def _node(onnx: Any, operation: Operation, number: int, called: Mapping[str, str]) -> Any:
    attributes = dict(operation.attributes)
    if operation.op == "Cast":
        attributes["to"] = _element(onnx, attributes["to"])
    where = f"{operation.path}/" if operation.path else ""
    return onnx.helper.make_node(
        operation.op,
        [called.get(name, name) for name in operation.inputs],
        [called.get(name, name) for name in operation.outputs],
        name=f"{where}{operation.op}_{number}",
        domain=operation.domain or None,
        **attributes,
    )
