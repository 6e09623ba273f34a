"""The kinds of corruption by name, and the random numbers that an image gets whatever comes with it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from onebit.core.registry import Registry
from onebit.core.seeds import derive


class Draws:
    """Random numbers for images ``first..first+count-1``, of a stream of its own for each.

    Args:
        seed, kind: what the streams follow from, with the image's index.
        first, count: the indices of the images.
    """

    def __init__(self, seed: int, kind: str, first: int, count: int) -> None:
        seeds = [derive(seed, "corrupt", kind, index) for index in range(first, first + count)]
        self._streams = [torch.Generator().manual_seed(value) for value in seeds]

    def uniform(self, *shape: int) -> Tensor:
        """``(count, *shape)`` float32 in 0..1."""
        return torch.stack([torch.rand(shape, generator=stream) for stream in self._streams])

    def normal(self, *shape: int) -> Tensor:
        """``(count, *shape)`` float32, mean 0 and deviation 1."""
        return torch.stack([torch.randn(shape, generator=stream) for stream in self._streams])

    def poisson(self, rates: Tensor) -> Tensor:
        """Counts of the means ``rates`` ``(count, ...)``."""
        return torch.stack([torch.poisson(rate, stream) for rate, stream in zip(rates, self._streams)])


#: A kind takes images ``(n, C, H, W)`` float32 in 0..1, n of 1 or more, and may leave that range.
Corruption = Callable[[Tensor, int, Draws], Tensor]
registry: Registry[Corruption] = Registry("corruption")
