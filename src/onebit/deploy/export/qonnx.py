"""A graph as a QONNX file: bits as ``BipolarQuant`` nodes, integer codes as ``Quant`` nodes, all carried by floats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onebit.core.errors import require
from onebit.core.files import write_bytes
from onebit.deploy.export.exporter import SUMS, Exporter, Order
from onebit.deploy.export.file import OPSET, model
from onebit.deploy.export.qonnx_rules import DOMAIN, bipolar, qonnx_rules, quant
from onebit.ir import Graph, Node
from onebit.ir import dim as dims
from onebit.ir.types import TensorType


def to_qonnx(graph: Graph, path: str | Path, *, sizes: Mapping[str, int] | None = None) -> Path:
    """Write ``graph`` as a QONNX file, the format of FINN, hls4ml and others for networks of few bits [Pappalardo2022].

    A bit is made by ``BipolarQuant(x, 1)``, which is +1 where ``x >= 0`` (both zeros) and -1 elsewhere (NaN): the
    definition of ``sign``. Weights of one bit are float initializers behind a ``BipolarQuant``, integer weights behind
    a ``Quant`` of as few bits as they need. ``quantize`` is ``x / scale``, then ``Quant`` with scale 1, so that layers
    multiply integer codes and their sums are exact; only a NaN, which is the zero point in the graph, stays one. The
    other kinds are those of :func:`~onebit.deploy.export.to_onnx`.

    Args:
        graph: what ``passes.optimize`` gave, or any valid graph.
        path: the file; whole or not there.
        sizes: what the symbols of the graph become, as the executor of QONNX takes no other shapes than those of the
            file; those that are not given become 1.

    Returns:
        ``path``.

    Raises:
        Unsupported: a kind without a rule; the text names it and its module.
        ValueError: the graph is not valid, or a size is wrong.

    Example:
        >>> import tempfile
        >>> import onnx
        >>> graph = Graph({"x": TensorType("float32", ("batch", 2))})
        >>> weight = graph.constant(np.int8([[1, -1], [1, 1], [-1, 1]]), bit=True)
        >>> graph.outputs = [graph.add("linear", graph.add("sign", "x"), weight)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model = onnx.load(to_qonnx(graph, Path(folder) / "small.qonnx.onnx", sizes={"batch": 4}))
        >>> [node.op_type for node in model.graph.node]
        ['BipolarQuant', 'BipolarQuant', 'MatMul', 'Cast']
    """
    write_bytes(path, qonnx_model(graph, sizes).SerializeToString())
    return Path(path)


def qonnx_model(graph: Graph, sizes: Mapping[str, int] | None = None) -> Any:
    """The ``onnx.ModelProto`` of :func:`to_qonnx`, with the shapes of all tensors."""
    exporter = QonnxExporter(with_sizes(graph, sizes or {}), qonnx_rules, OPSET)
    exporter.walk()
    made = model(exporter, {"": OPSET, DOMAIN: 1})
    made.graph.value_info.extend(_shapes(made))
    return made


class QonnxExporter(Exporter):
    """The walk of the ONNX export, in which bits, codes and exact sums live in floats."""

    def codes(self, array: np.ndarray, bits: bool) -> str:
        """Constant bits or integer codes: floats behind the node that says how few bits they are."""
        name = self.constant(array, np.float32)
        key = f"{name}: {bits}"
        if key not in self._codes:
            low, high = int(array.min(initial=0)), int(array.max(initial=0))
            self._codes[key] = bipolar(self, name) if bits else quant(self, name, low, high)
        return self._codes[key]

    def _keep(self, value: str, dtype: str, order: Order, tensor: str) -> None:
        super()._keep(value, dtype, order, tensor)
        # Nothing folds factors into weights here, so sums of a product are floats like all others.
        if dtype == SUMS:
            super()._keep(value, "float32", order, tensor)

    def _convert(self, value: str, dtype: str) -> dict[Order, str]:
        if not self.has(value, self.stored(value)) and self.has(value, "float32"):
            order, name = next(iter(self._tensors[value, "float32"].items()))
            self._keep(value, dtype, order, self.emit("Cast", name, to=dtype))
            return self._tensors[value, dtype]
        made = super()._convert(value, dtype)
        if dtype == "float32":
            order, name = next(iter(made.items()))
            given = self.types[value].dtype
            if given in ("bit", "int8", "uint8"):
                limits = np.iinfo(self.stored(value))
                made[order] = bipolar(self, name) if given == "bit" else quant(self, name, limits.min, limits.max)
        return made


def with_sizes(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph with integers for its symbols: those of ``sizes``, 1 for the others."""
    symbols = {symbol for given in graph.inputs.values() for symbol in dims.symbols_of(given[1])}
    for name, size in sizes.items():
        if name not in symbols:
            raise ValueError(
                f"sizes must name symbols of the graph ({', '.join(sorted(symbols)) or 'none'}), got {name!r}"
            )
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"sizes[{name!r}] must be an integer of 1 or more, got {size!r}")
    values = dict.fromkeys(symbols, 1) | dict(sizes)
    fixed = graph.copy()
    fixed.inputs = {
        name: TensorType(given[0], tuple(dims.evaluate(dim, values) for dim in given[1]))
        for name, given in graph.inputs.items()
    }
    fixed.nodes = [
        Node(
            node.kind,
            node.inputs,
            node.outputs,
            node.attributes | {"shape": [dims.evaluate(dim, values) for dim in node.attributes["shape"]]},
            node.path,
        )
        if "shape" in node.attributes
        else node
        for node in graph.nodes
    ]
    return fixed


def _shapes(made: Any) -> list[Any]:
    """Types of all tensors inside a model: ONNX infers those of a copy whose quantizers are identities."""
    onnx = require("onnx", "train", "exporting QONNX")
    plain = onnx.ModelProto()
    plain.CopyFrom(made)
    for node in plain.graph.node:
        if node.domain == DOMAIN:
            node.domain, node.op_type = "", "Identity"
            del node.input[1:], node.attribute[:]
    return list(onnx.shape_inference.infer_shapes(plain, check_type=True, strict_mode=True).graph.value_info)
