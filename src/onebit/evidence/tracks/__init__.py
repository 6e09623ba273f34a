"""Evaluation tracks: which method of binarization works on which problem, and at what cost [Qin2023].

Every track is a list of cells - mostly a network trained once - and a summary, a pure function of their rows.
"""

from __future__ import annotations

from onebit.evidence.tracks import (  # noqa: F401 - tracks register themselves
    accuracy,
    architectures,
    cost,
    hardware,
    robustness,
    training,
)
from onebit.evidence.tracks.document import markdown, text
from onebit.evidence.tracks.record import Record, append, newest
from onebit.evidence.tracks.run import run
from onebit.evidence.tracks.tasks import ARCHITECTURES, FLOAT, METHODS, SCALES, TASKS, Architecture, Task
from onebit.evidence.tracks.track import Phase, Plan, Summary, Track, registry

__all__ = [
    "ARCHITECTURES",
    "FLOAT",
    "METHODS",
    "SCALES",
    "TASKS",
    "Architecture",
    "Phase",
    "Plan",
    "Record",
    "Summary",
    "Task",
    "Track",
    "append",
    "markdown",
    "newest",
    "registry",
    "run",
    "text",
]
