"""A regulariser that makes the kernels of a layer of bits alike, so that its reuse order has less to compute."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from onebit.core.errors import check_range
from onebit.core.progress import Progress
from onebit.core.registry import Registry
from onebit.core.spanning import MOST, prim
from onebit.ir.reuse import hamming_matrix
from onebit.nn.layers.quantized import Quantized
from onebit.nn.quantizers.base import Quantizer
from onebit.nn.quantizers.binary import check_choice

MODES = ("mst", "centre")
FilterFn = Callable[[nn.Module, str], bool]

registry: Registry[type[nn.Module]] = Registry("regulariser")


@registry.register("tree-distance")
class TreeDistance(nn.Module):
    """The mean distance along a tree over a layer's kernels: ``weight r(t) sum_{(i, j) in T} d(b_i, b_j) / (E n)``.

    ``d(b_i, b_j) = 1/2 sum_k (1 - b_ik b_jk)`` counts the places where two kernels of n bits differ; the bits are those
    of the layer's weight quantizer, and so is the gradient through them: ``dd/dw_ik = -1/2 b_jk s'(w_ik)``. T has E
    edges: one fewer than output channels, for each group of a convolution. It is drawn from the bits at the start of
    training, anew whenever ``update_every`` says so, and held in between. ``r(t)`` is 0 in the first ``warmup`` of the
    steps, rises linearly to 1 in as many steps more, and stays. In the last ``freeze`` of the steps T is held; it is
    drawn a last time when training is complete.

    Latent weights should be clamped to where the quantizer's gradient is not 0 (``Recipe.clip_latent``): what lies
    outside can never flip.

    Args:
        layer: a layer of bits, whose child this becomes; see :func:`tree_distance_`.
        weight: of the regulariser, 0 or more. With Adam, which rescales forces, 0.5 to 3; with SGD it is another scale.
        mode: ``"mst"``: T is the minimum spanning tree; ``"centre"``: the star around the kernel that is nearest to all
            others, which makes T flat and costs accuracy.
        update_every: ``"epoch"``, or a number of steps.
        warmup: share of the steps, 0..0.5.
        freeze: share of the steps, 0..1.

    Attributes:
        edges: the two ends of each edge, ``(2, E)`` int64.
        strength: ``weight r(t)``.

    Raises:
        ValueError: an argument out of range, or a layer without bits or with one kernel a group.

    Reference: [Vo2023]; the normalisation and the schedule are ours: the paper's text was not to be had.

    Example:
        >>> import onebit
        >>> layer = onebit.nn.Linear(64, 16, weight_quantizer="bnn")
        >>> tree_distance_(layer, weight=0.5, warmup=0)
        ['']
        >>> onebit.nn.broadcast(layer, onebit.nn.Progress(0, 100, 0, 10))
        >>> 0.1 < onebit.nn.penalty(layer).item() < 0.25
        True
    """

    edges: Tensor
    strength: Tensor
    drawn: Tensor

    def __init__(
        self,
        layer: Quantized,
        weight: float = 1.0,
        mode: str = "mst",
        update_every: str | int = "epoch",
        warmup: float = 0.2,
        freeze: float = 0.1,
    ) -> None:
        super().__init__()
        check_choice("mode", mode, MODES)
        self.weight = float(check_range("weight", weight, 0))
        self.mode = mode
        if update_every != "epoch" and (type(update_every) is not int or update_every < 1):
            raise ValueError(f"update_every must be 'epoch' or a number of steps of 1 or more, got {update_every!r}")
        self.update_every = update_every
        self.warmup = float(check_range("warmup", warmup, 0, 0.5))
        self.freeze = float(check_range("freeze", freeze, 0, 1))
        why = unsuitable(layer)
        if why:
            raise ValueError(f"layer must be one of bits with two kernels a group or more, got one that {why}")
        self._of = (layer,)  # in a tuple: the layer is this module's parent, not its child
        device = layer.latent_weight().device
        self.register_buffer("edges", torch.zeros(2, self._count(), dtype=torch.int64, device=device))
        self.register_buffer("strength", torch.zeros((), device=device))
        self.register_buffer("drawn", torch.tensor(-1, device=device))

    def on_progress(self, progress: Progress) -> None:
        """Set the strength, and draw the tree where it is time to."""
        passed = progress.fraction - self.warmup
        ramp = 1.0 if passed >= self.warmup else max(0.0, passed / self.warmup)
        self.strength.fill_(self.weight * ramp)
        turn = progress.epoch if self.update_every == "epoch" else progress.step // int(self.update_every)
        if progress.fraction >= 1:
            turn = -2  # the tree of the final weights
        held = 1 - self.freeze < progress.fraction < 1
        drawn = int(self.drawn)
        if turn != drawn and (drawn == -1 or not held):
            self.edges.copy_(self._draw())
            self.drawn.fill_(turn)

    def penalty(self) -> Tensor:
        """The regulariser's value, a 0-d tensor with a gradient."""
        bits = self._bits()
        first, second = bits[self.edges[0]], bits[self.edges[1]]
        return self.strength * (0.5 - 0.5 * (first * second).sum() / first.numel())

    def _bits(self) -> Tensor:
        (layer,) = self._of
        assert isinstance(layer.weight_quantizer, Quantizer)
        return layer.weight_quantizer.encode(layer.latent_weight()).codes.flatten(1)

    def _count(self) -> int:
        """Edges of all trees."""
        (layer,) = self._of
        return len(layer.latent_weight()) - int(getattr(layer, "groups", 1))

    @torch.no_grad()
    def _draw(self) -> Tensor:
        (layer,) = self._of
        groups = int(getattr(layer, "groups", 1))
        kernels = np.where(self._bits().float().cpu().numpy() >= 0, np.int8(1), np.int8(-1))  # NaN as its sign: -1
        ends = []
        for group, part in enumerate(np.split(kernels, groups)):
            distances = hamming_matrix(part)
            centre = int(distances.sum(1).argmin())
            [tree] = prim(distances, [centre], 1 if self.mode == "centre" else None)
            children = np.flatnonzero(tree.parents >= 0)
            ends.append(np.stack([children, tree.parents[children]]) + group * len(part))
        return torch.from_numpy(np.concatenate(ends, axis=1))

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}, mode={self.mode!r}"


