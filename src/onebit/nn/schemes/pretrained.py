"""Hugging Face models, known by the name of their class: nothing here imports transformers."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from torch import nn

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

    A scheme that was made by hand is not written: such a model is saved as a float one.
    """
    for module in _outermost(model):
        importlib.import_module("onebit.nn.schemes.transformers")
        try:
            module.config.quantization_config = settings(module)  # type: ignore[union-attr, assignment]
        except ValueError:
            module.config.__dict__.pop("quantization_config", None)  # type: ignore[union-attr]


def settings(model: nn.Module) -> dict[str, Any]:
    """What ``config.json`` holds of a model of bits."""
    return {"quant_method": METHOD, "format": FORMAT, "steps": record.collect(model)}


def _outermost(model: nn.Module) -> Iterator[nn.Module]:
    if is_pretrained(model):
        yield model
        return
    for child in model.children():
        yield from _outermost(child)
