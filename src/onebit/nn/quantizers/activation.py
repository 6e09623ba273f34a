"""Activations as -1 and +1: the sign, with an optional shift, scale or normalisation before it."""

from __future__ import annotations

import copy
import functools

import torch
from torch import Tensor, nn

from onebit.core.errors import check_positive
from onebit.nn import operators
from onebit.nn.operators import Operator
from onebit.nn.quantizers.base import Encoded, Quantizer, scaled_value, start_from
from onebit.nn.quantizers.binary import check_choice
from onebit.nn.quantizers.registry import activation_registry

SHIFTS = ("none", "learned", "centred")
SCALES = ("none", "sample")
LARGEST = 1e15  # its square is far from the largest float32


class PerSampleStdNorm(nn.Module):
    """Division by the standard deviation of each sample, in training only: ``x / sqrt(var(x over dims 1..) + eps)``.

    The variance is the unbiased one; the gradient flows through it. The divisor is positive, so signs do not change: it
    only decides where a sign's gradient is not zero. In eval mode the input is returned. For the deviation, values
    beyond 1e15 count as 1e15, so that their squares do not overflow.

    Args:
        eps: above 0.

    Shape: ``(N, ...)`` to the same, at least two dimensions. A sample of one element is left as it is.

    Reference: [Vargas2024], after [Xu2021].

    Example:
        >>> PerSampleStdNorm()(torch.tensor([[1.0, 3.0]]))
        tensor([[0.7071, 2.1213]])
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = float(check_positive("eps", eps))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.numel() <= x.shape[0]:
            return x
        # two passes written out: several times as fast as torch.var on a CPU
        flat = x.flatten(1).to(torch.promote_types(x.dtype, torch.float32))
        flat = flat.clamp(-LARGEST, LARGEST)
        centred = flat - flat.mean(1, keepdim=True)
        std = torch.sqrt(centred.square().sum(1) / (flat.shape[1] - 1) + self.eps)
        return x / std.to(x.dtype).view(-1, *[1] * (x.dim() - 1))


class BinaryActivation(Quantizer):
    """``x -> K * sign(x + shift)``.

    Args:
        operator: a sign operator or its name; decides the gradient through the sign.
        shift: ``"none"``; ``"learned"``: a parameter per channel that starts at 0 (ReActNet's RSign); ``"centred"``:
            one that starts at minus the mean of each channel over the first training batch whose means are finite (or
            over the tensor given to ``observe``), for inputs that cannot be negative and would all become +1. Until
            then it is -0.5.
        scale: ``"none"``: K = 1; ``"sample"``: mean of ``|x|`` per sample, ``(N, 1, 1, 1)`` (rows ``(..., 1)`` in a
            linear layer), not differentiated, as in BiBench's XNOR-Net; or a number above 0.
        scale_gradient: ``"ignored"``: ``dL/dx = k(x) G`` as if K were 1; ``"detached"``: ``dL/dx = K k(x) G``.
        normalize: whether :class:`PerSampleStdNorm` comes first.

    Shape: ``(N, C, ...)`` or ``(..., C)``, as attached.

    References: [Courbariaux2016], [Rastegari2016], [Liu2018], [Liu2020], [Vargas2024], [Qin2023].

    Example:
        >>> BinaryActivation()(torch.tensor([[-0.25, 0.0, 3.0]]))
        tensor([[-1.,  1.,  1.]])
    """

    initialized: Tensor
    shift: nn.Parameter | None

    def __init__(
        self,
        operator: str | Operator = "polynomial",
        shift: str = "none",
        scale: str | float = "none",
        normalize: bool = False,
        scale_gradient: str = "ignored",
    ) -> None:
        super().__init__()
        check_choice("shift", shift, SHIFTS)
        if isinstance(scale, str):
            check_choice("scale", scale, SCALES)
        else:
            check_positive("scale", scale)
        check_choice("scale_gradient", scale_gradient, ("ignored", "detached"))
        self.scale_gradient = scale_gradient
        self.operator = operators.build(operator)
        self.norm = PerSampleStdNorm() if normalize else None
        self.shift_kind = shift
        self.scale = scale
        self.scaled = scale != "none"
        self.channel_dim = 1
        self.register_parameter("shift", None)
        if shift == "centred":
            self.register_buffer("initialized", torch.tensor(False))

    def attach(self, reference: Tensor, channel_dim: int) -> None:
        self.channel_dim = channel_dim
        if self.shift_kind == "none":
            return
        channels = reference.shape[channel_dim]
        if self.shift is not None and self.shift.shape != (channels,):
            raise ValueError(f"this quantizer belongs to a layer with {self.shift.numel()} channels, not {channels}")
        if self.shift is None:
            start = -0.5 if self.shift_kind == "centred" else 0.0
            self.shift = nn.Parameter(reference.new_full((channels,), start))

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Where the shift is centred: start it at minus the mean of each channel of ``x``, if all are finite."""
        if self.shift_kind == "centred" and x.numel():
            start = -self._mean(x)
            if bool(torch.isfinite(start).all()):
                self._shift().copy_(start)
                self.initialized.fill_(True)

    @torch.no_grad()
    def _start(self, x: Tensor) -> None:
        """As ``observe``, but only the first time."""
        start_from(self.initialized, self._shift(), -self._mean(x))

    def _mean(self, x: Tensor) -> Tensor:
        dims = tuple(d for d in range(x.dim()) if d != self.channel_dim % x.dim())
        return x.mean(dims) if dims else x

    def _shift(self) -> Tensor:
        if self.shift is None:
            raise ValueError(f"shift={self.shift_kind!r} has no channels yet: a layer makes them, or call attach(...)")
        return self.shift

    def before_sign(self, x: Tensor) -> Tensor:
        """What the sign is taken of: ``x`` normalised and shifted."""
        if self.shift_kind == "centred" and self.training and x.numel() and not torch.compiler.is_exporting():
            self._start(x)
        z = x if self.norm is None else self.norm(x)
        if self.shift_kind != "none":
            z = z + self._shift().view(-1, *[1] * (x.dim() - 1 - self.channel_dim % x.dim()))
        return z

    def encode(self, x: Tensor) -> Encoded:
        codes = self.operator(self.before_sign(x))
        if self.scale == "none":
            return Encoded(codes, codes.new_ones(()))
        if not isinstance(self.scale, str):
            return Encoded(codes, torch.full((), self.scale, dtype=x.dtype, device=x.device))
        return Encoded(codes, self.sample_scale(x))

    @torch.no_grad()
    def sample_scale(self, x: Tensor) -> Tensor:
        """K of ``scale="sample"``: ``(N, 1, ...)``, or ``(..., 1)`` in a linear layer."""
        if self.channel_dim == -1:
            return x.abs().mean(-1, keepdim=True)
        return x.abs().flatten(1).mean(-1).view(-1, *[1] * (x.dim() - 1))

    def forward(self, x: Tensor) -> Tensor:
        codes, scale, *_ = self.encode(x)
        return scaled_value(codes, scale, self.scale_gradient) if self.scaled else codes

    def extra_repr(self) -> str:
        return f"shift={self.shift_kind!r}, scale={self.scale!r}"


def centred(quantizer: Quantizer) -> Quantizer:
    """For an input that cannot be negative, where a sign alone would give +1 always: a copy with a centred shift.

    A quantizer that is not a sign (DoReFa's k bits, integers, a step) fits such an input and is copied as it is.
    """
    result = copy.deepcopy(quantizer)
    if isinstance(result, BinaryActivation) and not isinstance(result.operator, operators.Step):
        result.shift_kind = "centred"
        result.shift = None
        result.register_buffer("initialized", torch.tensor(False))
    return result


def reste_activation(
    o_end: float = 3.0, clip: float = 1.5, inner: float = 0.1, shift: str = "none"
) -> BinaryActivation:
    """ReSTE activations: the power-function sign [Wu2023]."""
    return BinaryActivation(operators.PowerSign(o_end=o_end, clip=clip, inner=inner), shift)


for _name in ("sign", "bnn", "xnor++"):
    activation_registry.add(_name, functools.partial(BinaryActivation, "clipped"))
activation_registry.add("xnor", functools.partial(BinaryActivation, "clipped", scale="sample"))
activation_registry.add("bireal", functools.partial(BinaryActivation, "polynomial"))
activation_registry.add("react", functools.partial(BinaryActivation, "polynomial", shift="learned"))
for _name, _paper in (("biper", "Vargas2024"), ("recu", "Xu2021")):
    activation_registry.add(_name, functools.partial(BinaryActivation, "polynomial", normalize=True), papers=(_paper,))
activation_registry.add("reste", reste_activation)
activation_registry.add("step", functools.partial(BinaryActivation, "step"))
