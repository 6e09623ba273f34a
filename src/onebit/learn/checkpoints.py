"""Trees of tensors and plain values as one safetensors file: the tensors as they are, everything else as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from onebit.core.errors import UNREADABLE, reason, shown
from onebit.core.files import write_bytes

KEY = "onebit"
VERSION = 1


def _split(tree: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        name = f"{len(tensors)}:{path}"  # numbered: two paths may read the same
        tensors[name] = tree.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(tree, dict):
        if not all(isinstance(key, (str, int)) for key in tree):
            raise TypeError(f"keys of {path or 'the tree'} must be texts or integers, got {list(tree)}")
        # Pairs, because JSON would turn integer keys into texts.
        return {"pairs": [[key, _split(value, f"{path}/{key}".lstrip("/"), tensors)] for key, value in tree.items()]}
    if isinstance(tree, (list, tuple)):
        return {"list": [_split(value, f"{path}/{i}", tensors) for i, value in enumerate(tree)]}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return {"value": tree}
    raise TypeError(f"{path} must be a tensor, a number, a text, a list or a dictionary, got {type(tree).__name__}")


def _join(node: Any, tensors: dict[str, Tensor]) -> Any:
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "pairs":
        return {key: _join(value, tensors) for key, value in content}
    if kind == "list":
        return [_join(value, tensors) for value in content]
    return content


def save(path: str | Path, tree: Any) -> None:
    """Write ``tree`` (dictionaries, lists, numbers, texts, ``None``, tensors): the file is whole or not there."""
    tensors: dict[str, Tensor] = {}
    node = _split(tree, "", tensors)
    # As bytes, because save_file writes to a temporary file of its own, which a killed process would leave behind.
    write_bytes(path, serialize(tensors, {KEY: json.dumps({"version": VERSION, "tree": node})}))


def load(path: str | Path) -> Any:
    """The tree that :func:`save` wrote (tuples as lists); ``ValueError`` where the file is anything else."""
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads((file.metadata() or {})[KEY])
            if content["version"] != VERSION:
                raise ValueError(f"version {content['version']}, this onebit reads {VERSION}")
            return _join(content["tree"], {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no checkpoint of onebit: {error}") from None
    except UNREADABLE as error:
        raise ValueError(f"{path} is no checkpoint of onebit: {reason(error)}") from None


def save_model(path: str | Path, model: torch.nn.Module, about: dict[str, Any]) -> None:
    """Write a model's state under its own names (tied tensors once each name), with ``about`` as JSON."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors_of(model).items()}
    write_bytes(path, serialize(tensors, {KEY: json.dumps({"version": VERSION, **about})}))


def check_model(path: str | Path, model: torch.nn.Module) -> None:
    """``ValueError`` unless the file holds tensors of the names and shapes of ``model``, which may be on ``meta``."""
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from None
    expected = {name: tuple(value.shape) for name, value in tensors_of(model).items()}
    for name in [*expected, *found]:
        if found.get(name) != expected.get(name):
            here, there = (shapes.get(name, "nothing") for shapes in (expected, found))
            said = f"{shown(name)} is {here} in the model, {there} in the file"
            raise ValueError(f"{path} does not fit the model: {said}")


def load_model(path: str | Path, model: torch.nn.Module) -> None:
    """Load what :func:`save_model` wrote into ``model``; ``ValueError`` where it does not fit."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from None
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the model: {' '.join(str(error).split())[:300]}") from None


def tensors_of(model: torch.nn.Module) -> dict[str, Tensor]:
    """The tensors of a model's ``state_dict``."""
    return {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
