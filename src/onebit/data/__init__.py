"""Public data sets in their original formats, as tensors; normalisation and augmentation as tensor operations."""

from __future__ import annotations

from onebit.data import cifar, digits, idx  # noqa: F401 - each registers its sets
from onebit.data.augment import Augment, normalize, random_crop, random_flip
from onebit.data.dataset import Dataset, Split, load, registry, stratified
from onebit.data.sources import DataNotFound

__all__ = [
    "Augment",
    "DataNotFound",
    "Dataset",
    "Split",
    "load",
    "normalize",
    "random_crop",
    "random_flip",
    "registry",
    "stratified",
]
