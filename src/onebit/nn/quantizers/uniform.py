"""Evenly spaced integers, symmetric around 0: int8 stems and heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onebit.core.errors import check_positive
from onebit.nn.operators import Round
from onebit.nn.quantizers.base import Encoded, Quantizer, smallest, start_from
from onebit.nn.quantizers.dorefa import _check_bits
from onebit.nn.quantizers.registry import activation_registry, weight_registry


@weight_registry.register("int8")
class UniformWeight(Quantizer):
    """``w -> s * clamp(round_half_even(w / s), -n, n)`` with ``n = 2^(k-1) - 1`` and ``s = max|w| / n``.

    Backward: straight through; the scale takes no part.

    Args:
        num_bits: k, 2..8.
        per_channel: one scale per output channel (axis 0), or one for the tensor.

    Shape: ``(O, ...)``, floating point. A channel of zeros (or of denormals, where ``s`` would be 0) has scale 1; one
    with NaN or an infinity is NaN.

    Reference: [Jacob2018].

    Example:
        >>> UniformWeight(4)(torch.tensor([[0.0, 0.6, -7.0]]))
        tensor([[ 0.,  1., -7.]])
    """

    def __init__(self, num_bits: int = 8, per_channel: bool = True) -> None:
        super().__init__()
        self.num_bits = _check_bits(num_bits, 2, 8)
        self.n = 2 ** (num_bits - 1) - 1
        self.per_channel = per_channel
        self.round = Round(-self.n, self.n)

    def encode(self, x: Tensor) -> Encoded:
        dims = tuple(range(1 if self.per_channel else 0, x.dim()))
        top = x.detach().abs().amax(dims, keepdim=True)
        scale = top / self.n
        scale = torch.where(scale == 0, torch.ones_like(top), scale)
        # 1 / scale could round above n; dividing keeps |w| / s <= n up to one rounding, which the clamp removes
        return Encoded(self.round(x / scale), scale)

    def forward(self, x: Tensor) -> Tensor:
        codes, scale, *_ = self.encode(x)
        fixed = codes.detach()
        return fixed * scale + (x - x.detach())

    def extra_repr(self) -> str:
        return f"num_bits={self.num_bits}, per_channel={self.per_channel}"


class UniformActivation(Quantizer):
    """``x -> s * clamp(round_half_even(x / s), low, high)`` with one scale.

    The scale follows the data while training: ``s = m / high`` with m the running maximum of ``|x|`` (of x if
    unsigned; the first batch, then ``m += momentum (max|x| - m)``); in eval mode it is fixed. With ``learned`` it
    starts from the first batch and is a parameter from then on, with the gradient of [Esser2020]. Backward to x: 1
    inside the range, else 0. A batch that holds NaN or an infinity leaves the scale alone, and nothing starts from one
    without a value to represent (all zeros). NaN has code 0.

    Args:
        num_bits: k, 2..8.
        signed: codes ``-n..n`` with ``n = 2^(k-1) - 1``, or ``0..2^k - 1``.
        learned: whether the scale is a parameter.
        momentum: 0..1 exclusive of 0.
        start: the largest value representable before any data has been seen, above 0.

    Reference: [Jacob2018].

    Example:
        >>> quantizer = UniformActivation(num_bits=4)
        >>> quantizer.observe(torch.tensor([-7.0, 2.0]))
        >>> quantizer.eval()(torch.tensor([0.6, 2.5, 100.0]))
        tensor([1., 2., 7.])
    """

    step: Tensor
    initialized: Tensor

    def __init__(
        self, num_bits: int = 8, signed: bool = True, learned: bool = False, momentum: float = 0.1, start: float = 4.0
    ) -> None:
        super().__init__()
        self.num_bits = _check_bits(num_bits, 2, 8)
        self.high: int = 2 ** (num_bits - 1) - 1 if signed else 2**num_bits - 1
        self.low: int = -self.high if signed else 0
        if check_positive("momentum", momentum) > 1:
            raise ValueError(f"momentum must be above 0 and at most 1, got {momentum}")
        self.learned = learned
        self.momentum = float(momentum)
        self.round = Round(self.low, self.high)
        step = torch.tensor(check_positive("start", start) / self.high)
        if learned:
            self.step = nn.Parameter(step)
        else:
            self.register_buffer("step", step)
        self.register_buffer("initialized", torch.tensor(False))

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Move the scale towards the range of ``x``; with ``learned`` only the first time."""
        if not x.numel():
            return
        top = x.detach().abs().amax() if self.low else x.detach().amax()
        new = (top / self.high).clamp(min=smallest(self.step.dtype)).to(self.step.dtype)
        if not self.learned:
            follow = self.initialized & torch.isfinite(new)
            self.step.copy_(torch.where(follow, self.step + self.momentum * (new - self.step), self.step))
        start_from(self.initialized, self.step, torch.where(top > 0, new, torch.nan))

    def encode(self, x: Tensor) -> Encoded:
        if self.training and not torch.compiler.is_exporting():
            self.observe(x)
        if torch.compiler.is_exporting():
            return Encoded(torch.ops.onebit.quantize(x, self.step, 0, self.low, self.high), self.step)
        if not self.learned:
            step = self.step.detach().clone()
            return Encoded(self.round(x / step), step)
        step = self.step.clone()
        with torch.no_grad():
            ratio = x / step
            inside = (ratio >= self.low) & (ratio <= self.high)
            edge = self.round(ratio)
        # What is clamped is kept out of the quotient: its derivative with respect to the step may be 0 times infinity.
        return Encoded(torch.where(inside, self.round(torch.where(inside, x, 0) / step), edge), step)

    def extra_repr(self) -> str:
        return f"num_bits={self.num_bits}, low={self.low}, high={self.high}, learned={self.learned}"


activation_registry.add("int8", UniformActivation)
activation_registry.add("uint8", lambda **settings: UniformActivation(signed=False, **settings))
