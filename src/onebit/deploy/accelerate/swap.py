"""``accelerate_``: the quantized layers of a model in eval mode, computed by the engine."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import nn

from onebit import runtime
from onebit.core.errors import Unsupported
from onebit.deploy.accelerate.layer import Packed, forms, loaded
from onebit.deploy.accelerate.report import AccelerationReport, AccelerationRow
from onebit.nn.layers import MultiheadAttention, Quantized
from onebit.runtime.backend import engine

FilterFn = Callable[[nn.Module, str], bool]


def accelerate_(
    model: nn.Module, *, threads: int | None = None, filter_fn: FilterFn | None = None
) -> AccelerationReport:
    """Let the engine compute the quantized layers of ``model``, in place, and report which it cannot and why.

    Each layer in eval mode whose weight and input are bits or integers of at most 8 bits becomes one packed layer (an
    attention's input projections become three), called through the operator ``onebit::packed`` on PyTorch's own memory.
    Its result is that of the layer, bit for bit, as long as its integer sums stay below 2^24, up to which PyTorch's
    float32 sums are exact; beyond, the engine's are the exact ones.

    The layers stay where they are, with their classes, parameters and state dict. What cannot go to the engine (another
    dtype, another device) PyTorch computes as before. ``train()`` takes the acceleration of a layer away; new numbers
    in a layer are packed when it is called next.

    Args:
        model: any module with layers of :mod:`onebit.nn`, in eval mode.
        threads: of each run, 1 or more; None: as many as ``torch.get_num_threads()`` says at the time of the run.
        filter_fn: ``filter_fn(module, path) -> bool``: take this layer? All by default.

    Returns:
        The report; ``print`` it. It is kept as ``model.onebit_acceleration``.

    Raises:
        ValueError: ``threads`` is no number of threads.
        Unsupported: the native engine is not installed.

    Example:
        >>> import torch
        >>> from onebit.nn import models
        >>> model = models.build("mlp", in_features=16, width=32, num_classes=3, scheme="bnn").eval()
        >>> x = torch.randn(5, 16)
        >>> with torch.no_grad():
        ...     before = model(x)
        ...     report = accelerate_(model)
        ...     print(len(report.swapped), torch.equal(model(x), before))
        2 True
    """
    count = 0 if threads is None else _checked(threads)
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if engine() is None:
        raise Unsupported("accelerate_ needs the native engine, which this onebit was built without")
    report = AccelerationReport(isa=runtime.available_isas()[0])
    for path, layer in _layers(model):
        why = _pack(layer, path, count, filter_fn)
        packed = forms(layer)
        report.size += sum(form.file.numel() for form in packed)
        codes = ", ".join(dict.fromkeys(form.codes for form in packed))
        report.rows.append(AccelerationRow(path, type(layer).__name__, codes, why))
    model.onebit_acceleration = report  # type: ignore[assignment]
    return report


def decelerate_(model: nn.Module) -> None:
    """Take back what :func:`accelerate_` did: PyTorch computes every layer of ``model`` again."""
    for module in model.modules():
        if isinstance(module, (Quantized, MultiheadAttention)):
            module.packed = None
        module.__dict__.pop("onebit_acceleration", None)


def _pack(layer: Any, path: str, threads: int, filter_fn: FilterFn | None) -> str:
    """Pack the layer; why it stays in PyTorch, or nothing."""
    layer.packed = None
    if filter_fn is not None and not filter_fn(layer, path):
        return "filter_fn"
    if layer.training:
        return "it is in training mode: call model.eval() first"
    try:
        if isinstance(layer, MultiheadAttention):
            layer.packed = nn.ModuleDict({name: Packed(layer, path, threads, name) for name in ("q", "k", "v")})
        else:
            layer.packed = Packed(layer, path, threads)
    except ValueError as error:
        return " ".join(str(error).split())
    if loaded not in layer._load_state_dict_post_hooks.values():
        layer.register_load_state_dict_post_hook(loaded)
    return ""


def _layers(model: nn.Module) -> list[tuple[str, Any]]:
    paths: dict[int, list[str]] = {}
    found: dict[int, nn.Module] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, (Quantized, MultiheadAttention)):
            paths.setdefault(id(module), []).append(path)
            found[id(module)] = module
    return [(", ".join(paths[key]), module) for key, module in found.items()]


def _checked(threads: Any) -> int:
    try:
        if isinstance(threads, bool) or operator.index(threads) < 1:
            raise TypeError
    except TypeError:
        raise ValueError(f"threads must be an integer of 1 or more, or None, got {threads!r}") from None
    return operator.index(threads)
