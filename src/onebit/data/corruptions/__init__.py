"""What spoils images in the field, in five severities: noise, blur, weather, and what cameras and files do to them.

The kinds are those of CIFAR-10-C [Hendrycks2019], written anew as tensor operations for images of 4 pixels a side or
more; the severities are meant for 28 to 32 pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onebit.core.errors import check_range, shown
from onebit.data.corruptions import blur, digital, noise, weather  # noqa: F401 - each registers its kinds
from onebit.data.corruptions.draws import Draws, registry

CORRUPTIONS: tuple[str, ...] = tuple(registry)
AT_ONCE = 1000


def corrupt(images: Tensor, kind: str, severity: int, seed: int = 0, *, first: int = 0) -> Tensor:
    """Images as they would look after ``kind`` of corruption [Hendrycks2019].

    What an image gets follows from ``seed``, ``kind`` and its index alone, not from how many images there are. The
    severities of a kind share their draws, so that each is more of the same: brighter noise at the same pixels, a
    larger square about the same place.

    Args:
        images: ``(N, C, H, W)`` uint8, C of 1 or 3, H and W of 4 or more; left as they are.
        kind: a name of :data:`CORRUPTIONS`.
        severity: 1..5.
        seed: of the draws.
        first: index of ``images[0]``, for a part of a longer set: ``corrupt(x[5:], ..., first=5)`` is
            ``corrupt(x, ...)[5:]``.

    Returns:
        ``(N, C, H, W)`` uint8, on the device of ``images``.

    Raises:
        KeyError: no such kind.
        ValueError: another argument is not as above.

    Example:
        >>> grey = torch.full((1, 1, 4, 4), 102, dtype=torch.uint8)
        >>> [int(corrupt(grey, "brightness", severity).max()) for severity in (1, 2, 5)]
        [128, 153, 230]
    """
    _check(images)
    spoil = registry[kind]
    if not isinstance(severity, int) or isinstance(severity, bool) or not 1 <= severity <= 5:
        raise ValueError(f"severity must be an integer 1..5, got {shown(severity)}")
    check_range("first", first, 0)
    parts = []
    for start in range(0, len(images), AT_ONCE):
        x = images[start : start + AT_ONCE].cpu().float() / 255
        y = spoil(x, severity, Draws(seed, kind, first + start, len(x)))
        parts.append((y.clamp(0, 1) * 255).round().to(torch.uint8))
    return torch.cat(parts).to(images.device) if parts else images.clone()


def _check(images: Tensor) -> None:
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 4:
        got = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be uint8 of shape (N, C, H, W), got {got}")
    channels, height, width = images.shape[1:]
    if channels not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels, got {channels}")
    if min(height, width) < 4:
        raise ValueError(f"images must be 4x4 pixels or larger, got {height}x{width}")
