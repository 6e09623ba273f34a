"""Judges numbers in processes of their own, so that one that hangs or dies is known by the number it had."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator

#: Judges one number: what is wrong, or None. A function of a module, so that another process finds it.
Judge = Callable[[int], str | None]
NONE = -1


class Worker:
    """A process that judges a range; what it finds comes through a pipe, where it stands lies in shared memory."""

    def __init__(self, judge: Judge, numbers: range, limit: float) -> None:
        self.judge, self.limit = judge, limit
        self.context = multiprocessing.get_context("spawn")
        self.start(numbers)

    def start(self, numbers: range) -> None:
        """Begin with the first of ``numbers``."""
        self.numbers = numbers
        self.at = self.context.Value("q", NONE, lock=False)
        self.findings, sender = self.context.Pipe(duplex=False)
        self.process = self.context.Process(target=judge_all, args=(self.judge, numbers, self.at, sender), daemon=True)
        self.process.start()
        sender.close()
        self.seen, self.since, self.drained = NONE, time.monotonic(), False

    @property
    def done(self) -> int:
        """How many of the present range are judged."""
        return 0 if self.at.value == NONE else self.numbers.index(self.at.value)

    def poll(self) -> Iterator[str]:
        """What was found since the last time. A process that is gone or hangs is replaced, after the number it had."""
        alive = self.process.is_alive()
        while not self.drained and self.findings.poll():
            try:
                yield self.findings.recv()
            except EOFError:  # the other end is closed: the process is gone
                self.drained = True
        at = self.at.value
        if at != self.seen:
            self.seen, self.since = at, time.monotonic()
        if alive and at != NONE and time.monotonic() - self.since > self.limit:
            self.process.kill()
            self.process.join()
            yield f"{at}: no answer in {self.limit:g} s"
            self.start(self.numbers[self.done + 1 :])
        elif not alive and self.drained and self.process.exitcode != 0:
            code = self.process.exitcode or 0
            died = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
            if at == NONE:
                raise RuntimeError(f"the process {died} before its first number")
            yield f"{at}: the process {died}"
            self.start(self.numbers[self.done + 1 :])

    @property
    def finished(self) -> bool:
        """Whether the whole range is judged."""
        return self.drained and self.process.exitcode == 0


def judge_all(judge: Judge, numbers: range, at, findings) -> None:
    """What the process does."""
    parent = multiprocessing.parent_process()
    for number in numbers:
        if parent is not None and not parent.is_alive():
            return
        at.value = number
        problem = judge(number)
        if problem is not None:
            findings.send(problem)


def watch(judge: Judge, numbers: range, jobs: int, limit: float, progress: Callable[[int], None]) -> Iterator[str]:
    """Everything that ``judge`` finds for ``numbers``.

    Args:
        judge: a function that another process can import.
        numbers: shared out among the processes in stretches.
        jobs: how many processes.
        limit: seconds that one number may take.
        progress: told how many more have been judged.
    """
    size = -(-len(numbers) // jobs)
    stretches = [numbers[first : first + size] for first in range(0, len(numbers), size)]
    workers = [Worker(judge, stretch, limit) for stretch in stretches]
    judged = 0
    while workers:
        for worker in workers:
            yield from worker.poll()
        left = sum(len(worker.numbers) - worker.done for worker in workers if not worker.finished)
        progress(len(numbers) - left - judged)
        judged = len(numbers) - left
        workers = [worker for worker in workers if not worker.finished]
        time.sleep(0.05)
