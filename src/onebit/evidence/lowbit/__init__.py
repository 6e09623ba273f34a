"""Linear layers of language models: how fast the weights of few bits come from memory, against a plain read and others.

Every call goes through as many different matrices as fill four times the last-level cache, so that none is found there;
what is given is the time of one matrix.
"""

from __future__ import annotations

from onebit.evidence.lowbit.bench import (
    BATCHES,
    JOURNAL,
    LABELS,
    SHAPES,
    Bench,
    Row,
    append,
    bench,
    last_level_cache,
    newest,
)
from onebit.evidence.lowbit.matrices import CACHES

__all__ = [
    "BATCHES",
    "CACHES",
    "JOURNAL",
    "LABELS",
    "SHAPES",
    "Bench",
    "Row",
    "append",
    "bench",
    "last_level_cache",
    "newest",
]
