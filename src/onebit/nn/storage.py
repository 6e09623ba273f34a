"""Models of bits on disk: one safetensors file with the weights; how they became bits as JSON in its metadata."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

from onebit.core.errors import UNREADABLE, reason
from onebit.core.files import write_bytes
from onebit.nn import models
from onebit.nn.schemes import pretrained, record

Model = TypeVar("Model", bound=nn.Module)
_KEY = "onebit.model"
_FORMAT = 2


def save(model: nn.Module, path: str | Path) -> None:
    """Write parameters and buffers of ``model``, what ``quantize_`` did to it, and how ``nn.models.build`` built it.

    Tied tensors are written once. The file appears whole or not at all.

    Args:
        model: any module.
        path: of the file.

    Raises:
        ValueError: a scheme of ``quantize_`` was made by hand, or has settings that JSON does not have; a module keeps
            state that is not a tensor, or a tensor without data (on the meta device).

    Example:
        >>> import tempfile
        >>> from onebit.nn import models
        >>> model = models.build("mlp", in_features=4, width=8, num_classes=3, scheme="bnn").eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(model, f"{folder}/model.safetensors")
        ...     again = load(f"{folder}/model.safetensors")
        >>> x = torch.randn(5, 4)
        >>> torch.equal(again(x), model(x))
        True
    """
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple, str] = {}
    for name, value in model.state_dict().items():
        if ".regularizer." in f".{name}":  # the trainer's, not the model's
            continue
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} must be a tensor to be saved, got {type(value).__name__}")
        if value.is_meta:
            raise ValueError(f"{name} is on the meta device: it has no data to be saved")
        key = (value.device, value.data_ptr(), value.dtype, tuple(value.shape), value.stride())
        if value.numel() and key in first:
            aliases[name] = first[key]
            continue
        first[key] = name
        tensors[name] = value.detach().cpu().contiguous().clone()
    about = {
        "format": _FORMAT,
        "quantized": record.collect(model),
        "layers": record.layers(model),
        "built": models.description(model),
        "aliases": aliases,
    }
    try:
        text = json.dumps(about, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"settings of a scheme must be plain finite values to be saved: {error}") from error
    # As bytes, because save_file writes to a temporary file of its own, which a killed process would leave behind.
    write_bytes(path, serialize(tensors, {_KEY: text}))


def load(path: str | Path, model: Model | Callable[[], Model] | None = None) -> Model:
    """Read what :func:`save` wrote into ``model``, quantizing it as the saved one was where it is still float.

    Args:
        path: the file; or the folder of a Hugging Face model of bits, written by its ``save_pretrained``.
        model: a model of the saved architecture - float, or of bits by the same scheme - or a factory of one. Not
            needed for the models of ``nn.models.build`` and for a folder. Its tensors take the dtypes of the file;
            devices stay.

    Returns:
        The model, in eval mode, its outputs those of the saved one bit for bit.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, of a newer onebit, of a scheme that is not known here, or of another architecture;
            the text names the first difference. The model given is left as it was.
    """
    if Path(path).is_dir():
        return cast(Model, _load_folder(path, model))
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    about = _metadata(path, text)
    for name, source in about["aliases"].items():
        if source not in tensors:
            raise ValueError(f"{path}: {name!r} is said to be {source!r}, which is not in the file")
        tensors[name] = tensors[source]
    try:
        built = _model(about, model, tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    try:
        return _fill(built, about, tensors).eval()  # type: ignore[return-value]
    except UNREADABLE as error:
        raise ValueError(f"{path}: {reason(error)}") from error


def _fill(model: nn.Module, about: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    undo = record.replay_(model, about["quantized"])
    try:
        _check(model, about, tensors)
    except ValueError:
        undo()
        raise
    for name, value in model.state_dict(keep_vars=True).items():
        if value.dtype != tensors[name].dtype:
            value.data = value.data.to(tensors[name].dtype)
    model.load_state_dict(tensors)
    pretrained.note(model)
    return model


def _model(about: dict[str, Any], model: nn.Module | Callable[[], nn.Module] | None, tensors: dict) -> nn.Module:
    if model is not None:
        return model if isinstance(model, nn.Module) else model()
    if about["built"] is None:
        raise ValueError("it does not say how the model is built: give load the model or its factory")
    try:
        with torch.device("meta"):  # before memory is spent on sizes that a damaged file names
            empty = models.rebuild(about["built"])
            record.replay_(empty, about["quantized"])
            _check_tensors(empty, tensors)
        return models.rebuild(about["built"])
    except (TypeError, KeyError) as error:
        raise ValueError(f"the model that it names cannot be built here: {error}") from error


def _load_folder(path: str | Path, model: Any) -> nn.Module:
    if not (Path(path) / "config.json").is_file():
        raise ValueError(f"{path} is a folder without config.json: load takes a file, or a Hugging Face model's folder")
    if model is not None:
        raise ValueError(f"{path} is a Hugging Face model's folder, which says how it is built: give no model")
    from onebit.nn.schemes import transformers

    return transformers.load(path)


def _metadata(path: str | Path, text: str | None) -> dict[str, Any]:
    try:
        about = json.loads(text or "")
        written = about["format"]
        known = {"quantized": list, "layers": dict, "aliases": dict}
        if written == _FORMAT and not all(isinstance(about[name], kind) for name, kind in known.items()):
            raise ValueError("fields of other types")
        built = about.get("built")
    except UNREADABLE as error:
        raise ValueError(f"{path} was not written by onebit.save: {reason(error)}") from error
    if written != _FORMAT:
        newer = isinstance(written, int) and written > _FORMAT
        advice = "install a newer one" if newer else "save it again"
        raise ValueError(f"{path} has format {written!r}, this onebit reads format {_FORMAT}: {advice}")
    try:
        return {**about, "quantized": record.check(about["quantized"]), "built": built}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check(model: nn.Module, about: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    expected = _check_tensors(model, tensors)
    of_bits = record.difference(about["layers"], record.layers(model))
    if of_bits:
        raise ValueError(of_bits)
    tied: dict[tuple, str] = {}
    for name, value in expected.items():
        if value.is_meta:
            raise ValueError(f"{name!r} of the model is on the meta device: build it on a real one")
        other = tied.setdefault((value.device, value.data_ptr(), tuple(value.shape), value.stride()), name)
        if value.numel() and other != name and not _same(tensors[other], tensors[name]):
            raise ValueError(f"{name!r} and {other!r} are one tensor in the model and differ in the file")


def _check_tensors(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    expected = model.state_dict()
    for name in [*expected, *tensors]:
        if name not in tensors:
            raise ValueError(f"it has no {name!r}, which the model has")
        if name not in expected:
            raise ValueError(f"it has {name!r}, which the model does not have")
        if tensors[name].shape != expected[name].shape:
            shapes = f"{tuple(tensors[name].shape)} in the file, {tuple(expected[name].shape)} in the model"
            raise ValueError(f"{name!r} has shape {shapes}")
    return expected


def _same(a: Tensor, b: Tensor) -> bool:
    return a is b or (a.dtype == b.dtype and torch.equal(a.view(torch.uint8), b.view(torch.uint8)))
