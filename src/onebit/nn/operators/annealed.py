"""Signs whose gradient sharpens in training: annealed tanh (EDE), annealed triangle (RBNN), power function (ReSTE)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onebit.core.errors import check_positive, check_range
from onebit.core.progress import Progress
from onebit.nn.operators.base import Operator, apply, sign
from onebit.nn.operators.registry import registry


def epochs_done(progress: Progress) -> float:
    """Share of the epochs completed, 0..1: the published schedules move once an epoch."""
    return progress.epoch / progress.epochs if progress.epochs else 1.0


class Annealed(Operator):
    """A sign whose gradient has a sharpness t that grows geometrically, once an epoch.

    Schedule: ``t = start (end / start)^(epoch / epochs)``, kept in the buffer ``t``; ``gradient`` and ``surrogate`` are
    those of the subclass.

    Args:
        start, end: first and last value of t, above 0.
    """

    t: Tensor

    def __init__(self, start: float, end: float) -> None:
        super().__init__()
        self.start = float(check_positive("start", start))
        self.end = float(check_positive("end", end))
        self.register_buffer("t", torch.tensor(self.start))

    def on_progress(self, progress: Progress) -> None:
        """Set t for this epoch."""
        share = epochs_done(progress)
        self.t.fill_(math.exp((1 - share) * math.log(self.start) + share * math.log(self.end)))

    def state(self) -> tuple[Tensor, ...]:
        return (self.t,)

    def hard(self, x: Tensor, t: Tensor) -> Tensor:  # type: ignore[override]
        return sign(x)

    def extra_repr(self) -> str:
        return f"start={self.start}, end={self.end}"


@registry.register("tanh")
class TanhSign(Annealed):
    """Sign with the derivative of a tanh that is annealed from nearly linear to nearly a sign.

    Forward: ``y = +1 if x >= 0 else -1``. Backward: ``dL/dx = c t (1 - tanh(t x)^2) * dL/dy`` with ``c = max(1/t, 1)``.
    Schedule per epoch: ``t = start (end / start)^(epoch / epochs)``, kept in the buffer ``t``.

    Args:
        start, end: first and last value of t, above 0; 0.1 and 10 as in IR-Net's error decay estimator.

    Reference: [Qin2020].

    Example:
        >>> operator = TanhSign()
        >>> operator.on_progress(Progress(5, 10, 5, 10))
        >>> operator.t
        tensor(1.)
    """

    def __init__(self, start: float = 0.1, end: float = 10.0) -> None:
        super().__init__(start, end)

    def gradient(self, x: Tensor, t: Tensor) -> Tensor:  # type: ignore[override]
        t = t.to(x.dtype)
        tanh = torch.tanh(t * x)
        return torch.clamp(1 / t, min=1) * t * (1 - tanh * tanh)

    def surrogate(self, x: Tensor) -> Tensor:
        """``c tanh(t x)``."""
        t = self.t.to(x.dtype)
        return torch.clamp(1 / t, min=1) * torch.tanh(t * x)


@registry.register("triangle")
class TriangleSign(Annealed):
    """Sign with the derivative of a triangle that is annealed from wide and low to narrow and high.

    Forward: ``y = +1 if x >= 0 else -1``. Backward: ``dL/dx = max(0, c (sqrt(2) t - t^2 |x|)) * dL/dy`` with
    ``c = max(1/t, 1)``. Schedule per epoch: ``t = start (end / start)^(epoch / epochs)``, kept in the buffer ``t``.

    Args:
        start, end: first and last value of t, above 0; 0.01 and 10 as in the paper.

    Reference: [Lin2020] (the training-aware approximation of rotated binary networks).

    Example:
        >>> TriangleSign().gradient(torch.tensor([0.0, 1.0, -2.0]), torch.tensor(1.0))
        tensor([1.4142, 0.4142, 0.0000])
    """

    def __init__(self, start: float = 0.01, end: float = 10.0) -> None:
        super().__init__(start, end)

    def gradient(self, x: Tensor, t: Tensor) -> Tensor:  # type: ignore[override]
        t = t.to(x.dtype)
        # the size is cut before it is multiplied, so that an infinite input has the gradient 0
        size = torch.minimum(x.abs(), math.sqrt(2) / t)
        return (torch.clamp(1 / t, min=1) * t * (math.sqrt(2) - t * size)).clamp(min=0)

    def surrogate(self, x: Tensor) -> Tensor:
        """``c (sqrt(2) z - z |z| / 2)`` with z = t x cut at the root of 2: c times the sign from there on."""
        t = self.t.to(x.dtype)
        z = (t * x).clamp(-math.sqrt(2), math.sqrt(2))
        return torch.clamp(1 / t, min=1) * (math.sqrt(2) * z - z * z.abs() / 2)


@registry.register("power")
class PowerSign(Operator):
    """Sign with the derivative of the signed power ``f_o(x) = sign(x) |x|^(1/o)``, from identity (o = 1) towards sign.

    Forward: ``y = +1 if x >= 0 else -1``. Backward, ``dL/dx = k(x) * dL/dy``:

    - ``|x| <= inner``: the chord's slope ``inner^(1/o - 1)``, so that the gradient at 0 is finite;
    - ``inner < |x| <= clip``: ``(1/o) |x|^((1-o)/o)``;
    - ``|x| > clip``: 0.

    Schedule per epoch: ``o = 1 + (1 - cos(pi/2 * epoch/epochs)) (o_end - 1)``, kept in the buffer ``o``.

    Args:
        o: at construction, at least 1.
        o_end: at the end of training, at least 1; None keeps ``o`` where it is set.
        clip, inner: ``0 < inner < clip``.

    Reference: [Wu2023] (rectified straight-through estimator, ReSTE).

    Example:
        >>> PowerSign(o=2.0).gradient(torch.tensor([0.0, 1.0, 1.6]), torch.tensor(2.0))
        tensor([3.1623, 0.5000, 0.0000])
    """

    o: Tensor

    def __init__(self, o: float = 1.0, o_end: float | None = 3.0, clip: float = 1.5, inner: float = 0.1) -> None:
        super().__init__()
        check_range("o", o, low=1)
        self.o_end = None if o_end is None else float(check_range("o_end", o_end, low=1))
        self.clip, self.inner = _check_band(clip, inner)
        self.register_buffer("o", torch.tensor(float(o)))

    def on_progress(self, progress: Progress) -> None:
        """Set o for this epoch."""
        if self.o_end is not None:
            self.o.fill_(1 + (1 - math.cos(math.pi / 2 * epochs_done(progress))) * (self.o_end - 1))

    def state(self) -> tuple[Tensor, ...]:
        return (self.o,)

    def hard(self, x: Tensor, o: Tensor) -> Tensor:  # type: ignore[override]
        return sign(x)

    def gradient(self, x: Tensor, o: Tensor) -> Tensor:  # type: ignore[override]
        o = o.to(x.dtype)
        size = x.abs()
        # clamped from below before the power: at 0 its derivative is infinite, and 0 * inf in double backward is NaN
        outer = size.clamp(min=self.inner) ** ((1 - o) / o) / o
        chord = self.inner ** (1 / o - 1)
        return torch.where(size <= self.inner, chord, outer) * (size <= self.clip)

    def surrogate(self, x: Tensor) -> Tensor:
        """``sign(x) |x|^(1/o)``, whose derivative is the gradient for ``inner < |x| <= clip``."""
        return torch.sign(x) * x.abs() ** (1 / self.o.to(x.dtype))

    def extra_repr(self) -> str:
        return f"o_end={self.o_end}, clip={self.clip}, inner={self.inner}"


def power_sign(x: Tensor, o: float | Tensor, clip: float = 1.5, inner: float = 0.1) -> Tensor:
    """:class:`PowerSign` as a function; no gradient to ``o``.

    Args:
        x: any shape.
        o: at least 1 (a number is checked), or a 0-d tensor.
        clip, inner: ``0 < inner < clip``.

    Example:
        >>> power_sign(torch.tensor([0.0, -3.0]), o=2.0)
        tensor([ 1., -1.])
    """
    operator = PowerSign(o_end=None, clip=clip, inner=inner)
    if not isinstance(o, Tensor):
        check_range("o", o, low=1)
        o = torch.tensor(float(o), dtype=x.dtype, device=x.device)
    return apply(operator, x, o)


def _check_band(clip: float, inner: float) -> tuple[float, float]:
    check_positive("clip", clip)
    check_positive("inner", inner)
    if inner >= clip:
        raise ValueError(f"inner must be below clip ({clip}), got {inner}")
    return float(clip), float(inner)
