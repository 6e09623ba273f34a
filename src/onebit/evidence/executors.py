"""Where many runs are done: one after the other here, or in several processes of this machine.

An executor has one method, ``run(function, items)``, which gives ``(index, function(item))`` as they finish, in any
order. One for a cluster needs nothing else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from onebit.core.errors import check_range, require


class Executor(Protocol):
    """Calls a function on items, somewhere."""

    def run(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Pairs of an item's index and what ``function`` gives for it, as they finish, in any order."""
        ...


class Serial:
    """One after the other in this process."""

    def run(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for index, item in enumerate(items):
            yield index, function(item)


class Processes:
    """Several processes of this machine, through joblib.

    A worker process ends with the process that started it, however that ends. Interruption stops all of them.

    Args:
        jobs: how many, 1..1024.
        threads: that numerical libraries may use in each, 1..1024.
    """

    def __init__(self, jobs: int, threads: int = 1) -> None:
        check_range("jobs", jobs, 1, 1024)
        check_range("threads", threads, 1, 1024)
        self.jobs, self.threads = jobs, threads

    def run(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        joblib = require("joblib", "train", "running in several processes")
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        calls = (joblib.delayed(_call)(function, index, item, os.getpid()) for index, item in enumerate(items))
        with joblib.parallel_config(backend="loky", inner_max_num_threads=self.threads):
            parallel = joblib.Parallel(n_jobs=self.jobs, batch_size=1, return_as="generator_unordered")
            try:
                yield from parallel(calls)
            except TerminatedWorkerError as error:
                raise ChildProcessError(
                    "a worker process was killed, perhaps for want of memory: what is finished is kept, "
                    "and fewer jobs need less"
                ) from error


def local(jobs: int = 1, threads: int = 1) -> Executor:
    """This process for one job, several processes for more."""
    return Serial() if jobs == 1 else Processes(jobs, threads)


_watching = False


def _call(function: Callable[[Any], Any], index: int, item: Any, parent: int) -> tuple[int, Any]:
    global _watching
    if not _watching:
        _watching = True
        # An interruption at the terminal reaches every process; the parent ends the others.
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    return index, function(item)


def _end_with(parent: int) -> None:
    """End this process once its parent is gone: nobody would take the result."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)
