"""Weights as a square wave (BiPer), its quantization error and its regulariser."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from onebit.core.errors import check_positive, check_range
from onebit.nn.operators import PeriodicSign
from onebit.nn.quantizers.base import Encoded, Quantizer, learned_scale, made, mean_abs, scaled_value, smallest
from onebit.nn.quantizers.binary import check_choice
from onebit.nn.quantizers.registry import weight_registry

SCALES = ("learned", "none", "mean_abs", "optimal")
AUTO_TARGET = 0.5


@weight_registry.register("biper")
class PeriodicWeight(Quantizer):
    """``w -> alpha * sign(sin(freq w))``, or ``alpha * sin(freq w)`` in stage 1, with the gradient of the sine in both.

    A latent weight of either sign can give either bit. 0 gives +1.

    Args:
        freq: above 0, or ``"auto"``: ``freq = 0.5 / mean|w|`` of the layer when it is built (our extension: one
            frequency is gentle in wide layers and wild in narrow ones).
        stage: 1 or 2 at construction; a network whose layers are in stage 1 has real weights.
        staged: whether the stage follows ``Progress.stage``.
        scale: ``"learned"``: a parameter ``alpha (O, 1, ...)``, drawn from U[0, 1); ``"mean_abs"``: mean of ``|w|`` per
            output channel; ``"optimal"``: mean of ``|sin(freq w)|`` per output channel, the best in the mean square;
            ``"none"``: 1. Those computed from w take no part in the gradient.
        sine_penalty: weight of the regulariser ``mean(sin^2(freq w))``, at least 0 (0.037 on CIFAR in the paper's
            code).

    Shape: ``(O, ...)``, floating point.

    Reference: [Vargas2024].

    Example:
        >>> quantizer = PeriodicWeight(freq=20.0, scale="none")
        >>> quantizer(torch.tensor([[0.02, -0.05, 0.1, 0.2]]))
        tensor([[ 1., -1.,  1., -1.]])
    """

    alpha: nn.Parameter | None

    def __init__(
        self,
        freq: float | str = 20.0,
        stage: int = 2,
        staged: bool = False,
        scale: str = "learned",
        sine_penalty: float = 0.0,
    ) -> None:
        super().__init__()
        check_choice("scale", scale, SCALES)
        if isinstance(freq, str) and freq != "auto":
            raise ValueError(f"freq must be a finite number above 0 or 'auto', got {freq!r}")
        self.auto = freq == "auto"
        self.operator = PeriodicSign(20.0 if isinstance(freq, str) else freq, stage, staged)
        self.scale = scale
        self.scaled = scale != "none"
        self.sine_penalty = float(check_range("sine_penalty", sine_penalty, low=0))
        self.register_parameter("alpha", None)

    @property
    def stage(self) -> int:
        """1 (real weights) or 2 (bits)."""
        return self.operator.stage

    @stage.setter
    def stage(self, stage: int) -> None:
        self.operator.stage = stage

    @property
    def freq(self) -> float:
        """The frequency."""
        return float(self.operator.freq)

    def attach(self, reference: Tensor, channel_dim: int) -> None:
        if self.auto:
            self.observe(reference)
        if self.scale == "learned":
            self.alpha = learned_scale(self.alpha, reference, torch.rand)

    def observe(self, x: Tensor) -> None:
        """Where ``freq="auto"``: set it from the weight ``x`` (all zeros, a mean that is not finite, or the meta
        device leave it)."""
        mean = float(x.detach().abs().mean()) if self.auto and x.numel() and not x.is_meta else 0.0
        if smallest(x.dtype) <= mean < math.inf:
            self.operator.freq.fill_(AUTO_TARGET / mean)

    def encode(self, x: Tensor) -> Encoded:
        codes = self.operator(x)
        dims = tuple(range(1, x.dim()))
        if self.scale == "learned":
            scale: Tensor = made(self.alpha)
        elif self.scale == "mean_abs":
            scale = mean_abs(x.detach(), dims)
        elif self.scale == "optimal":
            scale = mean_abs(self.operator.surrogate(x.detach()), dims)
        else:
            scale = codes.new_ones(())
        return Encoded(codes, scale)

    def forward(self, x: Tensor) -> Tensor:
        codes, scale, *_ = self.encode(x)
        if not self.scaled:
            return codes
        return scaled_value(codes, scale, "full" if self.scale == "learned" else "ignored")

    def penalty(self, x: Tensor | None = None) -> Tensor:
        if x is None or not self.sine_penalty:
            return torch.zeros(())
        return self.sine_penalty * self.operator.surrogate(x).square().mean()

    def binary_weight(self, x: Tensor) -> Tensor:
        """``sign(sin(freq x))`` as int8, whatever the stage."""
        return torch.where(self.operator.surrogate(x) >= 0, 1, -1).to(torch.int8)

    def quantization_error(self, x: Tensor, kind: str = "l1") -> Tensor:
        """How far the sine is from its sign on ``x``, a 0-d tensor.

        Args:
            kind: ``"l1"``: ``mean|s - sign(s)|`` with ``s = sin(freq x)`` and no scale; ``"l2_optimal"``: the mean
                square of ``s - g sign(s)`` with the best scale ``g = mean|s|``. They move in opposite directions as the
                frequency grows.
        """
        check_choice("kind", kind, ("l1", "l2_optimal"))
        size = self.operator.surrogate(x).abs()
        return (1 - size).abs().mean() if kind == "l1" else (size - size.mean()).square().mean()

    def extra_repr(self) -> str:
        return f"scale={self.scale!r}, sine_penalty={self.sine_penalty}"


def laplace_quantization_error(u: float, kind: str = "l1") -> float:
    """:meth:`PeriodicWeight.quantization_error` of Laplace weights of scale b, in closed form, with ``u = freq * b``.

    ``E|sin| = u / (1 + u^2) coth(pi / (2u))`` and ``E sin^2 = 2u^2 / (1 + 4u^2)``; then ``l1 = 1 - E|sin|`` and
    ``l2_optimal = E sin^2 - (E|sin|)^2``.

    Args:
        u: above 0, or infinity (the limits ``1 - 2/pi`` and ``1/2 - 4/pi^2``).
        kind: ``"l1"`` or ``"l2_optimal"``.

    Example:
        >>> round(laplace_quantization_error(0.5), 6), round(laplace_quantization_error(0.5, "l2_optimal"), 6)
        (0.598503, 0.0888)
    """
    check_choice("kind", kind, ("l1", "l2_optimal"))
    if u == math.inf:
        first, second = 2 / math.pi, 0.5
    else:
        check_positive("u", u)
        first = u / (1 + u * u) / math.tanh(math.pi / (2 * u))
        second = 2 * u * u / (1 + 4 * u * u)
    return 1 - first if kind == "l1" else second - first * first


def sine_penalty(modules: Iterable[nn.Module], weight: float) -> Tensor:
    """``weight`` times the sum of ``mean(sin^2(freq w))`` over the layers among ``modules`` with periodic weights.

    Args:
        modules: for example ``model.modules()``.
        weight: at least 0.
    """
    check_range("weight", weight, low=0)
    total = torch.zeros(())
    for module in modules:
        quantizer, latent = getattr(module, "weight_quantizer", None), getattr(module, "weight", None)
        if isinstance(quantizer, PeriodicWeight) and isinstance(latent, Tensor):
            total = total + quantizer.operator.surrogate(latent).square().mean()
    return weight * total
