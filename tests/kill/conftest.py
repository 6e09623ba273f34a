"""One warm process for all tests of this folder, and a small trained run with its packed file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from tests.kill.machine import Machine, machine

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
        packed: the packed file of another run of it.
    """

    job: Path
    run: Path
    packed: Path


@pytest.fixture(scope="session")
def made(warm: Machine, tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    found = Made(folder / "job.yaml", folder / "run", folder / "other.onebit")
    found.job.write_text(JOB)
    other = folder / "other"
    for arguments in (
        ["train", "--recipe", str(found.job), "-o", str(found.run)],
        ["train", "--recipe", str(found.job), "--seed", "1", "-o", str(other)],
        ["pack", str(other), "--samples", "0", "-o", str(found.packed)],
    ):
        ended = warm.run(arguments, folder)
        assert ended.status == 0, ended.err
    return found
