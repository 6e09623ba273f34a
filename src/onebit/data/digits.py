"""scikit-learn's handwritten digits: small, real, and there without a download."""

from __future__ import annotations

import math

import numpy as np
import torch

from onebit.core.errors import check_range, require
from onebit.core.seeds import derive
from onebit.data.dataset import Dataset, Split, registry, statistics, stratified
from onebit.data.sources import Sources


@registry.register("digits")
def digits(sources: Sources, seed: int = 0, test_share: float = 0.2) -> Dataset:
    """The 1,797 digits of scikit-learn, 8x8 grey, their values 0..16 scaled to 0..255 [Alpaydin1998].

    Args:
        sources: not used; the set comes with scikit-learn.
        seed: of the split.
        test_share: share of the examples that become the test part, every class by its share; above 0, at most 0.9.
    """
    if not check_range("test_share", test_share, 0, 0.9) > 0:
        raise ValueError(f"test_share must be above 0, got {test_share!r}")
    datasets = require("sklearn.datasets", "train", "the data set 'digits'")
    raw = datasets.load_digits()
    images = torch.from_numpy(np.rint(raw.images * (255 / 16)).astype(np.uint8)[:, None])
    whole = Split(images, torch.from_numpy(raw.target.astype(np.int64)))
    test, train = stratified(whole.labels, math.ceil(len(whole) * test_share), derive(seed, "digits"))
    mean, std = statistics(whole.images[train])
    return Dataset("digits", whole.take(train), whole.take(test), 10, tuple("0123456789"), mean, std)
