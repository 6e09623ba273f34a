"""Other people's programs that run exported files: ONNX Runtime, and the executor of the package qonnx."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from onebit.core.errors import require

#: Runs a file: one array for each input without a default, one for each output. States start as the file says.
Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


def onnx_runtime(model: Any, threads: int = 1) -> Run:
    """An ONNX model in ONNX Runtime as it comes: on the CPU, with all its graph optimizations.

    Args:
        model: an ``onnx.ModelProto``.
        threads: of one run.
    """
    rt = require("onnxruntime", "train", "running ONNX files")
    options = rt.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = rt.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def qonnx_executor(model: Any) -> Run:
    """A QONNX model in qonnx's own executor, node by node. The inputs must have the very shapes that the file says.

    Args:
        model: an ``onnx.ModelProto`` with integer shapes.
    """
    require("qonnx", "export", "running QONNX files")
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    wrapped = ModelWrapper(model, make_deepcopy=True)
    defaults = {tensor.name for tensor in model.graph.initializer}
    names = [port.name for port in model.graph.input if port.name not in defaults]

    def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        with _ir_version(model.ir_version), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = execute_onnx(wrapped, dict(zip(names, arrays, strict=True)))
        return [found[port.name] for port in model.graph.output]

    return run


@contextlib.contextmanager
def _ir_version(version: int) -> Iterator[None]:
    """qonnx hands each node to ONNX Runtime as a file of the newest version that the package onnx knows, and an ONNX
    Runtime older than that package refuses it; meanwhile the newest version is that of the file that runs."""
    onnx: Any = require("onnx", "train", "running QONNX files")
    newest, onnx.IR_VERSION = onnx.IR_VERSION, version
    try:
        yield
    finally:
        onnx.IR_VERSION = newest
