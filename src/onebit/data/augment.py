"""Normalisation and random augmentation of batches of images, as tensor operations on the whole batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def normalize(images: Tensor, mean: Sequence[float] = (), std: Sequence[float] = ()) -> Tensor:
    """``(images / 255 - mean) / std`` per channel for uint8 images, in that order of float32 operations.

    Args:
        images: ``(N, C, H, W)`` uint8. Tensors of another dtype are no pixels and come back unchanged.
        mean, std: ``C`` numbers each; without them only the division by 255 is done.

    Returns:
        ``(N, C, H, W)`` float32.

    Example:
        >>> normalize(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8), (0.5,), (0.25,)).item()
        2.0
    """
    if images.dtype != torch.uint8:
        return images
    # By a tensor on the device: there division by a Python number is a multiplication by its rounded reciprocal.
    x = images.to(torch.float32).div_(torch.full((), 255.0, device=images.device))
    if len(mean) != len(std) or (len(mean) and len(mean) != images.shape[1]):
        raise ValueError(f"mean and std must have {images.shape[1]} numbers each, got {len(mean)} and {len(std)}")
    if not all(0 < deviation < math.inf for deviation in std):
        raise ValueError(f"std must be finite and above 0, got {tuple(std)}")
    if len(mean):
        shape = (1, -1, 1, 1)
        x.sub_(torch.tensor(mean, dtype=torch.float32, device=x.device).view(shape))
        x.div_(torch.tensor(std, dtype=torch.float32, device=x.device).view(shape))
    return x


def random_crop(
    images: Tensor, padding: int, generator: torch.Generator, rows: slice | None = None, of: int | None = None
) -> Tensor:
    """Pad with zeros on all sides, then cut a window of the old size at a random place of its own out of every image.

    The same as shifting every image by up to ``padding`` pixels, each way with equal probability.

    Args:
        images: ``(N, C, H, W)``.
        padding: pixels, 0 or more.
        generator: of the random places (on the CPU).
        rows, of: ``images`` are the rows ``rows`` of a batch of ``of``: what each image gets does not depend on how the
            batch is shared out among processes.
    """
    if padding < 0:
        raise ValueError(f"padding must be 0 or more, got {padding}")
    count = len(images) if of is None else of
    places = torch.randint(0, 2 * padding + 1, (2, count), generator=generator)
    if rows is not None:
        places = places[:, rows]
    if padding == 0 or len(images) == 0:
        return images
    places = places.to(images.device)
    height, width = images.shape[2:]
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(images), device=images.device), :, places[0], places[1]]


def random_flip(images: Tensor, generator: torch.Generator, rows: slice | None = None, of: int | None = None) -> Tensor:
    """Mirror each image ``(N, C, H, W)`` left to right with probability 1/2; arguments as in :func:`random_crop`."""
    flips = torch.rand(len(images) if of is None else of, generator=generator) < 0.5
    if rows is not None:
        flips = flips[rows]
    return torch.where(flips.to(images.device).view(-1, 1, 1, 1), images.flip(-1), images)


@dataclass(frozen=True)
class Augment:
    """A random augmentation of image batches.

    Args:
        crop: padding of the random crop in pixels, that is, the largest shift; 0 for none.
        flip: mirror half of the images.

    Example:
        >>> images = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2)
        >>> Augment()(images, torch.Generator()) is images
        True
    """

    crop: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.crop, int) or isinstance(self.crop, bool) or not 0 <= self.crop <= 64:
            raise ValueError(f"crop must be an integer 0..64, got {self.crop!r}")
        if not isinstance(self.flip, bool):
            raise ValueError(f"flip must be true or false, got {self.flip!r}")

    def __bool__(self) -> bool:
        return self.crop > 0 or self.flip

    def __call__(
        self, images: Tensor, generator: torch.Generator, rows: slice | None = None, of: int | None = None
    ) -> Tensor:
        """Augment ``images`` ``(N, C, H, W)``; arguments as in :func:`random_crop`."""
        if self.crop:
            images = random_crop(images, self.crop, generator, rows, of)
        if self.flip:
            images = random_flip(images, generator, rows, of)
        return images
