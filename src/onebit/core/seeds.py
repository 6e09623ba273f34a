"""Seeds derived from one seed and names, so that adding a consumer never shifts the draws of another."""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """An independent 63-bit seed for the consumer called ``names``.

    Example:
        >>> derive(0, "shuffle", 3) == derive(0, "shuffle", 3), derive(0, "shuffle", 3) == derive(0, "shuffle", 4)
        (True, False)
    """
    text = "/".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A NumPy generator seeded by :func:`derive`."""
    return np.random.default_rng(derive(seed, *names))
