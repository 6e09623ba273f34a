"""The layer benchmark measures what it says."""

from __future__ import annotations

import numpy as np
import pytest
from tests.engine.build import check, normal

from onebit.evidence import engine


@pytest.mark.parametrize("form", engine.FORMS)
def test_the_chains_that_are_timed_give_the_bits_of_the_interpreter(form):
    rng = np.random.default_rng(0)
    check(engine.binary_chain(10, 64, form, depth=2), [normal(rng, 1, 10, 10, 64)], threads=(1, 2))


def test_a_quick_bench_has_a_row_for_every_form_and_prints_them():
    pytest.importorskip("onnxruntime")
    rows = engine.layers(repeats=1, shapes=[(7, 32)], peak_seconds=0.01)
    assert [row.form for row in rows] == list(engine.FORMS)
    assert all(row.engine.minimum > 0 and row.ratio > 0 and row.macs == 7 * 7 * 9 * 32 * 32 for row in rows)
    assert "7x7x32" in str(engine.Bench(rows))


def test_latency_calls_in_turn():
    called: list[str] = []
    timings = engine.latency({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, repeats=3, warmup=1)
    assert called == ["a", "b"] * 4
    assert timings["a"].repeats == 3
