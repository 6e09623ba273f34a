"""Models of bits on disk: one safetensors file with the weights, and the scheme as JSON in its metadata."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from onebit.core.files import atomic
from onebit.nn.layers import MultiheadAttention, Quantized
from onebit.nn.schemes.quantize import requantize_
from onebit.nn.schemes.report import Report

Model = TypeVar("Model", bound=nn.Module)
_KEY = "onebit.model"
_FORMAT = 1


def save(model: nn.Module, path: str | Path) -> None:
    """Write parameters and buffers of ``model`` and, after ``quantize_``, the scheme and the swapped layers.

    Tied tensors are written once. The file appears whole or not at all.

    Raises:
        ValueError: the scheme of ``quantize_`` was made by hand, or a module keeps state that is not a tensor.
    """
    report = getattr(model, "onebit_report", None)
    if isinstance(report, Report) and report.record is None:
        raise ValueError("only a model quantized by a registered scheme can be saved; this scheme was made by hand")
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple, str] = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} must be a tensor to be saved, got {type(value).__name__}")
        key = (value.device, value.data_ptr(), value.dtype, tuple(value.shape), value.stride())
        if value.numel() and key in first:
            aliases[name] = first[key]
            continue
        first[key] = name
        tensors[name] = value.detach().cpu().contiguous().clone()
    record = report.record if isinstance(report, Report) else None
    metadata = {"format": _FORMAT, "quantized": record, "aliases": aliases}
    with atomic(path) as part:
        save_file(tensors, part, metadata={_KEY: json.dumps(metadata, allow_nan=False)})


def load(path: str | Path, model: Model | Callable[[], Model]) -> Model:
    """Read what :func:`save` wrote into ``model``, quantizing it as the saved one was where it is still float.

    Args:
        path: the file.
        model: a model of the saved architecture - float, or of bits from the start - or a factory of one.

    Returns:
        The model, in eval mode.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, or of another architecture; the text names the first difference.
    """
    built = cast(Model, model if isinstance(model, nn.Module) else model())
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    record, aliases = _metadata(path, text)
    if record is not None and not any(isinstance(m, (Quantized, MultiheadAttention)) for m in built.modules()):
        requantize_(built, record)
    for name, source in aliases.items():
        if source not in tensors:
            raise ValueError(f"{path}: {name!r} is said to be {source!r}, which is not in the file")
        tensors[name] = tensors[source]
    _check(path, built, tensors)
    with torch.no_grad():
        built.load_state_dict(tensors)
    return built.eval()


def _metadata(path: str | Path, text: str | None) -> tuple[dict | None, dict[str, str]]:
    try:
        data = json.loads(text or "")
        if data["format"] != _FORMAT:
            raise ValueError(f"format {data['format']!r}")
        record, aliases = data["quantized"], dict(data["aliases"])
        if record is not None:
            _ = record["scheme"]["name"], dict(record["scheme"]["settings"])
            record["swapped"] = [(str(layer), bool(flag)) for layer, flag in record["swapped"]]
        return record, aliases
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} was not written by onebit.save of this version ({error})") from error


def _check(path: str | Path, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    expected = model.state_dict()
    for name in [*expected, *tensors]:
        if name not in tensors:
            raise ValueError(f"{path} has no {name!r}, which the model has")
        if name not in expected:
            raise ValueError(f"{path} has {name!r}, which the model does not have")
        if tensors[name].shape != expected[name].shape:
            shapes = f"{tuple(tensors[name].shape)} in the file, {tuple(expected[name].shape)} in the model"
            raise ValueError(f"{path}: {name!r} has shape {shapes}")
