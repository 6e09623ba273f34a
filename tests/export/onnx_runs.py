"""Graphs run in ONNX Runtime, and how far each node's result may be from the interpreter's."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

from onebit.deploy.export import Exporter, onnx_rules
from onebit.deploy.export.deciding import deciding
from onebit.deploy.export.file import OPSET, model
from onebit.deploy.export.rules.pooling import MOST_TAPS
from onebit.ir import Graph, Node, registry
from onebit.ir import dim as dims

onnxruntime.set_default_logger_severity(4)
U = 2.0**-24  # half the distance from 1 to the next float32
TINY = 2.0**-126  # below it, a result may lose everything
SUMS = {"conv", "linear", "matmul", "avg_pool"}
FUNCTIONS = {"exp", "tanh", "erf", "sigmoid"}


def exported(graph: Graph, opset: int = OPSET) -> onnx.ModelProto:
    """The model of a graph, which passes the checker and strict shape inference."""
    exporter = Exporter(graph, onnx_rules, opset)
    exporter.walk()
    made = model(exporter, {"": opset})
    onnx.checker.check_model(made, full_check=True)
    onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True, data_prop=True)
    return made


def session(made: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """ONNX Runtime as it comes, graph optimizations on, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(graph: Graph, *inputs: np.ndarray, opset: int = OPSET) -> list[np.ndarray]:
    """The outputs in ONNX Runtime."""
    return session(exported(graph, opset)).run(None, dict(zip(graph.inputs, inputs)))


def evaluate(graph: Graph, *inputs: np.ndarray) -> list[np.ndarray]:
    """The outputs in the reference evaluator of the onnx package, which follows the text of the standard."""
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(exported(graph)).run(None, dict(zip(graph.inputs, inputs)))


def check_nodes(graph: Graph, inputs: list[np.ndarray], results: list[np.ndarray]) -> None:
    """Asserts that each node's result follows from the results that it read, as the interpreter computes it.

    Args:
        graph: its outputs are all its nodes.
        inputs: of the run.
        results: what another program made of every node.
    """
    types = graph.types()
    written_out = deciding(graph, types)
    values = {**graph.tensors, **dict(zip(graph.inputs, inputs)), **dict(zip(graph.outputs, results))}
    symbols: dict[str, int] = {}
    for name, array in zip(graph.inputs, inputs):
        for dim, size in zip(types[name].shape, array.shape):
            dims.bind(dim, size, symbols)
    for node in graph.nodes:
        kind = registry[node.kind]
        attributes = kind.complete(node.attributes)
        shape = tuple(dims.evaluate(dim, symbols) for dim in types[node.output].shape)
        read = [values[name] for name in node.inputs]
        with np.errstate(all="ignore"):
            want = np.asarray(kind.run(attributes, shape, *read))
            ordered = node.output in written_out and has_one_order(node, read[0].shape, types[node.inputs[0]].shape)
            room = 0.0 if ordered else allowed(node, attributes, shape, read, want)
        got = values[node.output]
        where = f"{node.kind} {node.attributes} of {[str(types[name]) for name in node.inputs]}"
        assert got.dtype == want.dtype, where
        assert got.shape == want.shape, where
        with np.errstate(all="ignore"):
            same = (got == want) | ((got != got) & (want != want))
            close = (np.abs(got.astype(np.float64) - want) <= room) | np.isinf(room)
        assert np.all(same | close), (where, got[~(same | close)][:5], want[~(same | close)][:5])


def has_one_order(node: Node, shape: tuple[int, ...], symbolic: tuple[dims.Dim, ...]) -> bool:
    """Whether a file writes out in which order a node adds up floats that bits depend on."""
    if node.kind == "avg_pool":
        small = math.prod(node.attributes["kernel"]) <= MOST_TAPS and not any(node.attributes.get("padding", ()))
        return small and all(isinstance(size, int) for size in symbolic[1:3])
    if node.kind not in ("reduce", "layer_norm") or not isinstance(symbolic[-1], int):
        return False
    return node.attributes["op"] in ("sum", "mean") if node.kind == "reduce" else shape[-1] > 1


