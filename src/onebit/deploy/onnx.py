"""A float network as an ONNX file: what ONNX Runtime runs beside the packed network."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from onebit.core.errors import Unsupported, require
from onebit.core.files import atomic
from onebit.nn.layers import Quantized


def float_onnx(model: torch.nn.Module, example: torch.Tensor | Sequence[Any], path: str | Path) -> Path:
    """Write a float model as one ONNX file with a dynamic batch (axis 0 of every input), in evaluation mode.

    Args:
        model: a float model; one with layers of bits is refused, its file is that of :func:`onebit.deploy.pack`.
        example: an input, or all of them; a batch of 1 is repeated to 2 for the export.
        path: the file; whole or not there.

    Returns:
        ``path``.
    """
    require("onnxscript", "train", "exporting ONNX")
    for name, module in model.named_modules():
        if isinstance(module, Quantized):
            raise Unsupported(
                f"{name or 'the model'} is a layer of bits: ONNX export is for float models, use onebit.pack"
            )
    inputs = (example,) if isinstance(example, torch.Tensor) else tuple(example)
    inputs = tuple(x.repeat(2, *[1] * (x.dim() - 1)) if len(x) == 1 else x for x in inputs)
    batch = torch.export.Dim("batch")
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad(), _quiet(), atomic(path) as part:
            torch.onnx.export(
                model,
                inputs,
                str(part),
                dynamo=True,
                verbose=False,
                external_data=False,
                dynamic_shapes=tuple({0: batch} for _ in inputs),
            )
    finally:
        for module, mode in modes:
            module.training = mode
    return Path(path)


@contextlib.contextmanager
def _quiet():
    """Without the exporter's progress on standard output, its warnings and its log."""
    level = logging.root.manager.disable
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)
