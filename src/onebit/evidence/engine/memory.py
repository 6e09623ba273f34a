"""What a run takes of the machine's memory: the peak of a process of its own that loads one network and runs it."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNS = 20


@dataclass(frozen=True)
class Memory:
    """Bytes of resident memory above those of a process that has imported the package and made the input.

    Args:
        peak: the most, from loading to the end of the first run.
        growth: how much higher the peak is after further runs.
    """

    peak: int
    growth: int


def memory(kind: str, source: Any, shape: tuple[int, ...]) -> Memory | None:
    """The memory of one network; None where the system does not tell.

    Args:
        kind: ``"engine"``, ``"onnxruntime"`` or ``"pytorch"``.
        source: a file, or for PyTorch what :func:`onebit.nn.models.rebuild` takes.
        shape: of the input, float32.
    """
    if not sys.platform.startswith("linux"):
        return None
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, kind, source, shape).result()
        except OSError:  # a system that keeps its counters to itself
            return None


def peak_above(work: Callable[[], object]) -> int | None:
    """How far the resident memory of this process rises above what it is now while ``work`` is done, in bytes.

    ``None`` where the system does not tell; the work is done all the same.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
        before = _status("VmRSS")
    except OSError:
        work()
        return None
    work()
    return max(_status("VmHWM") - before, 0)


def _measure(kind: str, source: Any, shape: tuple[int, ...]) -> Memory:
    import numpy as np

    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    prepare = _PREPARE[kind](source)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _status("VmRSS")
    run = prepare()
    run(x)
    first = _status("VmHWM")
    for _ in range(RUNS):
        run(x)
    return Memory(max(first - before, 0), _status("VmHWM") - first)


# Each imports what it needs, and gives what loads the network and gives its run.


def _engine(path: str):
    from onebit import runtime

    def prepare():
        model = runtime.load(path)
        out: list[Any] = []

        def run(x):
            if not out:
                out.append(model.run(x))
            return model.run(x, out=out[0])

        return run

    return prepare


def _onnxruntime(path: str):
    import onnxruntime

    def prepare():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda x: session.run(None, {name: x})

    return prepare


def _pytorch(described: dict[str, Any]):
    import torch

    from onebit.nn import models

    torch.set_num_threads(1)

    def prepare():
        model = models.rebuild(described).eval()

        def run(x):
            with torch.inference_mode():
                return model(torch.from_numpy(x))

        return run

    return prepare


_PREPARE: dict[str, Callable[[Any], Callable[[], Callable[[Any], Any]]]] = {
    "engine": _engine,
    "onnxruntime": _onnxruntime,
    "pytorch": _pytorch,
}


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")
