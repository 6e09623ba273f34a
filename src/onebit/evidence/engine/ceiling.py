"""What the machine could do at best: the bare micro-kernel on data in cache, the clock, copying memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onebit import runtime
from onebit.core.errors import require

#: Number systems of the micro-kernel: 32 bits, two or four integers (as the processor has it), one float in a word.
ARITHMETICS = ("bits", "integers", "floats")
#: Bytes that are copied to find the rate of a level of memory: of source and destination together.
COPIES = {"second-level cache": 512 << 10, "memory": 256 << 20}


@dataclass(frozen=True)
class Ceiling:
    """The bare micro-kernel on one thread.

    Args:
        isa: instruction set.
        arithmetic: number system, see :data:`ARITHMETICS`.
        rate: multiply-accumulates per second.
        clock: cycles per second of the core in the same moment; None where it is not known.
    """

    isa: str
    arithmetic: str
    rate: float
    clock: float | None

    @property
    def per_cycle(self) -> float | None:
        """Multiply-accumulates per cycle."""
        return None if self.clock is None else self.rate / self.clock


@dataclass(frozen=True)
class Copying:
    """Bytes per second, read and written, of copying what fits into ``level``, on one thread."""

    level: str
    rate: float


def rate(isa: str, arithmetic: str, seconds: float) -> float:
    """Multiply-accumulates per second of the bare micro-kernel, the best of repeated runs during ``seconds``."""
    return _engine().peak(isa, arithmetic, seconds)


def clock(seconds: float) -> float | None:
    """Cycles per second of a busy core, from a chain of additions that wait for each other; None: not known."""
    return _engine().clock(seconds) or None


def isas() -> list[str]:
    """The instruction sets of this machine that have a micro-kernel, fastest first."""
    return [isa for isa in runtime.available_isas() if isa != "interpreter"]


def ceilings(isas: Sequence[str], seconds: float) -> list[Ceiling]:
    """The ceiling of each instruction set in each arithmetic, ``seconds`` spent on each."""
    return [
        Ceiling(isa, arithmetic, rate(isa, arithmetic, seconds), clock(seconds / 4))
        for isa in isas
        for arithmetic in ARITHMETICS
    ]


def copying(seconds: float) -> list[Copying]:
    """How fast memory is copied by NumPy, on each of :data:`COPIES`; the best of repeated copies during ``seconds``."""
    found = []
    for level, size in COPIES.items():
        source, target = np.ones((2, size // 2), np.uint8)
        best, end = np.inf, time.perf_counter() + seconds
        while time.perf_counter() < end or best == np.inf:
            start = time.perf_counter()
            np.copyto(target, source)
            best = min(best, time.perf_counter() - start)
        found.append(Copying(level, size / best))
    return found


def _engine():
    return require("onebit.runtime._engine", "train", "timing the engine")
