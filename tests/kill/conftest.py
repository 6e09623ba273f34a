"""One warm process for all tests of this folder, and a small trained run with its packed file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.kill.machine import Machine, machine

#: How many kills of each subject; from 20 on, what takes seconds is tried as well: ``make kill``.
KILLS = int(os.environ.get("ONEBIT_KILLS", "5"))

JOB = """model: {name: mlp, sizes: {width: 8, depth: 1}, scheme: biper}
data: digits
recipe: {epochs: 3, batch_size: 256, learning_rate: 0.01, keep: best, threads: 1}
"""


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    with machine(tmp_path_factory.mktemp("logs")) as found:
        yield found


class Made(NamedTuple):
    """What the commands under test start from.

    Args:
        job: a training job.
        run: the folder of its run.
        packed: a packed file of the same network before training.
    """

    job: Path
    run: Path
    packed: Path


@pytest.fixture(scope="session")
def made(warm: Machine, tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    found = Made(folder / "job.yaml", folder / "run", folder / "other.onebit")
    found.job.write_text(JOB)
    for arguments in (
        ["train", "--recipe", str(found.job), "-o", str(found.run)],
        [
            *("pack", "mlp", "--data", "digits", "--scheme", "biper", "--size", "width=8", "depth=1"),
            *("--samples", "0", "-o", str(found.packed)),
        ],
    ):
        ended = warm.run(arguments, folder)
        assert ended.status == 0, ended.err
    return found
