"""The layer benchmark measures what it says."""

from __future__ import annotations

import numpy as np
import pytest
from tests.engine.build import check, normal

from onebit.evidence import engine


@pytest.mark.parametrize("form", engine.FORMS)
@pytest.mark.parametrize("stride", [1, 2])
def test_the_layers_that_are_timed_give_the_bits_of_the_interpreter(form, stride):
    rng = np.random.default_rng(0)
    graph = engine.binary_layers(engine.Shape(10, 64, stride), form, depth=2)
    check(graph, [normal(rng, *given.shape) for given in graph.inputs.values()], threads=(1, 2))


def test_a_quick_bench_has_a_row_for_every_form_and_prints_them():
    pytest.importorskip("onnxruntime")
    rows = engine.layers(repeats=1, shapes=[engine.Shape(7, 32), engine.Shape(7, 32, 2)], peak_seconds=0.01)
    assert [row.form for row in rows] == [form for form in engine.FORMS for _ in range(2)]
    assert all(row.engine.minimum > 0 and row.ratio > 0 for row in rows)
    assert [row.macs for row in rows[:2]] == [7 * 7 * 9 * 32 * 32, 4 * 4 * 9 * 32 * 64]
    assert all(row.shape in str(engine.Bench(rows)) for row in rows)


def test_the_float_layers_of_the_peer_have_the_shapes_of_ours():
    pytest.importorskip("onnxruntime")
    for shape in (engine.Shape(7, 32), engine.Shape(7, 32, 2)):
        results = engine.float_layers(shape, depth=2)()
        expected = (1, shape.out_channels, shape.out_size, shape.out_size)
        assert {result.shape for result in results} == {expected}


def test_latency_calls_in_turn():
    called: list[str] = []
    timings = engine.latency({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, repeats=3, warmup=1)
    assert called == ["a", "b"] * 4
    assert timings["a"].repeats == 3
