"""Two processes: bit-identical to each other, and without batch norm equal to one process on the same global batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from onebit.learn import checkpoints

SCRIPT = Path(__file__).parent / "processes.py"


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    commands = [[*launch, str(SCRIPT), str(folder / "two")], [sys.executable, str(SCRIPT), str(folder / "one")]]
    running = []
    for command in commands:
        Path(command[-1]).mkdir()
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for process in running:
        errors = process.communicate()[1]
        assert process.returncode == 0, errors
    return {path.stem: checkpoints.load(path) for path in folder.glob("*/*.safetensors")}


def test_two_processes_really_ran(ranks):
    assert set(ranks) == {"1-0", "2-0", "2-1"}
    assert [ranks[name]["processes"] for name in ("1-0", "2-0", "2-1")] == [1, 2, 2]


@pytest.mark.parametrize("kind", ["plain weights", "mixed weights"])
def test_ranks_end_in_the_same_bits(ranks, kind):
    for name, value in ranks["2-0"][kind].items():
        assert torch.equal(value, ranks["2-1"][kind][name]), name
    assert ranks["2-0"]["mixed"] == ranks["2-1"]["mixed"]


def test_ten_steps_in_two_processes_are_ten_steps_in_one(ranks):
    for name, value in ranks["1-0"]["plain weights"].items():
        assert torch.allclose(value, ranks["2-0"]["plain weights"][name], rtol=0, atol=1e-5), name
    assert ranks["2-0"]["plain"] == pytest.approx(ranks["1-0"]["plain"], abs=1e-5)


@pytest.mark.parametrize("name", ["1-0", "2-0", "2-1"])
def test_an_interrupted_run_resumes_to_the_same_bits(ranks, name):
    for key, value in ranks[name]["mixed weights"].items():
        assert torch.equal(value, ranks[name]["resumed weights"][key]), key


def test_all_examples_count_in_the_measurements(ranks):
    assert ranks["2-0"]["mixed test"][2] == ranks["1-0"]["mixed test"][2] == 80


@pytest.mark.parametrize("name", ["1-0", "2-0", "2-1"])
def test_what_processes_measure_together_is_what_one_measures_alone(ranks, name):
    (loss, *together), (expected, *alone) = ranks[name]["mixed test"], ranks[name]["mixed test alone"]
    assert together == alone  # accuracy, count, Matthews' correlation
    assert loss == pytest.approx(expected, rel=1e-12)
