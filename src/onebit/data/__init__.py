"""Public data sets in their original formats, as tensors; normalisation and augmentation as tensor operations.

Images, features, spectrograms, tokens and points are all a :class:`Dataset`: one tensor of inputs, one of labels.
"""

from __future__ import annotations

from onebit.data import adult, cifar, digits, fsdd, glue, idx, shapes3d, solids  # noqa: F401 - each registers its sets
from onebit.data.augment import Augment, normalize, random_crop, random_flip
from onebit.data.corruptions import CORRUPTIONS, corrupt
from onebit.data.dataset import Dataset, Split, load, registry, stratified
from onebit.data.solids import shapes3d_points
from onebit.data.sources import DataNotFound
from onebit.data.speech import logmel
from onebit.data.wordpiece import WordPiece

__all__ = [
    "CORRUPTIONS",
    "Augment",
    "DataNotFound",
    "Dataset",
    "Split",
    "WordPiece",
    "corrupt",
    "load",
    "logmel",
    "normalize",
    "random_crop",
    "random_flip",
    "registry",
    "shapes3d_points",
    "stratified",
]
