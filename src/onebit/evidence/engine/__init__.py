"""The speed of the engine: its ceiling, layers of bits and whole networks, against other engines in one process."""

from __future__ import annotations

from onebit.evidence.engine.parts import PARTS, bench, steps
from onebit.evidence.engine.record import JOURNAL, Bench, append, newest
from onebit.evidence.engine.shape import FORMS, Shape, binary_layers
from onebit.evidence.engine.timing import Timing, latency

__all__ = [
    "FORMS",
    "JOURNAL",
    "PARTS",
    "Bench",
    "Shape",
    "Timing",
    "append",
    "bench",
    "binary_layers",
    "latency",
    "newest",
    "steps",
]
