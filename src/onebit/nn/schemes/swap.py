"""The swap of one float layer for a layer of bits that holds the same parameters."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from onebit.nn.layers import (
    GRU,
    LSTM,
    RNN,
    Conv1d,
    Conv2d,
    Linear,
    MultiheadAttention,
    TransformerEncoderLayer,
    TransposedLinear,
)
from onebit.nn.quantizers import Quantizer
from onebit.nn.schemes import rules
from onebit.nn.schemes.scheme import Scheme


def swap(module: nn.Module, scheme: Scheme, non_negative: bool = False, values: Tensor | None = None) -> nn.Module:
    """The layer of bits that holds the parameters of the float layer ``module``.

    Args:
        non_negative: whether its input cannot be negative.
        values: an input to start a centred shift from.
    """
    linear = not rules.is_conv(module)

    def weight() -> Quantizer | None:
        return scheme.weight_quantizer(linear)

    def inputs() -> Quantizer | None:
        return scheme.input_quantizer(non_negative, linear)

    if rules.is_recurrent(module):
        recurrent = next(kind for kind in (LSTM, GRU, RNN) if isinstance(module, kind.__mro__[2]))
        # the state can be negative, whatever the input
        return recurrent.from_float(module, weight, inputs, lambda: scheme.input_quantizer(linear=True))  # type: ignore[arg-type, return-value]
    if rules.is_whole(module):
        # factories, not objects: each projection gets its own
        kind = MultiheadAttention if isinstance(module, nn.MultiheadAttention) else TransformerEncoderLayer
        return kind.from_float(module, weight, inputs)  # type: ignore[arg-type, return-value]
    activation = inputs()
    if rules.is_transposed(module):
        layer: Any = TransposedLinear.from_float(module, weight(), activation)
    else:
        classes = {nn.Linear: Linear, nn.Conv1d: Conv1d, nn.Conv2d: Conv2d}
        layer = classes[rules.float_class(module)].from_float(module, weight(), activation)  # type: ignore[index, attr-defined]
    if values is not None and activation is not None:
        activation.observe(values)
    if scheme.output is not None:
        layer.output = scheme.output(layer)
    return layer


def replace(model: nn.Module, new: dict[int, nn.Module]) -> None:
    """Put ``new[id(module)]`` wherever ``module`` is a child in ``model``."""
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child is not None and id(child) in new:
                parent._modules[name] = new[id(child)]
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):
            # it would hand nested tensors to its layers in eval mode
            module.use_nested_tensor = False
