"""The other engines: the same float network in PyTorch, in ONNX Runtime, and in its 8-bit integers.

A peer opens a :class:`Workload` and gives a call, or says why it cannot. PyTorch and ONNX Runtime come with the extra
``train``; any other engine is a row where its package is installed and is passed over by name where it is not.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from onebit.core.errors import MissingExtra, require
from onebit.core.registry import Registry

TORCH, ORT, ORT_INT8 = "pytorch_float32", "onnxruntime_float32", "onnxruntime_int8"
LABELS = {
    TORCH: "PyTorch float32",
    ORT: "ONNX Runtime float32",
    ORT_INT8: "ONNX Runtime int8",
    "openvino_float32": "OpenVINO float32",
}
#: Products in integers, as ONNX Runtime names them, by the float operators they come from.
INTEGER_PRODUCTS = {"Conv": ("QLinearConv",), "Gemm": ("QGemm",), "MatMul": ("QLinearMatMul", "MatMulIntegerToFloat")}


class Skipped(Exception):
    """A peer cannot run the workload; the text is the reason."""


@dataclass(frozen=True)
class Workload:
    """A float network to run.

    Args:
        module: gives the network in evaluation mode.
        onnx: the same network as a file.
        input: what it is run on, float32.
        threads: of a run.
    """

    module: Callable[[], Any]
    onnx: Path
    input: np.ndarray
    threads: int = 1


@dataclass(frozen=True)
class Opened:
    """A peer that is ready.

    Args:
        call: one run.
        nodes: of the network as the peer runs it, by kind and number, where it tells.
        path: of the file that it has read.
    """

    call: Callable[[], Any]
    nodes: dict[str, int] = field(default_factory=dict)
    path: Path | None = None


registry: Registry[Callable[[Workload], Opened]] = Registry("peer")


def open_all(workload: Workload, names: Sequence[str] | None = None) -> tuple[dict[str, Opened], dict[str, str]]:
    """The peers that can run ``workload``, and for the others the reason, both by name."""
    opened, skipped = {}, {}
    for name in registry if names is None else names:
        try:
            opened[name] = registry[name](workload)
        except (Skipped, MissingExtra) as reason:
            skipped[name] = str(reason)
    return opened, skipped


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """PyTorch with that many threads and without gradients."""
    torch = require("torch", "train", "timing PyTorch")
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


@registry.register(TORCH)
def pytorch(workload: Workload) -> Opened:
    """The module itself, without gradients; images lie channels last, as PyTorch's documentation advises for speed."""
    torch = require("torch", "train", "timing PyTorch")
    module, x = workload.module(), torch.from_numpy(workload.input)
    if x.ndim == 4:
        module, x = module.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    return Opened(lambda: module(x))


@registry.register(ORT)
def onnxruntime_float(workload: Workload) -> Opened:
    """The file, all graph optimisations on; input and outputs stay where they lay before."""
    return session(workload.onnx, workload.input, workload.threads)


@registry.register(ORT_INT8)
def onnxruntime_int8(workload: Workload) -> Opened:
    """The file in 8-bit integers, prepared as ONNX Runtime's documentation says, see :func:`quantized`.

    Raises:
        Skipped: a product of the network still runs in float afterwards.
    """
    path = quantized(workload.onnx, workload.input)
    opened = session(path, workload.input, workload.threads)
    onnx = require("onnx", "train", "timing ONNX Runtime")
    for kind, count in Counter(node.op_type for node in onnx.load(workload.onnx).graph.node).items():
        found = sum(opened.nodes.get(name, 0) for name in INTEGER_PRODUCTS.get(kind, ()))
        if kind in INTEGER_PRODUCTS and found < count:
            raise Skipped(f"{count - found} of {count} {kind} nodes still run in float: {opened.nodes}")
    return opened


@registry.register("openvino_float32")
def openvino(workload: Workload) -> Opened:
    """The file in OpenVINO's processor plug-in."""
    try:
        import openvino as engine
    except ImportError as error:
        raise Skipped("the package openvino is not installed") from error
    settings = {"INFERENCE_NUM_THREADS": workload.threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = engine.Core().compile_model(str(workload.onnx), "CPU", settings)
    return Opened(lambda: compiled([workload.input]), path=workload.onnx)


def session(path: Path, x: np.ndarray, threads: int) -> Opened:
    """An ONNX file as ONNX Runtime runs it on ``threads`` threads, which rest between runs."""
    runtime = require("onnxruntime", "train", "timing ONNX Runtime")
    onnx = require("onnx", "train", "timing ONNX Runtime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    optimized = path.with_suffix(".optimized")
    options.optimized_model_filepath = str(optimized)
    opened = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    nodes = Counter(node.op_type for node in onnx.load(optimized, load_external_data=False).graph.node)
    optimized.unlink()
    given, made = opened.get_inputs()[0].name, opened.get_outputs()
    results = opened.run(None, {given: x})
    binding = opened.io_binding()
    binding.bind_cpu_input(given, x)
    for output, result in zip(made, results):
        binding.bind_output(output.name, "cpu", 0, result.dtype, result.shape, result.ctypes.data)

    def call() -> list[np.ndarray]:
        opened.run_with_iobinding(binding)
        return results

    return Opened(call, dict(nodes), path)


class _Calibration:
    """Random inputs: what they are decides the scales and nothing about the speed."""

    def __init__(self, name: str, x: np.ndarray) -> None:
        rng = np.random.default_rng(0)
        self.left = [{name: rng.standard_normal(x.shape).astype(np.float32)} for _ in range(2)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self.left.pop() if self.left else None


def quantized(path: Path, x: np.ndarray) -> Path:
    """``path`` in 8-bit integers, beside it: ``quant_pre_process``, then ``quantize_static`` in the QDQ format.

    Activations are uint8, weights int8 with a scale for each channel: what ONNX Runtime's documentation advises for
    processors with instructions for such products. A file that is there already is taken.
    """
    made = path.with_suffix(".int8.onnx")
    if made.exists():
        return made
    runtime = require("onnxruntime", "train", "timing ONNX Runtime")
    tools = require("onnxruntime.quantization", "train", "timing ONNX Runtime")
    shapes = require("onnxruntime.quantization.shape_inference", "train", "timing ONNX Runtime")
    name = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).get_inputs()[0].name
    prepared = path.with_suffix(".prepared.onnx")
    with _quiet():
        shapes.quant_pre_process(str(path), str(prepared))
        tools.quantize_static(
            str(prepared),
            str(made),
            _Calibration(name, x),
            quant_format=tools.QuantFormat.QDQ,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            per_channel=True,
        )
    prepared.unlink()
    return made


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantizer's advice on standard output, its warnings and its log."""
    level = logging.root.manager.disable
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)
