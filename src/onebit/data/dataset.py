"""A data set: a training and a test part held as tensors, with what a model has to know about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onebit.core.errors import check_positive, check_range
from onebit.core.registry import Registry
from onebit.core.seeds import derive
from onebit.data.augment import Augment
from onebit.data.sources import Sources


@dataclass(frozen=True)
class Split:
    """Examples with their labels.

    Args:
        images: the inputs. Images: ``(N, C, H, W)`` uint8. Of any other kind: any other dtype, ``(N, ...)``: features
            ``(N, D)``, spectrograms ``(N, 1, frames, bands)``, points ``(N, 3, P)`` float32, tokens ``(N, T)`` int64
            of which 0 pads. Floats of a :class:`Dataset` are finite.
        labels: ``(N,)`` int64.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            raise ValueError(f"labels must be int64 of shape (N,), got {self.labels.dtype} {tuple(self.labels.shape)}")
        if self.images.ndim < 1 or len(self.images) != len(self.labels):
            raise ValueError(f"images and labels must be equally many, got {len(self.images)} and {len(self.labels)}")
        if self.images.dtype == torch.uint8 and self.images.ndim != 4:
            raise ValueError(f"uint8 images must have shape (N, C, H, W), got {tuple(self.images.shape)}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def inputs(self) -> Tensor:
        """``images``, by the name that fits inputs of every kind."""
        return self.images

    def take(self, indices: Tensor) -> Split:
        """The examples at ``indices`` ``(M,)`` int64, in that order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Dataset:
    """A training part, a test part and what a model has to know about them.

    Args:
        name: the name it was loaded by.
        train: examples to learn from.
        test: examples to judge by, never to choose by.
        num_classes: labels are ``0..num_classes-1``.
        class_names: one text a class.
        mean, std: one number a channel, of the training images scaled to 0..1, std above 0; empty for inputs that are
            no images.
        augment: the augmentation that is customary for the set.
        num_tokens: inputs are tokens ``0..num_tokens-1``, 0 pads; 0 for inputs that are no tokens.
        metric: the measure that is customary for the set, ``"accuracy"`` or ``"matthews"``.
    """

    name: str
    train: Split
    test: Split
    num_classes: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    augment: Augment = field(default_factory=Augment)
    num_tokens: int = 0
    metric: str = "accuracy"

    def __post_init__(self) -> None:
        if len(self.class_names) != self.num_classes:
            raise ValueError(f"class_names must be {self.num_classes} texts, got {len(self.class_names)}")
        for part, split in (("train", self.train), ("test", self.test)):
            _check_finite(split.images, part)
            if len(split) and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < self.num_classes:
                low, high = int(split.labels.min()), int(split.labels.max())
                raise ValueError(f"labels of the {part} part must be 0..{self.num_classes - 1}, got {low}..{high}")
            if self.num_tokens and (split.images.dtype != torch.int64 or split.images.ndim != 2):
                got = f"{split.images.dtype} {tuple(split.images.shape)}"
                raise ValueError(f"tokens of the {part} part must be int64 (N, T), got {got}")
            if self.num_tokens and split.images.numel():
                low, high = int(split.images.min()), int(split.images.max())
                if not 0 <= low <= high < self.num_tokens:
                    raise ValueError(f"tokens of the {part} part must be 0..{self.num_tokens - 1}, got {low}..{high}")
        channels = self.train.images.shape[1] if self.is_images else 0
        if (self.mean or self.std) and not len(self.mean) == len(self.std) == channels:
            raise ValueError(f"mean and std must have {channels} numbers, got {len(self.mean)} and {len(self.std)}")
        if self.metric not in ("accuracy", "matthews"):
            raise ValueError(f"metric must be 'accuracy' or 'matthews', got {self.metric!r}")
        for mean, std in zip(self.mean, self.std):
            check_range("mean", mean)
            check_positive("std", std)

    @property
    def is_images(self) -> bool:
        """Whether the inputs are images of bytes: what augmentation, normalisation and pictures are for."""
        return self.train.images.dtype == torch.uint8

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example: ``(C, H, W)`` for images and spectrograms, ``(D,)`` for features."""
        return tuple(self.train.images.shape[1:])

    def limit(self, train: int | None = None, test: int | None = None, seed: int = 0) -> Dataset:
        """The same set with fewer examples, every class by its share; ``None`` keeps a part whole."""
        parts = {}
        for part, count in (("train", train), ("test", test)):
            split = getattr(self, part)
            if count is not None and count < len(split):
                parts[part] = split.take(stratified(split.labels, count, derive(seed, "limit", part))[0])
        return dataclasses.replace(self, **parts) if parts else self


def _check_finite(images: Tensor, part: str) -> None:
    """``ValueError`` that names the first example with NaN or an infinity: a network of bits would not notice one."""
    if not images.is_floating_point() or bool(torch.isfinite(images).all()):
        return
    bad = ~torch.isfinite(images.flatten(1) if images.ndim > 1 else images[:, None])
    first = int(bad.any(1).nonzero()[0])
    value = float(images[first][~torch.isfinite(images[first])].flatten()[0])
    raise ValueError(
        f"images of the {part} part must be finite, got {value} in example {first} ({int(bad.any(1).sum())} in all)"
    )


def stratified(labels: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Choose ``count`` of ``N`` examples at random, every class by its share (largest remainders rounded up).

    Args:
        labels: ``(N,)`` int64.
        count: 0..N.
        seed: of the choice.

    Returns:
        indices chosen ``(count,)`` and the others ``(N - count,)``, both ascending.

    Example:
        >>> chosen, others = stratified(torch.tensor([0, 0, 1, 1, 1, 1]), 3, seed=0)
        >>> torch.tensor([0, 0, 1, 1, 1, 1])[chosen], len(others)
        (tensor([0, 1, 1]), 3)
    """
    check_range("count", count, 0, len(labels))
    generator = torch.Generator().manual_seed(seed)
    classes, sizes = torch.unique(labels, return_counts=True)
    shares = [count * int(size) / len(labels) for size in sizes]
    quota = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda c: (quota[c] - shares[c], c))
    for c in by_remainder[: count - sum(quota)]:
        quota[c] += 1
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for label, number in zip(classes, quota):
        members = torch.nonzero(labels == label).flatten()
        mask[members[torch.randperm(len(members), generator=generator)[:number]]] = True
    return torch.nonzero(mask).flatten(), torch.nonzero(~mask).flatten()


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images ``(N, C, H, W)`` scaled to 0..1, to four decimals."""
    values = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten(), minlength=256).double()
        mean = (counts * values).sum() / counts.sum()
        variance = (counts * (values - mean) ** 2).sum() / counts.sum()
        means.append(round(float(mean), 4))
        stds.append(max(round(float(variance.sqrt()), 4), 1e-4))
    return tuple(means), tuple(stds)


Loader = Callable[..., Dataset]
registry: Registry[Loader] = Registry("data set")


def load(name: str, *, folder: str | Path | None = None, download: bool = True, **options: Any) -> Dataset:
    """A data set by name.

    Its files are looked for in ``folder``, in the folder that the environment variable ``ONEBIT_DATA`` names, in
    ``./data``, ``../shared/data``, ``../shared/data`` beside the source checkout and in the user's cache, each time
    under the name of the set; what is not there is downloaded into the cache and checked.

    Args:
        name: a name in ``data.registry``.
        folder: where to look first.
        download: whether files that are nowhere may be downloaded.
        **options: of the set's own loader (``digits``: ``seed``, ``test_share``).

    Raises:
        KeyError: no such set.
        DataNotFound: its files cannot be had; the text says where they were looked for and how to get them.
        ValueError: a file is not what it should be.

    Example:
        >>> digits = load("digits")
        >>> tuple(digits.train.images.shape), len(digits.test), digits.num_classes
        ((1437, 1, 8, 8), 360, 10)
    """
    return registry[name](Sources.search(folder, download), **options)
