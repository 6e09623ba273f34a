"""Models of bits through ``save_pretrained`` and ``from_pretrained`` of Hugging Face transformers.

Importing this module (or ``onebit.OneBitConfig``) tells transformers about the quantization method ``"onebit"``; so do
``quantize_`` on one of its models and ``onebit.load`` of a folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from onebit.core.errors import require
from onebit.nn.schemes import pretrained, record
from onebit.nn.schemes.quantize import FilterFn, quantize_
from onebit.nn.schemes.scheme import Scheme

transformers = require("transformers", "text", "a Hugging Face model")
_auto = require("transformers.quantizers.auto", "text", "a Hugging Face model")
_configs = require("transformers.utils.quantization_config", "text", "a Hugging Face model")


@_auto.register_quantization_config(pretrained.METHOD)
class OneBitConfig(_configs.QuantizationConfigMixin):  # type: ignore[misc, name-defined]
    """``quantization_config`` of Hugging Face models: quantize a float checkpoint while it is loaded.

    Args:
        scheme, filter_fn, example: as in ``quantize_``.
        format, steps: what ``config.json`` of a model of bits holds; written by ``quantize_``.

    Raises:
        ValueError: neither scheme nor steps, or both; a format of a newer onebit; a damaged record.

    Example:
        >>> OneBitConfig("biper").scheme
        'biper'
    """

    def __init__(
        self,
        scheme: str | Scheme | None = None,
        filter_fn: FilterFn | None = None,
        example: Any = None,
        format: int = pretrained.FORMAT,
        steps: list[dict[str, Any]] | None = None,
        **_: Any,
    ) -> None:
        if (scheme is None) == (steps is None):
            raise ValueError("OneBitConfig needs a scheme to quantize by, or the steps of a model quantized before")
        if not isinstance(format, int) or format > pretrained.FORMAT:
            raise ValueError(
                f"quantization_config has format {format!r}, this onebit reads up to {pretrained.FORMAT}: "
                "install a newer one"
            )
        self.quant_method = pretrained.METHOD
        self.scheme, self.filter_fn, self.example = scheme, filter_fn, example
        self.format = format
        try:
            self.steps = None if steps is None else record.check(steps)
        except ValueError as error:
            raise ValueError(f"quantization_config of this model: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """What ``config.json`` holds."""
        return {"quant_method": self.quant_method, "format": self.format, "steps": self.steps}


@_auto.register_quantizer(pretrained.METHOD)
class OneBitQuantizer(_auto.HfQuantizer):  # type: ignore[misc, name-defined]
    """Swaps the layers: before the weights are read where the checkpoint is one of bits, after that where it is
    float."""

    def _process_model_before_weight_loading(self, model: nn.Module, **kwargs: Any) -> nn.Module:
        if self.pre_quantized:
            record.replay_(model, _placed(self.quantization_config.steps, model))
        return model

    def _process_model_after_weight_loading(self, model: nn.Module, **kwargs: Any) -> nn.Module:
        # the model is one of bits in the making, not a frozen one: .float(), .half() and training are allowed
        del model.is_quantized, model.hf_quantizer
        if not self.pre_quantized:
            config = self.quantization_config
            quantize_(model, config.scheme, config.filter_fn, config.example)
        pretrained.note(model)
        return model

    def is_serializable(self) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return True

    @property
    def is_qat_trainable(self) -> bool:
        return True

    @property
    def is_compileable(self) -> bool:
        return True


def load(folder: str | Path) -> nn.Module:
    """The model of bits in ``folder``, of the class that saved it, in eval mode.

    Raises:
        ValueError: the folder holds no model of bits, or one of a class that transformers does not have.
    """
    config = transformers.AutoConfig.from_pretrained(folder)
    names = config.architectures or ["no class"]
    cls = getattr(transformers, names[0], None)
    if cls is None:
        raise ValueError(f"{folder}: transformers has no class {names[0]!r}; load it with from_pretrained of its class")
    if pretrained.method(config) != pretrained.METHOD:
        raise ValueError(f"{folder} holds a model that was not quantized by onebit")
    return cls.from_pretrained(folder)  # type: ignore[no-any-return]


def _placed(steps: list[record.Step], model: Any) -> list[record.Step]:
    """``steps`` with the paths of ``model``, where a model without a head is read from a checkpoint with one, or the
    other way round; layers of a head that ``model`` does not have are left out."""
    prefix = f"{model.base_model_prefix}."
    known = {path for path, _ in model.named_modules(remove_duplicate=False)}

    def place(path: str) -> str | None:
        return next((name for name in (path, path.removeprefix(prefix), prefix + path) if name in known), None)

    placed = []
    for step in steps:
        rows = [[place(f"{step['at']}.{row[0]}".strip(".")), *row[1:]] for row in step["rows"]]
        placed.append({**step, "at": "", "rows": [row for row in rows if row[0] is not None]})
    return placed
