"""The sign of a sine: a square wave with the sine's derivative (BiPer)."""

from __future__ import annotations

import torch
from torch import Tensor

from onebit.core.errors import check_positive
from onebit.core.progress import Progress
from onebit.nn.operators.base import Operator, apply, in_dtype, sign
from onebit.nn.operators.registry import registry


@registry.register("periodic")
class PeriodicSign(Operator):
    """Square wave of period ``2 pi / freq`` with the derivative of the sine of the same period.

    - stage 1, forward: ``y = sin(freq x)`` (real values; a network in stage 1 is not a network of bits);
    - stage 2, forward: ``y = +1 if sin(freq x) >= 0 else -1`` (0 gives +1);
    - both, backward: ``dL/dx = freq cos(freq x) * dL/dy``.

    Where ``freq x`` is no finite float it counts as NaN: -1 (NaN in stage 1), without a gradient.

    Where ``staged``, the stage follows ``Progress.stage`` (2 from the second stage on). Stage and frequency are
    buffers.

    Args:
        freq: above 0; 20 as in the paper's scripts. Keep ``freq * mean|x|`` roughly in 0.3..1.5.
        stage: 1 or 2 at construction.
        staged: whether ``on_progress`` sets the stage.

    Reference: [Vargas2024].

    Example:
        >>> PeriodicSign(freq=20.0)(torch.tensor([0.02, -0.05, 0.1, 0.2]))
        tensor([ 1., -1.,  1., -1.])
    """

    freq: Tensor
    _stage: Tensor

    def __init__(self, freq: float = 20.0, stage: int = 2, staged: bool = False) -> None:
        super().__init__()
        check_positive("freq", freq)
        self.staged = staged
        self.register_buffer("freq", torch.tensor(float(freq)))
        self.register_buffer("_stage", torch.tensor(_check_stage(stage)))

    @property
    def stage(self) -> int:
        """1 (sine) or 2 (its sign)."""
        return int(self._stage)

    @stage.setter
    def stage(self, stage: int) -> None:
        self._stage.fill_(_check_stage(stage))

    def on_progress(self, progress: Progress) -> None:
        """Where ``staged``: stage 1 while the training is in its first stage, 2 from then on."""
        if self.staged:
            self._stage.fill_(min(progress.stage, 2))

    def state(self) -> tuple[Tensor, ...]:
        return (self.freq, self._stage)

    def hard(self, x: Tensor, freq: Tensor, stage: Tensor) -> Tensor:  # type: ignore[override]
        wave = torch.sin(in_dtype(freq, x) * x)
        return torch.where(stage == 1, wave, sign(wave))

    def gradient(self, x: Tensor, freq: Tensor, stage: Tensor) -> Tensor:  # type: ignore[override]
        freq = in_dtype(freq, x)
        return freq * torch.cos(freq * x)

    def surrogate(self, x: Tensor) -> Tensor:
        """``sin(freq x)``."""
        return torch.sin(in_dtype(self.freq, x) * x)

    def extra_repr(self) -> str:
        if self.freq.is_meta:
            return "on the meta device"
        return f"freq={float(self.freq):g}, stage={self.stage}"


def periodic_sign(x: Tensor, freq: float | Tensor) -> Tensor:
    """:class:`PeriodicSign` in stage 2 as a function; no gradient to ``freq``.

    Args:
        x: any shape.
        freq: above 0 and finite (a number is checked), or a tensor that broadcasts against ``x``.

    Example:
        >>> periodic_sign(torch.tensor([0.0, 0.2]), freq=20.0)
        tensor([ 1., -1.])
    """
    if not isinstance(freq, Tensor):
        check_positive("freq", freq)
        freq = torch.tensor(float(freq), dtype=x.dtype, device=x.device)
    return apply(PeriodicSign(), x, freq, torch.tensor(2, device=x.device))


def _check_stage(stage: int) -> int:
    if stage not in (1, 2):
        raise ValueError(f"stage must be 1 (sine) or 2 (its sign), got {stage!r}")
    return int(stage)
