"""A failing graph becomes a graph of one or two nodes that fails in the same way, and can be saved and replayed."""

from __future__ import annotations

import os
import signal
import time
from unittest import mock

import numpy as np
import pytest
from tests import fuzz
from tests.graphs import case as cases
from tests.graphs import checks, isolated
from tests.graphs.checks import Difference, check
from tests.graphs.isolated import Farm, signature
from tests.graphs.shrink import cost, shrink, tidy
from tests.graphs.test_checks import faulty

from onebit.ir import passes


def first_with(kind: str) -> cases.Case:
    """The first large random case that has this kind of node and fails when that computes something else."""
    for seed in range(2000):
        case = cases.random_case(seed)
        if _has(case, kind) and fails(case):
            return case
    raise AssertionError(f"no random graph that shows a fault of {kind}")


def fails(case: cases.Case) -> str | None:
    try:
        check(case)
    except Difference as difference:
        return difference.stage
    return None


@pytest.mark.parametrize("kind", ["relu", "conv", "affine", "max_pool", "concat", "threshold", "matmul", "quantize"])
def test_an_artificial_fault_ends_at_a_graph_of_one_or_two_nodes(kind):
    with faulty(kind):
        case = first_with(kind)
        sort = fails(case)
        small = shrink(case, lambda candidate: fails(candidate) == sort)
        assert fails(small) == sort
    assert len(small.graph.nodes) <= 2
    graphs = (small.graph, passes.optimize(small.graph))  # of what the passes make a faulty kind, the parts may be left
    assert kind in [node.kind for graph in graphs for node in graph.nodes]
    assert len(small.runs) == 1
    assert sum(array.size for array in (*small.runs[0], *small.graph.tensors.values())) <= 20
    assert fails(small) is None


def test_a_death_of_the_process_is_shrunk_too():
    case = next(case for seed in range(500) if _has(case := cases.random_case(seed), "softmax"))

    def die(dying: cases.Case, *others: object) -> None:
        if any(node.kind == "softmax" for node in dying.graph.nodes):
            os.kill(os.getpid(), signal.SIGKILL)

    with mock.patch.object(checks, "check_engine", die):
        sort = signature(lambda: check(case))
        assert sort == "the process ended with -9"
        small = shrink(case, lambda candidate: signature(lambda: check(candidate)) == sort)
    assert [node.kind for node in small.graph.nodes] == ["softmax"]


def _has(case: cases.Case, kind: str) -> bool:
    """A large graph with this kind, whose runs end well on arrays that are not empty."""
    return (
        8 < len(case.graph.nodes) <= 25
        and any(node.kind == kind for node in case.graph.nodes)
        and all(array.size for inputs in case.runs for array in inputs)
        and checks.outcome(case.graph, case.runs).error is None
    )


def test_every_reduction_that_is_kept_makes_a_valid_case_simpler():
    case = cases.random_case(3)
    seen = [cost(case)]

    def accept(candidate: cases.Case) -> bool:
        candidate.graph.types()
        seen.append(cost(candidate))
        return True

    small = shrink(case, accept)
    assert seen == sorted(seen, reverse=True)
    assert small.graph.nodes == []


def test_what_shrinks_to_nothing_simpler_stays():
    case = tidy(cases.random_case(5))
    assert shrink(case, lambda candidate: False) is case


def test_a_saved_case_is_the_case(tmp_path):
    for seed in range(60):
        case = cases.random_case(seed)
        path, _ = cases.save(case, tmp_path / f"{seed}.onebit", "because")
        loaded = cases.load(path)
        assert [node.kind for node in loaded.graph.nodes] == [node.kind for node in case.graph.nodes]
        assert [[array.tobytes() for array in run] for run in loaded.runs] == [
            [array.tobytes() for array in run] for run in case.runs
        ]
        assert [[(array.dtype, array.shape) for array in run] for run in loaded.runs] == [
            [(array.dtype, array.shape) for array in run] for run in case.runs
        ]


def test_inputs_that_are_gone_or_damaged_are_one_sentence(tmp_path):
    path, beside = cases.save(cases.random_case(0), tmp_path / "case.onebit")
    beside.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="does not hold the inputs"):
        cases.load(path)
    beside.unlink()
    with pytest.raises(OSError, match=r"case\.safetensors"):
        cases.load(path)


def test_a_finding_is_saved_and_the_command_that_is_printed_replays_it(tmp_path, capsys):
    with faulty("relu"):
        seed = next(
            seed for seed in range(500) if _has(cases.random_case(seed), "relu") and fails(cases.random_case(seed))
        )
        text = fuzz.keep(seed, "it differs", tmp_path, 30.0)
        path = tmp_path / f"seed-{seed}.onebit"
        assert f"python -m tests.fuzz --replay {path} --turn {seed}" in text
        assert fuzz.replay(path, seed) == 1
        assert "Difference" in capsys.readouterr().out
    assert fuzz.replay(path, seed) == 0


def test_every_seed_is_worked_on_once_whatever_happens_to_the_processes():
    def work(seed: int) -> None:
        if seed == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        if seed == 12:
            raise ArithmeticError("twelve")
        if seed == 20:
            time.sleep(60)

    done, findings = 0, []
    for count, found in Farm(work, range(60), jobs=2, patience=2.0):
        done += count
        findings += found
    assert done == 60
    assert dict(findings) == {
        7: "the process ended (exit status -9)",
        12: "ArithmeticError: twelve",
        20: "the process stood still (exit status -9)",
    }


def test_a_suspended_fuzzer_has_nobody_to_blame():
    """All processes of a run are stopped for longer than its patience, and go on: no finding."""
    read, write = os.pipe()
    group = os.fork()
    if group == 0:
        os.setsid()

        def work(seed: int) -> None:
            os.write(write, b".")
            time.sleep(0.05)

        with mock.patch.object(isolated, "LOOK", 0.1):
            found = [finding for _, findings in Farm(work, range(40), jobs=2, patience=2.0) for finding in findings]
        os._exit(len(found))
    os.read(read, 1)  # it is at work
    os.killpg(group, signal.SIGSTOP)
    time.sleep(3)
    os.killpg(group, signal.SIGCONT)
    _, status = os.waitpid(group, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_how_work_ends_in_a_process_of_its_own():
    assert signature(lambda: np.zeros(3)) is None
    assert signature(lambda: 1 // 0) == "ZeroDivisionError"
    assert signature(lambda: os.kill(os.getpid(), signal.SIGKILL)) == "the process ended with -9"
    assert signature(lambda: time.sleep(30), seconds=0.2) == "stands still"
