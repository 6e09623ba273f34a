"""Seconds of calls that take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from onebit.core.errors import check_range

Calls = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, over ``repeats`` calls."""

    median: float
    minimum: float
    repeats: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Of calls that took ``seconds``."""
        return cls(statistics.median(seconds), min(seconds), len(seconds))

    def __truediv__(self, parts: float) -> Timing:
        """The share of one of ``parts`` equal parts of the call."""
        return Timing(self.median / parts, self.minimum / parts, self.repeats)


def latency(calls: Calls, repeats: int, warmup: int = 2, block: int = 1, pause: float = 0.0) -> dict[str, Timing]:
    """Seconds of each call; the calls take turns, so that a disturbance of the machine meets all of them.

    Args:
        calls: by name.
        repeats: timed runs of each.
        warmup: turns before the timed ones.
        block: timed runs of a call in one turn. Above 1 one run that is not timed comes first in each turn: what is
            timed finds its weights where its own last run left them, not where another call's did.
        pause: seconds of sleep before each turn of a call, in which threads that still spin for the call before fall
            asleep.

    Example:
        >>> timing = latency({"sum": lambda: sum(range(10))}, repeats=3)["sum"]
        >>> timing.minimum <= timing.median
        True
    """
    check_range("repeats", repeats, 1)
    check_range("block", block, 1)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(warmup):
        for call in calls.values():
            call()
    while any(len(times) < repeats for times in taken.values()):
        for name, call in calls.items():
            if pause:
                time.sleep(pause)
            if block > 1:
                call()
            for _ in range(min(block, repeats - len(taken[name]))):
                start = time.perf_counter()
                call()
                taken[name].append(time.perf_counter() - start)
    return {name: Timing.of(times) for name, times in taken.items()}
