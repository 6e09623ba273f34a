"""What a loaded model promises about a run: its memory, its arrays, its settings."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.engine.build import ISAS, engine, image, normal, same, signs
from tests.engine.files import write

from onebit import ir
from onebit.runtime import _engine

ROOT = Path(__file__).parents[2]


def convolution(channels: int = 64):
    """A small network: bits, convolution, affine, shortcut, bits, convolution."""
    graph, rng = image(channels)
    weight = graph.constant(signs(rng, channels, 3, 3, channels), bit=True)
    y = graph.add("conv", graph.add("sign", "x"), weight, padding=[1, 1, 1, 1])
    y = graph.add("affine", y, graph.constant(normal(rng, channels)), graph.constant(normal(rng, channels)))
    y = graph.add("add", y, "x")
    z = graph.add("conv", graph.add("sign", y), weight, padding=[1, 1, 1, 1])
    graph.outputs = [y, z]
    return graph, rng


def test_the_native_driver_finds_no_difference_and_no_allocation_in_a_second_run(tmp_path):
    drivers = sorted((ROOT / "build").glob("cp*/onebit_driver"), key=lambda path: path.stat().st_mtime)
    assert drivers, "build/*/onebit_driver is missing: install the package from this checkout (make native)"
    command = [str(drivers[-1]), *map(str, write(tmp_path, 30, seed=1))]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_instruction_set_can_be_named_and_an_unknown_one_is_an_error():
    graph, _ = convolution()
    assert ISAS[-1] == "portable"
    for isa in ISAS:
        assert engine(graph, isa).isa == isa
    assert engine(graph).isa == ISAS[0]
    with pytest.raises(ValueError, match=r"isa must be one of .*portable.*got 'sse9'"):
        engine(graph, "sse9")


@pytest.mark.parametrize("threads", [0, -1, 5000])
def test_an_impossible_number_of_threads_is_an_error(threads):
    graph, _ = convolution()
    with pytest.raises(ValueError, match=f"threads must be 1..1024, got {threads}"):
        engine(graph, threads=threads)


def test_memory_is_checked_before_a_run():
    graph, rng = convolution()
    enough = engine(graph, max_memory=2**20)
    enough.run([normal(rng, 1, 6, 6, 64)])
    with pytest.raises(ValueError, match="max_memory allows 1048576"):
        enough.run([normal(rng, 300, 6, 6, 64)])
    enough.run([normal(rng, 2, 6, 6, 64)])


def test_outputs_are_written_into_the_arrays_that_are_given():
    graph, rng = convolution()
    x = normal(rng, 2, 6, 6, 64)
    expected, _ = graph.run(x)
    model = engine(graph, threads=2)
    out = [np.full((2, 6, 6, 64), 7, np.float32), np.full((2, 6, 6, 64), 7, np.int32)]
    result = model.run([x], out)
    assert result[0] is out[0]
    assert result[1] is out[1]
    assert all(map(same, out, expected))


def test_an_output_may_share_memory_with_an_input_or_another_output():
    graph, rng = convolution()
    x = normal(rng, 2, 6, 6, 64)
    (first, second), _ = graph.run(x)
    model = engine(graph)
    own = x.copy()
    assert same(model.run([own], [own, None])[1], second)
    assert same(own, first)
    both = np.empty(2 * x.size, np.float32)
    model.run([x], [both[: x.size].reshape(x.shape), both[x.size :].view(np.int32).reshape(x.shape)])
    assert same(both[: x.size].reshape(x.shape), first)
    assert same(both[x.size :].view(np.int32).reshape(x.shape), second)
    assert same(model.run([x])[0], first)


@pytest.mark.parametrize(
    ("out", "text"),
    [
        (np.empty((2, 6, 6, 63), np.float32), "must have the shape"),
        (np.empty((2, 6, 6, 64), np.int32), "must have dtype float32"),
        (np.empty((2, 6, 64, 6), np.float32).transpose(0, 1, 3, 2), "contiguous"),
    ],
)
def test_an_array_that_does_not_fit_the_output_is_an_error(out, text):
    graph, rng = convolution()
    with pytest.raises(ValueError, match=text):
        engine(graph).run([normal(rng, 2, 6, 6, 64)], [out, None])


def test_many_shapes_one_after_the_other_give_the_same_as_each_alone():
    graph, rng = convolution(33)
    model = engine(graph, threads=2)
    inputs = [normal(rng, batch, 6, 6, 33) for batch in (*range(12), 3, 0, 7)]
    for x in inputs:
        assert all(map(same, model.run([x]), graph.run(x)[0]))


def test_runs_from_several_python_threads_do_not_disturb_each_other():
    graph, rng = convolution(32)
    model = engine(graph, threads=2)
    inputs = [normal(rng, 1 + i % 3, 6, 6, 32) for i in range(6)]
    expected = [graph.run(x)[0] for x in inputs]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            if not all(map(same, model.run([inputs[number]]), expected[number])):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_denormals_are_kept_whatever_the_calling_thread_does():
    torch = pytest.importorskip("torch")
    graph, _ = image(16, size=1)
    graph.outputs = [graph.add("add", "x", "x")]
    x = np.full((1, 1, 1, 16), 1e-42, np.float32)
    expected, _ = graph.run(x)
    torch.set_flush_denormal(True)
    try:
        found = engine(graph).run([x])
    finally:
        torch.set_flush_denormal(False)
    assert same(found[0], expected[0])


def test_an_index_outside_the_table_is_an_error():
    graph = ir.Graph({"i": ir.TensorType("int64", ("n",))})
    graph.outputs = [graph.add("embedding", graph.constant(np.zeros((4, 3), np.float32)), "i")]
    model = engine(graph)
    assert model.run([np.int64([3, 0])])[0].shape == (2, 3)
    with pytest.raises(ValueError, match=r"index must be 0..3, got -1"):
        model.run([np.int64([1, -1])])


def test_the_clock_is_a_frequency_or_not_known():
    clock = _engine.clock(0.001)
    assert clock == 0 or 1e7 < clock < 1e10


def test_the_peak_of_every_arithmetic_is_a_positive_rate():
    for arithmetic in ("bits", "integers", "floats"):
        assert _engine.peak("portable", arithmetic, 0.001) > 0
    with pytest.raises(ValueError, match="arithmetic must be bits, integers or floats, got 'words'"):
        _engine.peak("portable", "words", 0.001)