def unsuitable(module: nn.Module) -> str:
    """Why a module cannot have a :class:`TreeDistance`, as the end of a sentence; empty where it can."""
    if not isinstance(module, Quantized) or module.weight_quantizer is None:
        return "has no weight quantizer"
    with torch.no_grad():
        weight = module.latent_weight()
        if module.weight_quantizer.num_bits != 1:
            return f"has weights of {module.weight_quantizer.num_bits} bits"
    groups = int(getattr(module, "groups", 1))
    if len(weight) <= groups or math.prod(weight.shape[1:]) < 1:
        return "has one kernel a group"
    return "has too many kernels" if len(weight) // groups > MOST else ""


def tree_distance_(
    model: nn.Module,
    weight: float = 1.0,
    mode: str = "mst",
    *,
    update_every: str | int = "epoch",
    warmup: float = 0.2,
    freeze: float = 0.1,
    filter_fn: FilterFn | None = None,
) -> list[str]:
    """Give every layer of bits of ``model`` a :class:`TreeDistance`, in place; one that it has already is replaced.

    ``onebit.nn.penalty`` sums them, so every trainer adds them to its loss, and their schedule follows ``on_progress``.
    A state dict of a network with them fits one without.

    Args:
        model: of any scheme.
        weight, mode, update_every, warmup, freeze: as for :class:`TreeDistance`; each layer's term has this weight.
        filter_fn: ``filter_fn(module, path)`` says which of the layers.

    Returns:
        Paths of the layers that have one now.

    Raises:
        ValueError: no layer has bits; an argument out of range.

    Example:
        >>> import onebit
        >>> model = onebit.nn.models.build("mlp", in_features=64, width=32, depth=2, scheme="bnn")
        >>> tree_distance_(model, weight=1.0)
        ['4', '7']
        >>> remove_tree_distance_(model)
        ['4', '7']
    """
    found = [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, Quantized) and not unsuitable(module) and (filter_fn is None or filter_fn(module, path))
    ]
    if not found:
        raise ValueError("model must have a layer of bits with two kernels or more, quantize_ makes some; it has none")
    made = [TreeDistance(module, weight, mode, update_every, warmup, freeze) for _, module in found]
    for (_, module), regularizer in zip(found, made):
        module.regularizer = regularizer
    return [path for path, _ in found]


def remove_tree_distance_(model: nn.Module) -> list[str]:
    """Take every :class:`TreeDistance` out of ``model``; returns the paths of the layers that had one."""
    found = []
    for path, module in model.named_modules():
        if isinstance(getattr(module, "regularizer", None), TreeDistance):
            del module.regularizer
            found.append(path)
    return found