def allowed(node: Node, attributes: dict, shape: tuple[int, ...], read: list[np.ndarray], want: np.ndarray):
    """By how much a float result may differ: 0 where both programs must do the same operations.

    A sum of n products in any order, each step rounded once (or a product and a sum together), is within
    ``n u / (1 - n u)`` times the sum of the absolute products of the exact one; the two programs are each that close,
    hence the factors of 2. Where that sum is not finite, or near the largest float, the order decides what overflows:
    anything goes. ONNX leaves open what becomes of NaN in a maximum, so that anything goes there, too.
    """
    kind = node.kind
    if want.dtype != np.float32:
        return 0.0
    if kind in SUMS:
        taps = {"linear": lambda: read[1].shape[1], "matmul": lambda: read[0].shape[-1]}.get(
            kind, lambda: int(np.prod(attributes["kernel"] if kind == "avg_pool" else read[1].shape[1:]))
        )()
        padded = {**attributes, "pad_value": abs(attributes["pad_value"])} if kind == "conv" else attributes
        magnitude = registry[kind].run(padded, shape, *[np.abs(array) for array in read])
        return _room(2 * _gamma(taps + 2) * magnitude.astype(np.float64), magnitude)
    x = read[0].astype(np.float64)
    if kind == "reduce":
        op, size = attributes["op"], read[0].shape[-1]
        if op in ("max", "min"):
            return np.where(np.isnan(want), np.inf, 0.0)
        magnitude = np.abs(x).sum(-1, keepdims=attributes["keepdims"]) / (size if op == "mean" else 1)
        return _room(2 * _gamma(size + 2) * magnitude, magnitude * size)
    if kind == "prelu":  # a zero is not multiplied in ONNX, by an infinite slope neither
        return np.where((x == 0) & np.isnan(want), np.inf, 0.0)
    if kind == "max_pool":  # of minus infinity, the lowest finite float in ONNX Runtime
        return np.where(np.isnan(want) | np.isneginf(want), np.inf, 0.0)
    if kind in FUNCTIONS:
        # Measured on 6 million arguments: exp within 2^-23 and tanh within 2^-21.6 of ours, relative; erf within 2^-23
        # and sigmoid within 2^-22.4, absolute.
        return 2.0**-20 * np.abs(want) + (TINY if kind == "exp" else 2.0**-21)
    if kind == "softmax":
        return np.where(np.isfinite(want), 2 * (2.0**-20 + _gamma(x.shape[-1] + 2)) * np.abs(want) + TINY, np.inf)
    if kind == "layer_norm":
        return _layer_norm(attributes["eps"], *[array.astype(np.float64) for array in read])
    if kind == "batch_norm":
        weight, bias, mean, var = (array.astype(np.float64) for array in read[1:])
        normal = (np.abs(x) + np.abs(mean)) / np.sqrt(var + attributes["eps"])
        magnitude = normal * np.abs(weight) + np.abs(bias)
        return _room(8 * U * magnitude, magnitude + normal)  # three roundings to the scale, and four with it
    return 0.0


def _gamma(n: int) -> float:
    return n * U / (1 - n * U)


def _room(bound: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(magnitude) & (magnitude < 1e36), bound + TINY, np.inf)


def _layer_norm(eps: float, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Mean and mean square are sums of C terms; the variance is the mean square less the squared mean in ONNX Runtime,
    which loses what both have in common."""
    lost = 4 * _gamma(x.shape[-1] + 4)
    deviation = np.abs(x - x.mean(-1, keepdims=True))
    variance = x.var(-1, keepdims=True) + eps
    relative = lost * (x * x).mean(-1, keepdims=True) / variance
    shift = lost * np.abs(x).mean(-1, keepdims=True)
    scaled = np.abs(weight) * (shift + deviation * (relative + 8 * U)) / np.sqrt(variance)
    bound = scaled + 8 * U * np.abs(bias) + TINY
    large = ~np.isfinite((x * x).sum(-1, keepdims=True)) | (np.abs(x).max(-1, keepdims=True) > 1e15)
    return np.where((relative < 0.1) & ~large, bound, np.inf)
