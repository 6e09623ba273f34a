"""Runs commands in forks of one warm process, and has them killed or their disk fail at a chosen moment."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Args:
        status: its exit status; the negative number of the signal that killed it.
        events: what it did to the watched folder.
        seconds: that it ran.
        out, err: what it printed.
    """

    status: int
    events: int
    seconds: float
    out: str
    err: str


class Machine:
    """Answers of a warm process; :func:`machine` makes one."""

    def __init__(self, process: subprocess.Popen, logs: Path) -> None:
        self.process, self.logs = process, logs

    def run(self, arguments: list[str], folder: Path, action: str = "nothing", **options: Any) -> Ended:
        """Run ``onebit ARGUMENTS`` (or ``module:function``) with ``folder`` watched; options as in ``warm.py``."""
        command = {"arguments": arguments, "folder": str(folder), "action": action, "log": f"{self.logs}/", **options}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return Ended(**answer, **{name: (self.logs / name).read_text() for name in ("out", "err")})


@contextlib.contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """A warm process whose logs go into ``folder``; the test is skipped where the system cannot have one."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("injecting faults needs Linux and a C compiler")
    library = folder / "faults.so"
    source = str(HERE / "faults.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", source, "-o", str(library), "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.kill.warm"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=HERE.parents[1],
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Machine(process, folder)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
