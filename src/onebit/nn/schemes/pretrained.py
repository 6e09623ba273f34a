"""Hugging Face models, known by the name of their class: nothing here imports transformers."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

from torch import nn

from onebit.core.errors import OnebitWarning
from onebit.nn.schemes import record

METHOD = "onebit"
FORMAT = 1


def is_pretrained(model: nn.Module) -> bool:
    """Whether ``model`` is a ``transformers.PreTrainedModel``."""
    return any(
        cls.__name__ == "PreTrainedModel" and cls.__module__.split(".")[0] == "transformers"
        for cls in type(model).__mro__
    )


def note(model: nn.Module) -> None:
    """Write what ``quantize_`` did into the config of each Hugging Face model in ``model``, so that ``save_pretrained``
    keeps it, and let ``from_pretrained`` know how to read it.

    A scheme that was made by hand cannot be written: a warning says that ``save_pretrained`` then writes a float model.
    """
    for path, module in _outermost(model):
        config: Any = module.config
        try:
            steps = record.within(record.collect(model), path)
        except ValueError:
            steps = []
            warnings.warn(
                "this scheme was made by hand: save_pretrained writes the model as a float one; register a factory of "
                "the scheme in onebit.nn.schemes.registry to keep it",
                OnebitWarning,
                stacklevel=3,
            )
        if steps:
            importlib.import_module("onebit.nn.schemes.transformers")
            config.quantization_config = {"quant_method": METHOD, "format": FORMAT, "steps": steps}
        elif method(config) == METHOD:
            del config.quantization_config


def method(config: Any) -> str | None:
    """The quantization method that the config of a Hugging Face model names, or None."""
    found = getattr(config, "quantization_config", None)
    return found.get("quant_method") if isinstance(found, dict) else getattr(found, "quant_method", None)


def _outermost(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    if is_pretrained(model):
        yield path, model
        return
    for name, child in model.named_children():
        yield from _outermost(child, f"{path}.{name}".strip("."))
