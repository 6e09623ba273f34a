"""What files made to hurt a reader may take: memory by the rules of the page on the file, an error of one sentence."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.fragile import fragile  # by its full name: another process imports it
from tests.runtime.watch import watch

from onebit import ir, runtime
from onebit.ir import interpreter

from . import hostile, mutants, mutate

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", hostile.FILES)
def test_a_hostile_file_is_read_within_the_memory_its_size_allows(name):
    number = 2 * list(hostile.FILES).index(name)
    assert [hostile.judge(number), hostile.judge(number + 1)] == [None, None]


def loader() -> Path:
    """The engine's loader as a program that counts what it allocates."""
    found = sorted((ROOT / "build").glob("cp*/fuzz_load"), key=lambda path: path.stat().st_mtime)
    assert found, "build/*/fuzz_load is missing: install the package from this checkout (make native)"
    return found[-1]


def test_the_engine_allocates_for_a_load_what_the_file_allows(tmp_path):
    files = {**{name: make(hostile.COUNT) for name, make in hostile.FILES.items()}, **mutants.good_files()}
    paths = [tmp_path / f"{number}.onebit" for number in range(len(files))]
    for path, data in zip(paths, files.values()):
        path.write_bytes(data)
    done = subprocess.run([loader(), *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(files)


def test_the_engine_allocates_for_the_load_of_a_mutant_what_its_size_allows():
    frames = b"".join(len(data).to_bytes(8, "little") + data for data in map(mutants.mutant, range(500)))
    done = subprocess.run([loader(), "-"], input=frames, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


# In a process that has little memory: what is allocated before it is refused cannot hide.
REFUSE = """
import resource, sys
import numpy as np
from tests.runtime.hostile import HUGE
from tests.runtime.mutate import small_inputs
from onebit import runtime
for isa in (None, "interpreter"):
    runtime.Model(HUGE["forty doublings"], isa=isa)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 2**26, size + 2**26))
for name, data in HUGE.items():
    for isa in (None, "interpreter"):
        model = runtime.Model(data, isa=isa, max_memory=2**25)
        try:
            model.run(*small_inputs(model, 1, np.random.default_rng(0)))
            print(f"{name}, {model.isa}: ran")
        except ValueError as error:
            if "max_memory allows 33554432" not in str(error):
                print(f"{name}, {model.isa}: {error}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a process's memory is Linux's")
def test_a_run_beyond_max_memory_is_refused_before_anything_is_allocated():
    done = subprocess.run([sys.executable, "-c", REFUSE], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a process's memory is Linux's")
def test_a_run_that_the_machine_has_no_memory_for_is_an_error_of_one_sentence():
    code = REFUSE.replace("max_memory=2**25", "max_memory=None").replace("max_memory allows 33554432", "memory")
    skip = "a pool of 2^33 windows"  # runs for minutes where nothing refuses it
    code = code.replace("in HUGE.items():", f"in HUGE.items():\n    if name == {skip!r}: continue")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("name", mutants.good_files())
def test_an_interpreted_run_takes_no_more_memory_than_it_says(name):
    data = mutants.good_files()[name]
    model, graph = runtime.Model(data, isa="interpreter"), ir.loads(data)
    arrays = mutate.small_inputs(model, 3, np.random.default_rng(0))
    symbols: dict[str, int] = {}
    for port, array, types in zip(model.inputs, arrays, graph.inputs.values()):
        interpreter.check_array(port.name, array, types, symbols)
    mutate.outcome(model, arrays)  # what is made once is there
    tracemalloc.start()
    mutate.outcome(model, arrays)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held <= interpreter.memory(graph, symbols) + 2000 * (len(graph.nodes) + 20)  # objects of the run itself


# The watch over long runs


def test_a_number_that_hangs_or_kills_its_process_is_named_and_the_others_are_judged():
    counted: list[int] = []
    found = sorted(watch(fragile, range(10), 1, 5, counted.append))
    assert found == [
        "1: found",
        "3: no answer in 5 s",
        "5: the process died of SIGSEGV",
        "6: the process ended with status 7",
        "9: found",
    ]
    assert sum(counted) == 10
