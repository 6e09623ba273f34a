"""Ray as an executor: the rows of one process, workers that die, an instance of one's own that goes away again."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from functools import partial

import pytest
from tests.evidence.test_sweep import CELLS, Counting, _alive, untimed

from onebit.core.errors import MissingExtra
from onebit.evidence import executors, sweep
from onebit.evidence.executors import Ray


def test_a_cluster_that_does_not_answer_and_a_missing_package_are_one_sentence(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "ray", None)
        with pytest.raises(MissingExtra, match=r"running on Ray needs ray: pip install 'onebit\[ray\]'"):
            next(Ray().run(abs, [1]))
    pytest.importorskip("ray", reason="ray is not installed")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"^no cluster of Ray answers at '{address}': .*refused$"):
            next(Ray(address=address).run(abs, [1]))
    with pytest.raises(ValueError, match=r"jobs must be 1\.\.1024, got 0"):
        Ray(jobs=0)
    with pytest.raises(ValueError, match="unknown executor 'dask'; known: local, ray"):
        executors.executor("dask")


@pytest.fixture(scope="module")
def ray():
    """A local instance that every test of this file shares, started and stopped by the executor itself."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Ray(jobs=2, threads=2).connected():
        assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
        yield ray
        assert ray.is_initialized()
    assert not ray.is_initialized()


def test_ray_gives_the_rows_of_one_process_the_failed_ones_included(ray, tmp_path, capfd):
    measure = Counting(fails=[2])
    one = sweep.run(measure, CELLS, tmp_path / "one" / "rows.jsonl")
    two = sweep.run(measure, CELLS, tmp_path / "two" / "rows.jsonl", executor=Ray(jobs=2, threads=2))
    assert untimed(one) == untimed(two)
    assert [row.name for row in two] == list(CELLS)
    assert [row.error for row in two] == [None, None, "no 2", "no 2", None, None]
    assert capfd.readouterr() == ("", "")


def test_tasks_are_other_processes_with_their_threads_and_no_more_than_jobs_at_a_time(ray, tmp_path):
    def measure(item):
        (tmp_path / f"{item}").touch()
        time.sleep(0.1)
        at_a_time = len(list(tmp_path.iterdir()))
        (tmp_path / f"{item}").unlink()
        return os.getpid(), os.environ["OMP_NUM_THREADS"], at_a_time

    done = dict(Ray(threads=2).run(measure, range(4)))
    assert sorted(done) == [0, 1, 2, 3]
    processes, threads, at_a_time = map(set, zip(*done.values()))
    assert os.getpid() not in processes
    assert (threads, at_a_time) == ({"2"}, {1})
    # an error of the function is raised as it is
    with pytest.raises(ZeroDivisionError, match=r"^division by zero$"):
        list(Ray(threads=2).run(lambda item: 1 / item, [1, 0]))


def test_an_item_whose_worker_dies_is_tried_again_and_one_that_keeps_dying_stops_the_sweep(
    ray, tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr(executors, "RETRIES", 1)
    path, tries = tmp_path / "sweep" / "rows.jsonl", tmp_path / "tries"

    def measure(times: int, settings):
        said = tries.read_text() if tries.exists() else ""
        if settings == {"x": 3, "seed": 0} and len(said) < times:
            tries.write_text(said + "x")
            os.kill(os.getpid(), signal.SIGKILL)
        return {"square": settings["x"] ** 2}

    with pytest.raises(ChildProcessError, match="at each of 2 tries: what is finished is kept"):
        sweep.run(partial(measure, 2), CELLS, path, executor=Ray(threads=2))
    assert len(tries.read_text()) == 2
    assert [row.settings["x"] for row in sweep.read(path)] == [1, 1, 2, 2]
    before = path.read_bytes()
    tries.unlink()
    rows = sweep.run(partial(measure, 1), CELLS, path, executor=Ray(threads=2))
    assert [row.result["square"] for row in rows] == [1, 1, 4, 4, 9, 9]
    assert path.read_bytes().startswith(before)
    assert len(sweep.read(path)) == len(path.read_text().splitlines()) == len(CELLS)
    assert capfd.readouterr() == ("", "")


def test_closing_the_run_ends_the_tasks_that_run(ray, tmp_path):
    def measure(item):
        if item:
            (tmp_path / str(os.getpid())).touch()
            time.sleep(60)
        return item

    pairs = Ray(jobs=2, threads=2).run(measure, [1, 0])
    assert next(pairs) == (1, 0)
    while not (workers := list(tmp_path.iterdir())):
        time.sleep(0.05)
    pairs.close()
    until = time.monotonic() + 30
    while _alive(int(workers[0].name)):
        assert time.monotonic() < until, "a task has outlived its run"
        time.sleep(0.05)
