"""Hard functions with other values than -1 and +1: step, ternary, round."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onebit.core.errors import check_positive, check_range
from onebit.nn.operators.base import Operator, in_dtype
from onebit.nn.operators.registry import registry
from onebit.nn.ops import quantize_codes

_INT32 = 2**31 - 128  # the largest float32 below 2^31


@registry.register("step")
class Step(Operator):
    """Step to {0, 1}, which is ``(sign(x) + 1) / 2``, with half the gradient of a clipped sign.

    Forward: ``y = 1 if x >= 0 else 0`` (NaN gives 0). Backward: ``dL/dx = 1/2 * dL/dy if |x| <= clip else 0``.

    Args:
        clip: above 0.

    Reference: [Bengio2013].

    Example:
        >>> Step()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0., 1., 1.])
    """

    def __init__(self, clip: float = 1.0) -> None:
        super().__init__()
        self.clip = float(check_positive("clip", clip))

    def hard(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return (x >= 0).to(x.dtype)

    def gradient(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return (x.abs() <= self.clip).to(x.dtype) / 2

    def surrogate(self, x: Tensor) -> Tensor:
        """``(clamp(x, -clip, clip) + 1) / 2``."""
        return (x.clamp(-self.clip, self.clip) + 1) / 2

    def extra_repr(self) -> str:
        return f"clip={self.clip}"


@registry.register("ternary")
class Ternary(Operator):
    """Ternary function with a dead zone.

    Forward: ``y = +1 if x > threshold, -1 if x < -threshold, else 0`` (NaN gives 0).
    Backward: ``dL/dx = dL/dy if |x| <= clip else 0``.

    Args:
        threshold: half-width of the dead zone, at least 0; a buffer.
        clip: above 0.

    Reference: [Li2016].

    Example:
        >>> Ternary()(torch.tensor([-2.0, 0.5, 0.6]))
        tensor([-1.,  0.,  1.])
    """

    threshold: Tensor

    def __init__(self, threshold: float = 0.5, clip: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.tensor(float(check_range("threshold", threshold, low=0))))
        self.clip = float(check_positive("clip", clip))

    def state(self) -> tuple[Tensor, ...]:
        return (self.threshold,)

    def hard(self, x: Tensor, threshold: Tensor) -> Tensor:  # type: ignore[override]
        threshold = in_dtype(threshold, x)
        return (x > threshold).to(x.dtype) - (x < -threshold).to(x.dtype)

    def gradient(self, x: Tensor, threshold: Tensor) -> Tensor:  # type: ignore[override]
        return (x.abs() <= self.clip).to(x.dtype)

    def surrogate(self, x: Tensor) -> Tensor:
        """``clamp(x, -clip, clip)``."""
        return x.clamp(-self.clip, self.clip)

    def extra_repr(self) -> str:
        return f"clip={self.clip}"


@registry.register("round")
class Round(Operator):
    """Rounding to the nearest integer, halves to even, clamped to ``[low, high]``; straight-through inside.

    Forward: ``y = clamp(round_half_even(x), low, high)`` (NaN gives 0).
    Backward: ``dL/dx = dL/dy if low <= x <= high else 0``.

    Args:
        low, high: integers with ``low <= 0 <= high``, or None for no bound (32-bit integers when exported).

    Reference: [Jacob2018].

    Example:
        >>> Round(low=-3, high=3)(torch.tensor([0.5, 1.5, 9.0]))
        tensor([0., 2., 3.])
    """

    def __init__(self, low: int | None = None, high: int | None = None) -> None:
        super().__init__()
        for name, bound, allowed in (("low", low, low is None or low <= 0), ("high", high, high is None or high >= 0)):
            if bound is not None and (int(bound) != bound or not allowed):
                raise ValueError(f"{name} must be an integer with low <= 0 <= high, got {bound!r}")
        self.low, self.high = low, high

    def hard(self, x: Tensor) -> Tensor:  # type: ignore[override]
        if torch.compiler.is_exporting():
            low = -_INT32 if self.low is None else self.low
            high = _INT32 if self.high is None else self.high
            return torch.ops.onebit.quantize(x, torch.ones((), dtype=x.dtype, device=x.device), 0, low, high)
        return quantize_codes(x, 1.0, 0, self._low, self._high)

    def gradient(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return ((x >= self._low) & (x <= self._high)).to(x.dtype)

    def surrogate(self, x: Tensor) -> Tensor:
        """``clamp(x, low, high)``."""
        return x.clamp(self._low, self._high)

    @property
    def _low(self) -> float:
        return -math.inf if self.low is None else self.low

    @property
    def _high(self) -> float:
        return math.inf if self.high is None else self.high

    def extra_repr(self) -> str:
        return f"low={self.low}, high={self.high}"
