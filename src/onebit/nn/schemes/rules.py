"""Which layers can be swapped, and which of them stay float unless told otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from onebit.nn.layers import MultiheadAttention, Quantized, Recurrent, TransformerEncoderLayer

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
LAYERS = (nn.Linear, *CONVOLUTIONS)
ATTENTION = (nn.TransformerEncoderLayer, nn.MultiheadAttention)
RECURRENT = (nn.LSTM, nn.GRU, nn.RNN)
WHOLE = (*ATTENTION, *RECURRENT)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NO_BITS = (nn.Conv3d, *_TRANSPOSED, nn.Bilinear, nn.RNNBase, nn.RNNCellBase)
_PROJECTIONS = (
    ("q", "k", "v"),
    ("query", "key", "value"),
    ("q_proj", "k_proj", "v_proj"),
    ("q_lin", "k_lin", "v_lin"),
    ("to_q", "to_k", "to_v"),
    ("wq", "wk", "wv"),
    ("query_proj", "key_proj", "value_proj"),
)
_SHORTCUT = re.compile(r"(^|[._])(downsample|shortcut|skip)", re.IGNORECASE)


def float_class(module: nn.Module) -> type:
    """The class of ``module`` without what a parametrization put on top of it."""
    return type(module).__mro__[1] if nn.utils.parametrize.is_parametrized(module) else type(module)


def is_transposed(module: nn.Module) -> bool:
    """Whether ``module`` is Hugging Face's ``Conv1D``, a linear layer with a transposed weight; known by its name."""
    weight = getattr(module, "weight", None)
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf") and weight is not None and weight.dim() == 2


def is_layer(module: nn.Module) -> bool:
    """Whether there is a layer of bits for ``module``."""
    return float_class(module) in LAYERS or is_transposed(module)


def is_conv(module: nn.Module) -> bool:
    """Whether ``module`` is a convolution that can be swapped."""
    return float_class(module) in CONVOLUTIONS


def is_whole(module: nn.Module) -> bool:
    """Whether ``module`` is replaced with all of its products: attention, which bypasses its children in eval mode, and
    recurrent layers, which have several weights."""
    return float_class(module) in WHOLE or (isinstance(module, Recurrent) and module.is_float)


def is_recurrent(module: nn.Module) -> bool:
    """Whether ``module`` is an LSTM, a GRU or an RNN."""
    return isinstance(module, nn.RNNBase)


def is_of_bits(module: nn.Module) -> bool:
    """Whether ``module`` is a layer of bits."""
    if isinstance(module, Recurrent):
        return not module.is_float
    return isinstance(module, (Quantized, MultiheadAttention, TransformerEncoderLayer))


def cannot(module: nn.Module) -> str:
    """Why a module with weights to multiply by cannot be swapped; empty for any other module."""
    if is_of_bits(module):
        return "of bits already"
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return "embedding"
    if isinstance(module, nn.modules.lazy.LazyModuleMixin) and module.has_uninitialized_params():  # type: ignore[misc]
        return "not initialised yet: run the model once first"
    if isinstance(module, (*LAYERS, *WHOLE)):
        return "a subclass, whose own forward a swap would lose"
    if isinstance(module, _NO_BITS):
        return "there is no layer of bits for this class"
    return ""


def keep(model: nn.Module, layers: Sequence[tuple[str, nn.Module]], keep_downsample: bool) -> dict[str, str]:
    """The layers that stay float by default and why: ``{path: reason}``.

    - a convolutional network: its first convolution and its classifier - the last linear layer, or the last convolution
      where there is no linear layer outside the blocks;
    - a perceptron: its first and last layer;
    - a transformer: its head, and what is tied to an embedding; a linear layer inside a stack of blocks is no head, and
      query, key and value projections go together;
    - with ``keep_downsample``, 1x1 convolutions that stride or whose name says shortcut.

    Args:
        model: the whole network.
        layers: ``(path, module)`` of what could be swapped, in the order in which it runs, or of definition.
    """
    reasons: dict[str, str] = {}
    tables = {id(m.weight) for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))}
    convolutions = [(path, module) for path, module in layers if is_conv(module)]
    linear = [(path, module) for path, module in layers if not is_conv(module)]
    for path, module in layers:
        if id(getattr(module, "weight", None)) in tables:
            reasons[path] = "tied to an embedding"
        elif keep_downsample and is_conv(module) and _is_downsample(path, module):
            reasons[path] = "1x1 convolution of a shortcut"
    if convolutions:
        reasons.setdefault(convolutions[0][0], "first convolution")
    elif linear and not _is_transformer(model, linear):
        reasons.setdefault(linear[0][0], "first layer")
    heads = [(path, module) for path, module in linear if not _in_a_stack(model, path) and not _projection(path)]
    if heads and heads[-1][0] == linear[-1][0]:
        reasons.setdefault(heads[-1][0], "classifier or head")
    elif not linear and len(convolutions) > 1:
        reasons.setdefault(convolutions[-1][0], "last convolution")
    return reasons


def incomplete_projections(paths: Sequence[str], chosen: set[str]) -> str:
    """A sentence about a query, key or value projection that was chosen without the others; empty where there is
    none."""
    known = set(paths)
    for path in paths:
        names = _projection(path)
        if not names:
            continue
        prefix = path[: len(path) - len(path.rpartition(".")[2])]
        group = {prefix + name for name in names} & known
        if group & chosen and group - chosen:
            return (
                f"query, key and value must be swapped together: {', '.join(sorted(group & chosen))} chosen "
                f"without {', '.join(sorted(group - chosen))}"
            )
    return ""


def _projection(path: str) -> tuple[str, ...]:
    name = path.rpartition(".")[2]
    return next((names for names in _PROJECTIONS if name in names), ())


def _is_downsample(path: str, module: nn.Module) -> bool:
    pointwise = all(size == 1 for size in module.kernel_size)  # type: ignore[union-attr]
    strides = any(step > 1 for step in module.stride)  # type: ignore[union-attr]
    return pointwise and (strides or bool(_SHORTCUT.search(path)))


def _is_transformer(model: nn.Module, linear: Sequence[tuple[str, nn.Module]]) -> bool:
    if any(isinstance(m, (nn.Embedding, nn.EmbeddingBag, *ATTENTION)) for m in model.modules()):
        return True
    return any(_projection(path) or is_transposed(module) for path, module in linear)


def _in_a_stack(model: nn.Module, path: str) -> bool:
    """Whether ``path`` lies inside (not directly is) an element of a ModuleList, as the blocks of a transformer do."""
    parts = path.split(".")
    parents = (".".join(parts[:i]) for i in range(len(parts) - 1))
    return any(isinstance(model.get_submodule(parent), nn.ModuleList) for parent in parents)
