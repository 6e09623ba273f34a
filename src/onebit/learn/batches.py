"""The batches of a training run, a function of seed, epoch and step: whoever asks again gets the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from onebit.core.seeds import derive
from onebit.data import Augment, Dataset, Split, normalize
from onebit.learn.recipe import Recipe

RESIDENT_BYTES = 4 << 30  # a larger training part stays in main memory and travels to the device batch by batch


@dataclass(frozen=True)
class Batch:
    """This process's share of one optimizer step's examples.

    Args:
        inputs: ``(B, ...)``, normalised.
        labels: ``(B,)`` int64.
        size: examples of the step over all processes.
    """

    inputs: Tensor
    labels: Tensor
    size: int


class Batches:
    """Batches of ``split`` for one of several processes.

    Every epoch has an order of its own, every step random numbers of its own, both derived from the recipe's seed; a
    process takes a contiguous share of each batch, so that the batches do not depend on the number of processes.

    Args:
        split: the training examples.
        data: the set they are from, for its normalisation and customary augmentation.
        recipe: batch size, augmentation, seed.
        device: where batches are wanted.
        rank, processes: which share.
    """

    def __init__(
        self, split: Split, data: Dataset, recipe: Recipe, device: torch.device, rank: int = 0, processes: int = 1
    ) -> None:
        if recipe.batch_size % processes:
            raise ValueError(
                f"batch_size must be a multiple of the number of processes, {processes}, got {recipe.batch_size}"
            )
        size = min(recipe.batch_size, len(split))
        self.size = size - size % processes
        if self.size == 0:
            each = f" for each of {processes} processes" if processes > 1 else ""
            raise ValueError(f"the training part must have at least one example{each}, got {len(split)}")
        self.per_epoch = len(split) // self.size
        self.share = self.size // processes
        self.rows = slice(rank * self.share, (rank + 1) * self.share)
        self.data, self.recipe, self.device = data, recipe, device
        resident = split.images.numel() * split.images.element_size() <= RESIDENT_BYTES
        home = device if resident else torch.device("cpu")
        self.images, self.labels = split.images.to(home), split.labels.to(home)
        self.augment = recipe.augment if isinstance(recipe.augment, Augment) else data.augment
        if isinstance(recipe.augment, Augment) and recipe.augment and not data.is_images:
            raise ValueError(
                f"augment crops and flips images, and data set {data.name!r} has none: leave it out of the recipe"
            )
        if recipe.augment is False or not data.is_images:
            self.augment = Augment()
        self._orders: dict[str | int, Tensor] = {}

    def order(self, name: str | int) -> Tensor:
        """The order of the examples in the epoch ``name``."""
        if name not in self._orders:
            self._orders.clear()
            generator = torch.Generator().manual_seed(derive(self.recipe.seed, "order", name))
            self._orders[name] = torch.randperm(len(self.labels), generator=generator).to(self.labels.device)
        return self._orders[name]

    def batch(self, epoch: int, step: int) -> Batch:
        """The batch of the 0-based ``step`` of the 0-based ``epoch``."""
        start = step * self.size
        chosen = self.order(epoch)[start + self.rows.start : start + self.rows.stop]
        images = self.images[chosen].to(self.device)
        if self.augment:
            generator = torch.Generator().manual_seed(derive(self.recipe.seed, "augment", epoch, step))
            images = self.augment(images, generator, self.rows, self.size)
        return Batch(self._ready(images), self.labels[chosen].to(self.device), self.size)

    def inputs(self, count: int) -> list[Tensor]:
        """The inputs of ``count`` whole batches in an order of their own, not augmented: the same at every call."""
        order = self.order("statistics")
        chosen = [order[i * self.size : (i + 1) * self.size] for i in range(min(count, self.per_epoch))]
        return [self._ready(self.images[indices].to(self.device)) for indices in chosen]

    def _ready(self, images: Tensor) -> Tensor:
        inputs = normalize(images, self.data.mean, self.data.std)
        if self.recipe.channels_last and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs
