"""ONNX files as they come from anywhere: read, checked, and never trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onebit.core.errors import Unsupported, require
from onebit.ir import document

#: dtypes of ONNX that the graph computes with.
DTYPES = ("float32", "int8", "uint8", "int32", "int64", "bool")
#: Those of constants, and what they become.
CONSTANTS = {"float64": "float32", "float16": "float32", "int16": "int32", "uint16": "int32", **{d: d for d in DTYPES}}


def read_model(path: str | Path) -> Any:
    """The checked ``onnx.ModelProto`` of a file; ``ValueError`` in one sentence where it is none."""
    onnx = require("onnx", "train", "reading ONNX")
    data = Path(path).read_bytes()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # the parser's own class of error depends on its build
        raise ValueError(f"{path} is no ONNX file: {_first_line(error)}") from None
    if not model.HasField("graph") or not model.graph.output:
        raise ValueError(f"{path} is no ONNX file: it holds no graph with outputs")
    if model.functions:
        raise Unsupported(f"{path} has functions of its own: inline them (onnx.inliner.inline_local_functions)")
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError(f"{path} keeps the tensor {tensor.name!r} in another file: save the model as one file")
    if model.graph.sparse_initializer:
        raise Unsupported(f"{path} has sparse tensors: save them as dense ones")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise Unsupported(
                f"{node.op_type} ({node.name or 'without a name'}) is of the domain {node.domain!r}: only standard "
                "operators can be read; export the model without it"
            )
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # ValidationError, or what the checker's parser raises
        raise ValueError(f"{path} is not valid ONNX: {_first_line(error)}") from None
    return model


def opset(model: Any) -> int:
    """The version of the standard operators."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def array(tensor: Any) -> np.ndarray:
    """The contents of a ``TensorProto``, in a dtype of the graph."""
    import onnx

    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ValueError(f"the tensor {tensor.name!r} is kept in another file: save the model as one file")
    if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > 2**40:
        raise ValueError(f"the tensor {tensor.name!r} has shape {list(tensor.dims)}")
    try:
        contents = onnx.numpy_helper.to_array(tensor)
    except Exception as error:
        raise ValueError(f"the tensor {tensor.name!r} is malformed: {_first_line(error)}") from None
    if contents.dtype.name not in CONSTANTS:
        raise Unsupported(f"the tensor {tensor.name!r} is {contents.dtype.name}: use {', '.join(DTYPES)}")
    return np.ascontiguousarray(contents.astype(CONSTANTS[contents.dtype.name])).reshape(contents.shape)


def dtype(element: int) -> str:
    """The dtype of the graph for an element type of ONNX."""
    import onnx

    try:
        name = onnx.helper.tensor_dtype_to_np_dtype(element).name
    except (KeyError, ValueError, TypeError):
        name = f"element type {element}"
    if name in ("float64", "float16", "bfloat16"):
        raise Unsupported(f"{name}: the graph computes in float32; convert the model")
    if name not in DTYPES:
        raise Unsupported(f"{name}: the graph has {', '.join(DTYPES)}")
    return name


def meta(model: Any) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """What the metadata say: ``meta`` of the graph, states (input -> output), and names of what is bits."""
    properties = {entry.key: entry.value for entry in model.metadata_props}
    known: dict[str, Any] = {"producer": f"{model.producer_name} {model.producer_version}".strip()}
    for key in document.META:
        if key in properties:
            known |= _valid({key: properties[key] if key == "producer" else _parse(properties[key])})
    if ("mean" in known) != ("std" in known) or len(known.get("mean", [])) != len(known.get("std", [])):
        known = {key: value for key, value in known.items() if key not in ("mean", "std")}
    states, bits = _parse(properties.get("states", "{}")), _parse(properties.get("bits", "[]"))
    if not isinstance(states, dict) or not all(isinstance(name, str) for name in states.values()):
        states = {}
    return known, states, [name for name in bits if isinstance(name, str)] if isinstance(bits, list) else []


def _valid(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry, or nothing where another program means something else by that key."""
    partner = {"mean": "std", "std": "mean"}
    try:
        key, value = next(iter(entry.items()))
        pair = {partner[key]: [1.0] * len(value)} if key in partner and isinstance(value, list) else {}
        document.check_meta({**entry, **pair})
    except ValueError:
        return {}
    return entry


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
