"""Where many runs are done: one after the other here, in several processes of this machine, or on a cluster.

An executor has one method, ``run(function, items)``, which gives ``(index, function(item))`` as they finish, in any
order. One for another scheduler needs nothing else.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, Literal, Protocol

from onebit.core.errors import check_range, require, sentence
from onebit.core.registry import unknown

#: What :func:`executor` knows.
Name = Literal["local", "ray"]
#: How often Ray tries an item again whose worker or machine has died.
RETRIES = 2
#: What numerical libraries read when they are loaded.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: For the results on their way in an instance of Ray of our own, which would take a third of the memory.
STORE_BYTES = 128 * 2**20


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


class Ray:
    """Tasks of Ray, on this machine or on a cluster.

    Where the program has called ``ray.init`` already, that instance is used and left as it is. Otherwise one is started
    on this machine and shut down at the end, or, given an address, a running cluster is joined and left running.

    An item whose worker or machine dies is tried ``RETRIES`` times more. Interruption cancels what runs.

    On a cluster, onebit must be installed on every machine, and folders are paths: what the function reads and writes
    itself (data sets, the run folder of a training) must be on a file system that all machines share. What it returns
    needs none: it comes back to this process.

    Args:
        jobs: tasks at a time, 1..1024.
        threads: that numerical libraries may use in each, 1..1024; so many CPUs of Ray are set aside for a task.
        address: of a cluster to join, ``"auto"`` for the one that this machine belongs to; by default that of the
            environment variable ``RAY_ADDRESS``, and an instance of its own where that is not set.
    """

    def __init__(self, jobs: int = 1, threads: int = 1, address: str | None = None) -> None:
        check_range("jobs", jobs, 1, 1024)
        check_range("threads", threads, 1, 1024)
        self.jobs, self.threads, self.address = jobs, threads, address

    def run(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """As of :class:`Executor`.

        Raises:
            MissingExtra: Ray is not installed.
            ConnectionError: no cluster answers at the address, or no instance can be started.
            ChildProcessError: an item's worker has died again and again; what is finished is kept.
        """
        with self.connected() as ray:
            # Ray would try a task that runs out of memory again without end: trying again is done here.
            environment = {"env_vars": dict.fromkeys(THREADS, str(self.threads))}
            task = ray.remote(num_cpus=self.threads, max_retries=0, runtime_env=environment)(_task)
            shared = ray.put(function)
            waiting = [(index, 0) for index in reversed(range(len(items)))]
            running: dict[Any, tuple[int, int]] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < self.jobs:
                        index, tries = waiting.pop()
                        running[task.remote(shared, items[index])] = index, tries
                    for done in ray.wait(list(running))[0]:
                        index, tries = running.pop(done)
                        try:
                            result = ray.get(done)
                        except ray.exceptions.RayTaskError as error:
                            raise error.cause from None
                        except ray.exceptions.RayError as error:
                            if tries == RETRIES:
                                raise ChildProcessError(
                                    f"a worker of Ray was killed, perhaps for want of memory, at each of {tries + 1} "
                                    "tries: what is finished is kept, and fewer jobs need less"
                                ) from error
                            waiting.append((index, tries + 1))
                        else:
                            yield index, result
            finally:
                for reference in running:
                    with contextlib.suppress(ray.exceptions.RayError):
                        ray.cancel(reference, force=True)

    @contextlib.contextmanager
    def connected(self) -> Iterator[ModuleType]:
        """The module ``ray``, connected as described above; all runs within the block share an instance."""
        ray = require("ray", "ray", "running on Ray")
        if ray.is_initialized():
            yield ray
            return
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        local = address == "local"
        own = {"num_cpus": self.jobs * self.threads, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        with _quiet(ray):
            try:
                _answers(address)
                with _handlers_kept():
                    ray.init(address, log_to_driver=False, logging_level="error", **(own if local else {}))
            except (OSError, OverflowError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                what = "Ray cannot be started" if local else f"no cluster of Ray answers at {address!r}"
                raise ConnectionError(f"{what}: {sentence(error)}") from error
            try:
                yield ray
            finally:
                with _handlers_kept():
                    ray.shutdown()


def local(jobs: int = 1, threads: int = 1) -> Executor:
    """This process for one job, several processes for more."""
    return Serial() if jobs == 1 else Processes(jobs, threads)


def executor(name: str = "local", jobs: int = 1, threads: int = 1) -> Executor:
    """The executor of a name.

    Args:
        name: ``"local"``: see :func:`local`; ``"ray"``: see :class:`Ray`.
        jobs: at a time, 1..1024.
        threads: that numerical libraries may use in each, 1..1024.

    Example:
        >>> executor("local", jobs=2).jobs
        2
        >>> executor("rya")
        Traceback (most recent call last):
            ...
        ValueError: unknown executor 'rya' (did you mean 'ray'?); known: local, ray
    """
    made: dict[str, Callable[[int, int], Executor]] = {"local": local, "ray": Ray}
    if name not in made:
        raise ValueError(unknown("executor", name, made))
    return made[name](jobs, threads)


def _task(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


def _answers(address: str) -> None:
    """Ask at ``[ray://]HOST:PORT`` whether anything is there: Ray itself would wait for minutes, then exit."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextlib.contextmanager
def _quiet(ray: ModuleType) -> Iterator[None]:
    """Keep Ray from printing: what becomes of a task is said by whoever runs it.

    Ray has no setting for it: dead workers are told on stdout, hints on stderr.
    """
    logger, worker = logging.getLogger("ray"), ray._private.worker
    before = logger.level, getattr(worker, "_worker_logs_enabled", True)
    logger.setLevel(logging.ERROR)
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        logger.setLevel(before[0])
        worker._worker_logs_enabled = before[1]


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray makes termination an exit; the handlers of this program stay."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
