"""Weights standardised and clamped before their sign (ReCU)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from onebit.core.errors import check_range
from onebit.core.progress import Progress
from onebit.nn.operators import IdentitySTESign
from onebit.nn.quantizers.base import Encoded, Quantizer, learned_scale, made
from onebit.nn.quantizers.registry import weight_registry


@weight_registry.register("recu")
class RectifiedWeight(Quantizer):
    """``w -> alpha * sign(clamp(z, -Q, Q))`` with z the standardised weight: rectified clamp units.

    - ``z = 2 sqrt(2) (w - mean) / sqrt(var + 1e-5)``, mean and unbiased variance per output channel: half of the signs
      of each channel are about +1, where bits carry most;
    - ``Q = -m ln(2 - 2 tau)`` with ``m = mean|z|`` over the whole weight: about the tau quantile where z is
      Laplacian. The clamp changes no sign: it decides which weights get a gradient. Q takes no part in it;
    - ``alpha (O, 1, ...)`` is learned, drawn from U[0, 1).

    Backward: straight through the sign, then through clamp and standardisation. Schedule per epoch:
    ``tau = A e^(epoch / epochs) + B`` from ``start`` to ``end``, kept in the buffer ``tau``; until a trainer reports
    progress it is 1, which clamps nothing.

    Args:
        start, end: first and last tau, ``0.5 < start <= end < 1``; 0.85 and 0.99 as in the paper's code.

    Shape: ``(O, ...)``, floating point.

    References: [Xu2021], [Qin2023].

    Example:
        >>> quantizer = RectifiedWeight()
        >>> quantizer.attach(torch.empty(1, 4), 0)
        >>> quantizer.encode(torch.tensor([[0.5, -0.2, 0.8, 1.1]])).codes
        tensor([[-1., -1.,  1.,  1.]])
    """

    tau: Tensor
    alpha: nn.Parameter | None

    def __init__(self, start: float = 0.85, end: float = 0.99) -> None:
        super().__init__()
        self.start, self.end = float(check_range("start", start)), float(check_range("end", end))
        if not 0.5 < self.start <= self.end < 1:
            raise ValueError(f"start and end must be 0.5 < start <= end < 1, got {start} and {end}")
        self.operator = IdentitySTESign()
        self.register_buffer("tau", torch.tensor(1.0))
        self.register_parameter("alpha", None)

    def attach(self, reference: Tensor, channel_dim: int) -> None:
        self.alpha = learned_scale(self.alpha, reference, torch.rand)

    def on_progress(self, progress: Progress) -> None:
        """Set tau for this epoch."""
        share = progress.epoch / progress.epochs if progress.epochs else 1.0
        self.tau.fill_(self.start + (self.end - self.start) * math.expm1(share) / math.expm1(1))

    def standardised(self, x: Tensor) -> Tensor:
        """z."""
        dims = tuple(range(1, x.dim()))
        centred = x - x.mean(dims, keepdim=True)
        count = max(x[0].numel() - 1, 1) if x.shape[0] else 1
        variance = centred.square().sum(dims, keepdim=True) / count
        return 2 * math.sqrt(2) * centred / torch.sqrt(variance + 1e-5)

    @torch.no_grad()
    def bound(self, z: Tensor) -> Tensor:
        """Q of the standardised weight ``z``, 0-d; the largest number of its dtype where tau is 1."""
        q = -z.abs().mean() * torch.log(2 - 2 * self.tau.to(z.dtype))
        return torch.nan_to_num(q, nan=torch.finfo(z.dtype).max)

    def encode(self, x: Tensor) -> Encoded:
        z = self.standardised(x)
        q = self.bound(z)
        return Encoded(self.operator(torch.clamp(z, -q, q)), made(self.alpha))

    def extra_repr(self) -> str:
        return f"start={self.start}, end={self.end}"
