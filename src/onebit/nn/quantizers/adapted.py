"""Signs with the Fourier gradient and a noise-adaptation network that fades out of training (FDA)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from onebit.core.progress import Progress
from onebit.nn.quantizers.activation import BinaryActivation
from onebit.nn.quantizers.base import scaled_value
from onebit.nn.quantizers.binary import BinaryWeight
from onebit.nn.quantizers.registry import activation_registry, weight_registry


class NoiseAdaptation(nn.Module):
    """``amount * (W2 relu(W1 x) + 0.1 sin(x))``: what is added to a sign in training, and gone at its end.

    ``W1 (h, d)`` and ``W2 (d, h)`` are learned, ``h = d // 64`` (``d // 4`` below 64 features, at least 1). Schedule
    per epoch: ``amount = 0.05 (1 + cos(pi (epoch + 1) / epochs))``, from about 0.1 down to 0 in the last epoch, kept in
    the buffer ``amount``; until a trainer reports progress it is 0.

    Args:
        features: d.
        reference: a tensor on the device and of the dtype of the parameters.

    Shape: ``(..., d)`` to the same.

    References: [Xu2021b], [Qin2023].
    """

    amount: Tensor

    def __init__(self, features: int, reference: Tensor) -> None:
        super().__init__()
        hidden = features // 64 or max(features // 4, 1)
        self.reduce = nn.Linear(features, hidden, bias=False, device=reference.device, dtype=reference.dtype)
        self.expand = nn.Linear(hidden, features, bias=False, device=reference.device, dtype=reference.dtype)
        self.register_buffer("amount", torch.zeros((), device=reference.device))

    def on_progress(self, progress: Progress) -> None:
        """Set the amount for this epoch."""
        ahead = min(progress.epoch + 1, progress.epochs) / progress.epochs if progress.epochs else 1.0
        self.amount.fill_(0.05 * (1 + math.cos(math.pi * ahead)) if ahead < 1 else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        noise = self.expand(torch.relu(self.reduce(x))) + 0.1 * torch.sin(x)
        amount = self.amount.to(noise.dtype)
        return torch.where(amount > 0, noise * amount, 0)  # 0 times infinity would spoil the sign

    def extra_repr(self) -> str:
        return f"features={self.reduce.in_features}, hidden={self.reduce.out_features}"


@weight_registry.register("fda")
class AdaptedWeight(BinaryWeight):
    """``w -> s * (sign(w) + e(w))`` in training, ``s * sign(w)`` afterwards; s the mean of ``|w|`` per output channel.

    Backward: the ``fourier`` operator's gradient times s, and through e; s takes no part. e is a
    :class:`NoiseAdaptation` of all weights of one output channel. In eval mode, and so in a packed network, it is not
    there.

    Shape: ``(O, ...)``, floating point.

    References: [Xu2021b], [Qin2023].

    Example:
        >>> quantizer = AdaptedWeight()
        >>> quantizer.attach(torch.empty(1, 4), 0)
        >>> quantizer.eval()(torch.tensor([[0.5, -0.25, 0.75, 1.0]])).detach()
        tensor([[ 0.6250, -0.6250,  0.6250,  0.6250]])
    """

    def __init__(self) -> None:
        super().__init__("fourier", "channel", "detached")
        self.adaptation: NoiseAdaptation | None = None

    def attach(self, reference: Tensor, channel_dim: int) -> None:
        self.adaptation = _adaptation(self.adaptation, math.prod(reference.shape[1:]), reference)

    def forward(self, x: Tensor) -> Tensor:
        codes, scale, *_ = self.encode(x)
        if self.training and self.adaptation is not None:
            codes = codes + self.adaptation(x.flatten(1)).view_as(x)
        return scaled_value(codes, scale, self.scale_gradient)


@activation_registry.register("fda")
class AdaptedActivation(BinaryActivation):
    """``x -> sign(x) + e(x)`` in training, ``sign(x)`` afterwards, with the ``fourier`` operator's gradient.

    e is a :class:`NoiseAdaptation` of the channels at every pixel, or of the features of every row.

    Shape: ``(N, C, ...)`` or ``(..., C)``, as attached.

    References: [Xu2021b], [Qin2023].

    Example:
        >>> AdaptedActivation()(torch.tensor([[-0.25, 0.0, 3.0]]))
        tensor([[-1.,  1.,  1.]])
    """

    def __init__(self) -> None:
        super().__init__("fourier")
        self.adaptation: NoiseAdaptation | None = None

    def attach(self, reference: Tensor, channel_dim: int) -> None:
        super().attach(reference, channel_dim)
        self.adaptation = _adaptation(self.adaptation, reference.shape[channel_dim], reference)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.adaptation is None:
            return super().forward(x)
        z = self.before_sign(x)
        noise = self.adaptation(z.movedim(self.channel_dim, -1)).movedim(-1, self.channel_dim)
        return self.operator(z) + noise  # type: ignore[no-any-return]


def _adaptation(known: NoiseAdaptation | None, features: int, reference: Tensor) -> NoiseAdaptation:
    if known is None:
        return NoiseAdaptation(features, reference)
    if known.reduce.in_features != features:
        raise ValueError(f"this quantizer belongs to a layer with {known.reduce.in_features} features, not {features}")
    return known
