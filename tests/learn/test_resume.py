"""A run that is killed with SIGKILL and resumed ends in the same bits as one that never was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from onebit.core.seeds import generator

SCRIPT = Path(__file__).parent / "killed.py"

# 60 training examples in batches of 12: 5 steps an epoch, 20 in all; checkpoints after 2, 4, 5, 7, 9, 10, ... steps.
KILLS = {
    "in-the-first-step": [["step", 0]],
    "before-and-after-a-checkpoint": [["step", 1], ["step", 2]],
    "in-the-last-step-of-an-epoch": [["step", 4]],
    "in-the-first-step-of-the-second-stage": [["step", 10]],
    "at-random-steps": [["step", int(n)] for n in sorted(generator(0, "kills").integers(2, 20, 3))],
    "while-writing-the-first-checkpoint": [["write", 1]],
    "while-writing-later-checkpoints": [["write", 4], ["write", 3], ["write", 5]],
    "before-a-checkpoint-takes-its-name": [["rename", 2], ["rename", 3]],
    "between-epochs": [["epoch", 1], ["epoch", 3]],
    "after-the-last-epoch": [["epoch", 4]],
    "before-the-weights-are-saved": [["finish", 0]],
    "between-best-weights-and-their-checkpoint": [["best", 1]],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    plan = [["never-killed"], *([name, *kills] for name, kills in KILLS.items())]
    done = subprocess.run([sys.executable, str(SCRIPT), str(folder), json.dumps(plan)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def rows(folder: Path) -> list[dict]:
    lines = (folder / "history.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


@pytest.mark.parametrize("name", KILLS)
def test_a_run_that_was_killed_ends_in_the_same_bits(folder, name):
    for file in ("model.safetensors", "checkpoint.safetensors"):
        never, killed = load_file(folder / "never-killed" / file), load_file(folder / name / file)
        assert list(never) == list(killed)
        for key in never:
            assert np.array_equal(never[key], killed[key]), key
    assert rows(folder / name) == rows(folder / "never-killed")
    assert list((folder / name).glob(".*")) == []


def test_the_run_really_trained(folder):
    found = rows(folder / "never-killed")
    assert [row["epoch"] for row in found] == [1, 2, 3, 4]
    assert len({row["loss"] for row in found}) == 4
    assert all(row["flip_rate"] > 0 for row in found[1:2])
