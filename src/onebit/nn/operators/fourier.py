"""Sign with the derivative of the first terms of a square wave's Fourier series."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onebit.core.errors import check_positive
from onebit.core.progress import Progress
from onebit.nn.operators.base import Operator, in_dtype, sign
from onebit.nn.operators.registry import registry


@registry.register("fourier")
class FourierSign(Operator):
    """Sign with the derivative of ``4/pi sum_{i=0..n} sin((2i+1) w x) / (2i+1)`` on [-1, 1].

    Forward: ``y = +1 if x >= 0 else -1``. Backward: ``dL/dx = k(x) * dL/dy`` with
    ``k(x) = (4 w / pi) sum_{i=0..n} cos((2i+1) w x)`` where ``|x| <= 1``, else 0, computed in closed form:
    ``(2 w / pi) sin(2 (n+1) w x) / sin(w x)``. For 18 harmonics k is slightly negative near ``|x| = 1``.
    Schedule per epoch: ``n = start + floor((end - start) epoch / epochs)``, kept in the buffer ``n``.

    Args:
        freq: w, above 0; 0.1 as in the paper's code.
        start, end: number of harmonics after the first, 0 or more; 9 and 18 as in the paper's code (so
            17 in the last epoch).

    Reference: [Xu2021b]; its noise-adaptation module is :class:`onebit.nn.quantizers.NoiseAdaptation`.

    Example:
        >>> FourierSign(start=0).gradient(torch.tensor([0.0, 1.5]), torch.tensor(0.0))
        tensor([0.1273, 0.0000])
    """

    n: Tensor

    def __init__(self, freq: float = 0.1, start: int = 9, end: int = 18) -> None:
        super().__init__()
        self.freq = float(check_positive("freq", freq))
        self.start, self.end = _count("start", start), _count("end", end)
        self.register_buffer("n", torch.tensor(float(start)))

    def on_progress(self, progress: Progress) -> None:
        """Set n for this epoch."""
        done = (self.end - self.start) * progress.epoch // progress.epochs if progress.epochs else self.end - self.start
        self.n.fill_(self.start + done)

    def state(self) -> tuple[Tensor, ...]:
        return (self.n,)

    def hard(self, x: Tensor, n: Tensor) -> Tensor:  # type: ignore[override]
        return sign(x)

    def gradient(self, x: Tensor, n: Tensor) -> Tensor:  # type: ignore[override]
        inside = x.abs() <= 1
        angle = self.freq / math.pi * torch.where(inside, x, 0)
        count = in_dtype(n, x) + 1
        # sin(2 c a) / (2 sin a) as a ratio of cardinal sines, which have no hole at 0
        terms = count * torch.sinc(2 * count * angle) / torch.sinc(angle)
        return torch.where(inside, 4 * self.freq / math.pi * terms, 0)

    def surrogate(self, x: Tensor) -> Tensor:
        """``4/pi sum_{i=0..n} sin((2i+1) w z) / (2i+1)`` with z = clamp(x, -1, 1)."""
        z = x.clamp(-1, 1) * self.freq
        odd = range(1, 2 * int(self.n) + 2, 2)
        return torch.stack([torch.sin(k * z) / k for k in odd]).sum(0) * (4 / math.pi)

    def extra_repr(self) -> str:
        return f"freq={self.freq}, start={self.start}, end={self.end}"


def _count(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be an integer of 0 or more, got {value!r}")
    return value
