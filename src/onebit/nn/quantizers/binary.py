"""Weights as -1 and +1, times a scale per tensor or per output channel; and ternary weights."""

from __future__ import annotations

import functools

from torch import Tensor, nn

from onebit.core.errors import check_positive
from onebit.nn import operators
from onebit.nn.operators import Operator, Ternary
from onebit.nn.quantizers.base import Encoded, Quantizer, learned_scale, made, mean_abs, scaled_value
from onebit.nn.quantizers.registry import weight_registry

SCALES = ("none", "tensor", "channel", "learned")
SCALE_GRADIENTS = ("ignored", "detached", "full", "average")


class BinaryWeight(Quantizer):
    """``w -> s * sign(w)`` with ``s`` the mean of ``|w|``, or learned.

    Args:
        operator: a sign operator or its name; decides the gradient through the sign.
        scale: ``"channel"``: one mean per output channel (axis 0), shape ``(O, 1, ...)``; ``"tensor"``: one for the
            whole weight; ``"learned"``: a parameter ``alpha (O, 1, ...)`` that starts at 1; ``"none"``: 1.
        scale_gradient: ``"ignored"``: ``dL/dw = k(w) G`` as if s were 1; ``"detached"``: ``dL/dw = s k(w) G``;
            ``"full"``: also through the mean (always where s is learned); ``"average"``: ``dL/dw = (1/n + s k(w)) G``
            with n the weights that share s, the paper's formula of XNOR-Net. G is the gradient at the quantized
            weight, k the operator's.
        centre: whether the mean of each output channel is taken off w first (BiBench's linear layers of XNOR-Net).

    Shape: ``(O, ...)``, floating point.

    References: [Courbariaux2016] (``scale="none"``), [Rastegari2016], [Bulat2019] (``"learned"``), [Qin2023], [Wu2023]
    (``"tensor"``, ``"full"``).

    Example:
        >>> import torch
        >>> BinaryWeight()(torch.tensor([[0.5, -0.25, 0.75, 1.0]]))
        tensor([[ 0.6250, -0.6250,  0.6250,  0.6250]])
    """

    alpha: nn.Parameter | None

    def __init__(
        self,
        operator: str | Operator = "clipped",
        scale: str = "channel",
        scale_gradient: str = "ignored",
        centre: bool = False,
    ) -> None:
        super().__init__()
        check_choice("scale", scale, SCALES)
        check_choice("scale_gradient", scale_gradient, SCALE_GRADIENTS)
        self.operator = operators.build(operator)
        self.scale = scale
        self.scale_gradient = scale_gradient
        self.scaled = scale != "none"
        self.centre = centre
        self.register_parameter("alpha", None)

    def attach(self, reference: Tensor, channel_dim: int) -> None:
        if self.scale == "learned":
            self.alpha = learned_scale(self.alpha, reference)

    def encode(self, x: Tensor) -> Encoded:
        if self.centre:
            x = x - x.mean(tuple(range(1, x.dim())), keepdim=True)
        codes = self.operator(x)
        if self.scale == "learned":
            return Encoded(codes, made(self.alpha))
        if self.scale == "none":
            return Encoded(codes, codes.new_ones(()))
        return Encoded(codes, mean_abs(x, tuple(range(1, x.dim())) if self.scale == "channel" else None))

    def forward(self, x: Tensor) -> Tensor:
        codes, scale, *_ = self.encode(x)
        if not self.scaled:
            return codes
        if self.scale_gradient == "average" and self.scale != "learned":
            return scaled_value(codes, scale, "detached") + (x - x.detach()) * (scale.numel() / x.numel())
        return scaled_value(codes, scale, "full" if self.scale == "learned" else self.scale_gradient)

    def extra_repr(self) -> str:
        return f"scale={self.scale!r}, scale_gradient={self.scale_gradient!r}, centre={self.centre}"


class TernaryWeight(Quantizer):
    """``w -> s * t(w)`` with t in {-1, 0, +1}: 0 where ``|w| <= d``, ``d = share * mean|w|``.

    ``s`` is the mean of ``|w|`` over the entries that are not 0 (0 where there are none). Both per tensor, or per
    output channel. Backward: ``dL/dw = G`` where ``|w| <= 1``, as if s were 1.

    Args:
        share: above 0; 0.7 as in the paper.
        per_channel: whether d and s are per output channel (axis 0).

    Reference: [Li2016].

    Example:
        >>> import torch
        >>> TernaryWeight()(torch.tensor([[0.5, -0.25, 1.0, -1.25]]))
        tensor([[ 0.0000,  0.0000,  1.1250, -1.1250]])
    """

    num_bits = 2

    def __init__(self, share: float = 0.7, per_channel: bool = False) -> None:
        super().__init__()
        self.share = float(check_positive("share", share))
        self.per_channel = per_channel
        self.operator = Ternary()

    def encode(self, x: Tensor) -> Encoded:
        dims = tuple(range(1 if self.per_channel else 0, x.dim()))
        threshold = self.share * mean_abs(x, dims).detach()
        codes = operators.apply(self.operator, x, threshold)
        kept = codes.detach().abs()
        count = kept.sum(dims, keepdim=True)
        return Encoded(codes, (x.detach().abs() * kept).sum(dims, keepdim=True) / count.clamp(min=1))

    def forward(self, x: Tensor) -> Tensor:
        codes, scale, *_ = self.encode(x)
        return scaled_value(codes, scale, "ignored")

    def extra_repr(self) -> str:
        return f"share={self.share}, per_channel={self.per_channel}"


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """``ValueError`` unless ``value`` is among ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def reste_weight(o_end: float = 3.0, clip: float = 1.5, inner: float = 0.1) -> BinaryWeight:
    """ReSTE weights: power-function sign, one scale per layer that is not detached [Wu2023]."""
    return BinaryWeight(operators.PowerSign(o_end=o_end, clip=clip, inner=inner), "tensor", "full")


weight_registry.add("bnn", functools.partial(BinaryWeight, "clipped", "none"))
for _name in ("binary", "xnor", "bireal", "react"):
    weight_registry.add(_name, functools.partial(BinaryWeight, "clipped", "channel", "ignored"))
weight_registry.add("binary-tensor", functools.partial(BinaryWeight, "clipped", "tensor", "ignored"))
weight_registry.add("xnor++", functools.partial(BinaryWeight, "clipped", "learned"), papers=("Bulat2019",))
weight_registry.add("reste", reste_weight)
weight_registry.add("ternary", TernaryWeight)
