"""Work in processes of its own, so that one that dies or stands still is an answer and not the end."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

REPORT = 25  # seeds between two reports of a worker
LOOK = 1.0  # seconds between two looks at where the workers are
FORK = multiprocessing.get_context("fork")  # what a test has changed is changed in the workers too


def sort_of(error: BaseException) -> str:
    """What failures of one sort share: the stage that a check names, else the type of the error."""
    return str(getattr(error, "stage", type(error).__name__))


def signature(work: Callable[[], object], seconds: float = 60.0) -> str | None:
    """How ``work`` fails in a process of its own: the sort of its error, or how the process ended; None if it does
    not."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        # Nothing of the parent runs on in here, whatever happens.
        try:
            os.close(read)
            try:
                work()
            except BaseException as error:
                os.write(write, sort_of(error).encode()[:4000])
        finally:
            os._exit(0)
    os.close(write)
    try:
        ready, _, _ = select.select([read], [], [], seconds)
        if not ready:
            os.kill(child, signal.SIGKILL)
        text = os.read(read, 4096).decode() if ready else ""
    finally:
        os.close(read)
    _, status = os.waitpid(child, 0)
    if not ready:
        return "stands still"
    code = os.waitstatus_to_exitcode(status)
    return text or (f"the process ended with {code}" if code else None)


class Farm:
    """Runs ``work(seed)`` for every seed, in ``jobs`` processes that take every ``jobs``-th seed each.

    Iterating gives ``(seeds done since, findings)`` as they come; a finding is ``(seed, what happened)``. A process
    that dies, or that takes longer than ``patience`` seconds for one seed, is a finding with its seed, and another
    process goes on after it.
    """

    def __init__(
        self, work: Callable[[int], object], seeds: Sequence[int], jobs: int = 1, patience: float = 300.0
    ) -> None:
        if jobs < 1:
            raise ValueError(f"jobs must be 1 or more, got {jobs}")
        self._work, self._patience, self._parent = work, patience, os.getpid()
        self._shares = [list(seeds[first::jobs]) for first in range(min(jobs, len(seeds)))]
        self._running: dict[Connection, tuple[BaseProcess, int, int]] = {}  # worker: process, share, seeds done
        self._at = FORK.Array("q", max(1, len(self._shares)))  # the position in its share where each worker is
        self._seen = [-1] * len(self._shares)  # where it was at the last look
        self._still = [0.0] * len(self._shares)  # seconds that it has been there

    def __iter__(self) -> Iterator[tuple[int, list[tuple[int, str]]]]:
        try:
            for share in range(len(self._shares)):
                self._start(share, 0)
            looked = time.monotonic()
            while self._running:
                for connection in wait(list(self._running), timeout=LOOK):
                    yield from self._receive(connection)
                # Time in which this process was suspended too is nobody's fault: one look counts as 2 seconds at most.
                passed, looked = min(time.monotonic() - looked, 2 * LOOK), time.monotonic()
                for process, share, _ in list(self._running.values()):
                    still = self._seen[share] == self._at[share]
                    self._still[share] = self._still[share] + passed if still else 0.0
                    self._seen[share] = self._at[share]
                    if self._still[share] > self._patience:
                        process.kill()
        finally:
            for process, _, _ in self._running.values():
                process.kill()
                process.join()

    def _start(self, share: int, first: int) -> None:
        if first >= len(self._shares[share]):
            return
        ours, theirs = FORK.Pipe(duplex=False)
        self._at[share], self._still[share] = first, 0.0
        process = FORK.Process(target=self._labour, args=(theirs, share, first), daemon=True)
        process.start()
        theirs.close()
        self._running[ours] = (process, share, first)

    def _labour(self, connection: Connection, share: int, first: int) -> None:
        seeds = self._shares[share]
        found: list[tuple[int, str]] = []
        for position in range(first, len(seeds)):
            if os.getppid() != self._parent:  # nobody waits for it any more
                return
            self._at[share] = position
            try:
                self._work(seeds[position])
            except Exception as error:
                found.append((seeds[position], f"{type(error).__name__}: {error}"))
            if found or position % REPORT == 0 or position + 1 == len(seeds):
                connection.send((position + 1, found))
                found = []

    def _receive(self, connection: Connection) -> Iterator[tuple[int, list[tuple[int, str]]]]:
        process, share, before = self._running[connection]
        try:
            after, found = connection.recv()  # type: ignore[misc]
        except (EOFError, OSError):
            process.join()
            del self._running[connection]
            position = self._at[share]
            if before < len(self._shares[share]):
                how = "stood still" if self._still[share] > self._patience else "ended"
                why = f"the process {how} (exit status {process.exitcode})"
                yield position + 1 - before, [(self._shares[share][position], why)]
                self._start(share, position + 1)
            return
        self._running[connection] = (process, share, after)
        yield after - before, found
