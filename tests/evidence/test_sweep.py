"""Sweeps: nothing is measured twice, nothing is lost, the same rows alone and in several processes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from onebit.core import journal
from onebit.core.files import InUse, claimed
from onebit.evidence import sweep
from onebit.evidence.display import LiveTable

CELLS = sweep.named(sweep.grid({"x": [1, 2, 3], "seed": [0, 1]}))


class Counting:
    """A measurement that remembers for what it was called, and fails for some."""

    def __init__(self, fails=()) -> None:
        self.calls, self.fails = [], set(fails)

    def __call__(self, settings):
        self.calls.append(settings["x"])
        if settings["x"] in self.fails:
            raise ValueError(f"no {settings['x']}")
        return {"square": settings["x"] ** 2, "draw": sweep.seed_of(settings) % 1000}


def untimed(rows):
    return sorted((row.key, row.name, json.dumps(row.settings), json.dumps(row.result), row.error) for row in rows)


def test_every_cell_is_measured_once_and_its_row_kept_for_the_next_start(tmp_path):
    path, measure = tmp_path / "rows.jsonl", Counting()
    rows = sweep.run(measure, CELLS, path)
    assert [row.name for row in rows] == list(CELLS)
    assert [row.result["square"] for row in rows] == [1, 1, 4, 4, 9, 9]
    assert sweep.run(measure, CELLS, path) == rows
    assert len(measure.calls) == len(CELLS)
    assert sweep.read(path) == rows


def test_further_cells_change_no_row_that_is_there(tmp_path):
    path, measure = tmp_path / "rows.jsonl", Counting()
    few = dict(list(CELLS.items())[3:])
    before = sweep.run(measure, few, path)
    assert sweep.run(measure, CELLS, path)[3:] == before
    assert len(measure.calls) == len(CELLS)


def test_another_version_of_the_measurement_measures_anew(tmp_path):
    path, measure = tmp_path / "rows.jsonl", Counting()
    sweep.run(measure, CELLS, path, version="1")
    sweep.run(measure, CELLS, path, version="2")
    assert len(measure.calls) == 2 * len(CELLS)


def test_a_cell_that_fails_is_a_row_with_its_error_and_is_tried_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = sweep.run(Counting(fails=[2]), CELLS, path)
    assert [row.error for row in rows] == [None, None, "no 2", "no 2", None, None]
    measure = Counting()
    assert all(row.error is None for row in sweep.run(measure, CELLS, path))
    assert measure.calls == [2, 2]
    assert all(row.error is None for row in sweep.read(path))


@pytest.mark.parametrize("result", [None, [1], {"model": object()}, {1, 2}])
def test_a_measurement_that_gives_what_json_does_not_have_is_a_failure_with_a_sentence(result, tmp_path):
    (row,) = sweep.run(lambda settings: result, {"one": {}}, tmp_path / "rows.jsonl")
    assert row.result is None
    assert row.error is not None
    assert "\n" not in row.error


def test_an_interruption_keeps_the_rows_before_it(tmp_path):
    path = tmp_path / "rows.jsonl"

    def measure(settings):
        if settings["x"] == 3:
            raise KeyboardInterrupt
        return {"x": settings["x"]}

    with pytest.raises(KeyboardInterrupt):
        sweep.run(measure, CELLS, path)
    assert len(sweep.read(path)) == 4
    counting = Counting()
    sweep.run(counting, CELLS, path)
    assert counting.calls == [3, 3]


def test_a_row_that_a_kill_cut_off_is_measured_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    whole = sweep.run(Counting(), CELLS, path)
    for kept in (0, 1, 40, -2):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:-1]) + lines[-1][:kept])
        measure = Counting()
        assert untimed(sweep.run(measure, CELLS, path)) == untimed(whole)
        assert measure.calls == [3]


def test_several_processes_give_the_rows_of_one(tmp_path):
    measure = Counting(fails=[2])
    one = sweep.run(measure, CELLS, tmp_path / "one" / "rows.jsonl")
    two = sweep.run(measure, CELLS, tmp_path / "two" / "rows.jsonl", jobs=2)
    assert untimed(one) == untimed(two)
    assert [row.name for row in two] == list(CELLS)


def test_workers_have_one_thread_and_are_other_processes(tmp_path):
    rows = sweep.run(
        lambda settings: {"process": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]},
        CELLS,
        tmp_path / "rows.jsonl",
        jobs=2,
    )
    assert os.getpid() not in {row.result["process"] for row in rows}
    assert {row.result["threads"] for row in rows} == {"1"}


def test_a_worker_that_is_killed_stops_the_sweep_with_a_sentence_and_it_can_go_on(tmp_path):
    path = tmp_path / "rows.jsonl"

    def measure(settings):
        if settings["x"] == 3 and settings["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"x": settings["x"]}

    cells = {name: settings | {"kill": True} for name, settings in CELLS.items()}
    with pytest.raises(ChildProcessError, match="a worker process was killed"):
        sweep.run(measure, cells, path, jobs=2)
    assert all(row.error is None for row in sweep.read(path))


def test_workers_end_with_the_process_that_started_them_however_it_ends(tmp_path):
    script = (
        "import os, sys, time\nfrom onebit.evidence import sweep\n"
        "def measure(s):\n    open(f'{s[\"folder\"]}/{os.getpid()}', 'w').close()\n"
        "    time.sleep(60)\n    return {}\n"
        "cells = {str(i): {'i': i, 'folder': sys.argv[1]} for i in range(2)}\n"
        "sweep.run(measure, cells, sys.argv[1] + '/sweep/rows.jsonl', jobs=2)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    workers: list[int] = []
    while len(workers) < 2:
        assert process.poll() is None
        time.sleep(0.05)
        workers = [int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()]
    process.kill()
    process.wait()
    until = time.monotonic() + 30
    while any(_alive(worker) for worker in workers):
        assert time.monotonic() < until, "workers have outlived their sweep"
        time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_executor_of_ones_own_needs_one_method(tmp_path):
    class Backwards:
        def run(self, function, items):
            for index in reversed(range(len(items))):
                yield index, function(items[index])

    there = sweep.run(Counting(), CELLS, tmp_path / "a" / "rows.jsonl")
    back = sweep.run(Counting(), CELLS, tmp_path / "b" / "rows.jsonl", executor=Backwards())
    assert untimed(back) == untimed(there)
    assert [row.name for row in back] == list(CELLS)


def test_a_folder_in_which_another_sweep_works_is_refused(tmp_path):
    with claimed(tmp_path), pytest.raises(InUse, match="in use by another process"):
        sweep.run(Counting(), CELLS, tmp_path / "rows.jsonl")


def test_seeds_follow_from_the_settings_alone():
    seeds = {sweep.seed_of(settings) for settings in CELLS.values()}
    assert len(seeds) == len(CELLS)
    assert sweep.seed_of({"a": 1, "b": 2}) == sweep.seed_of({"b": 2, "a": 1})
    assert sweep.seed_of({"a": 1}, seed=1) != sweep.seed_of({"a": 1}, seed=2)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"a": {"x": 1, "y": 2}, "b": {"y": 2, "x": 1}}, "cells 'a' and 'b' have equal settings"),
        ({"a": {"x": object()}}, "settings of cell 'a' must be JSON values"),
        ({"a": {"x": float("nan")}}, "settings of cell 'a' must be JSON values"),
    ],
)
def test_cells_that_cannot_be_told_apart_or_written_are_refused(cells, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        sweep.run(Counting(), cells, tmp_path / "rows.jsonl")


def test_a_file_of_something_else_is_refused_with_its_line(tmp_path):
    journal.append(tmp_path / "rows.jsonl", {"epoch": 1})
    with pytest.raises(ValueError, match="line 1, is no row of a sweep"):
        sweep.run(Counting(), CELLS, tmp_path / "rows.jsonl")


def test_the_display_says_what_is_done_and_what_failed(tmp_path, capfd):
    sweep.run(Counting(fails=[3]), CELLS, tmp_path / "rows.jsonl", progress=True)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("cell 1/6  x=1, seed=0  ")
    assert lines[-1] == "cell 6/6  x=3, seed=1  failed: no 3"
    sweep.run(Counting(), CELLS, tmp_path / "rows.jsonl", progress=True)
    assert capfd.readouterr().err.splitlines()[0] == "4 of 6 cells are there already"


def table(terminal: bool) -> LiveTable:
    def mean(rows):
        return f"{sum(row.result['square'] + row.settings['seed'] for row in rows) / len(rows):.1f}"

    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, highlight=False, color_system=None)
    return LiveTable(
        ["method a", "method [b]"],
        ["1", "2", "3"],
        lambda row: ("method a", str(row.settings["x"])),
        mean,
        title="squares",
        console=console,
    )


def final(shown: LiveTable) -> list[list[str]]:
    """The rows of the last table that was drawn, without its frame."""
    lines = shown.console.file.getvalue().rpartition("squares")[2].splitlines()
    return [[part.strip() for part in line.strip("│").split("│")] for line in lines if "method" in line]


def test_the_table_stands_at_the_end_with_the_mean_of_every_field_those_of_an_earlier_start_included(tmp_path):
    path = tmp_path / "rows.jsonl"
    with_failures = table(terminal=True)
    sweep.run(Counting(fails=[2]), dict(list(CELLS.items())[:4]), path, display=with_failures)
    assert final(with_failures) == [["method a", "1.5", "failed", "…"], ["method [b]", "…", "…", "…"]]
    said = with_failures.console.file.getvalue()
    assert "4 of 4 cells done, 0 left, 2 failed, 0:00:0" in said
    assert "x=2, seed=1  failed: no 2" in said
    whole = table(terminal=True)
    sweep.run(Counting(), CELLS, path, display=whole)
    assert final(whole)[0] == ["method a", "1.5", "4.5", "9.5"]
    again = table(terminal=True)
    sweep.run(Counting(fails=[1, 2, 3]), CELLS, path, display=again)
    assert final(again) == final(whole)


def test_without_a_terminal_the_table_is_a_line_a_cell(tmp_path):
    shown = table(terminal=False)
    sweep.run(Counting(fails=[3]), CELLS, tmp_path / "rows.jsonl", display=shown)
    lines = shown.console.file.getvalue().splitlines()
    assert len(lines) == len(CELLS)
    assert lines[-1] == "cell 6/6  x=3, seed=1  failed: no 3"


def test_the_table_stays_when_the_sweep_is_stopped(tmp_path):
    def measure(settings):
        if settings["x"] == 2:
            raise KeyboardInterrupt
        return {"square": 1}

    shown = table(terminal=True)
    with pytest.raises(KeyboardInterrupt):
        sweep.run(measure, CELLS, tmp_path / "rows.jsonl", display=shown)
    assert final(shown)[0] == ["method a", "1.5", "…", "…"]
    assert "2 of 6 cells done, 4 left" in shown.console.file.getvalue()
