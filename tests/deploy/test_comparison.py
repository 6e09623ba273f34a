"""What a comparison of two ways to run a network counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onebit.deploy.comparison import Comparison
from onebit.deploy.export import export
from onebit.deploy.export.comparison import (
    batch_symbol,
    compare_with_engine,
    in_batches,
    random_inputs,
    sizes_of,
    with_bits,
)
from onebit.ir import Graph, TensorType


def outputs_and_bits(seed: int, samples: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    outputs = [rng.integers(0, 3, (samples, 4)).astype(np.float32), rng.integers(0, 3, (samples, 2, 2))]
    return outputs, [rng.choice(np.int8([-1, 1]), (samples, 3)), rng.choice(np.int8([-1, 1]), (2 * samples, 2))]


def compared(seed: int, rows: slice, samples: int) -> Comparison:
    """A comparison of some samples of one and the same pair of runs."""
    a, a_bits = outputs_and_bits(seed, samples)
    b, b_bits = outputs_and_bits(seed + 1, samples)

    def some(array: np.ndarray) -> np.ndarray:
        return array.reshape(samples, -1, *array.shape[1:])[rows].reshape(-1, *array.shape[1:])

    pairs = [(some(x), some(y)) for x, y in zip(a_bits, b_bits)]
    return Comparison.of([some(x) for x in a], [some(x) for x in b], pairs)


@given(st.integers(0, 2**16), st.integers(2, 9), st.data())
def test_the_sum_of_two_batches_is_the_comparison_of_both(seed, samples, data):
    cut = data.draw(st.integers(1, samples - 1))
    parts = compared(seed, slice(None, cut), samples) + compared(seed, slice(cut, None), samples)
    assert parts == compared(seed, slice(None), samples)


@given(st.integers(0, 2**16), st.integers(1, 5))
def test_nothing_differs_from_itself(seed, samples):
    outputs, bits = outputs_and_bits(seed, samples)
    same = Comparison.of(outputs, outputs, zip(bits, bits))
    assert (same.predictions_differ, same.outputs_differ, same.bits_differ, same.samples_with_changed_bit) == (0,) * 4
    assert same.within(0)


def test_a_sample_with_several_changed_bits_counts_once():
    a, b = np.ones((3, 5), np.int8), np.ones((3, 5), np.int8)
    b[1, 2:] = -1
    outputs = [np.zeros((3, 1), np.float32)]
    found = Comparison.of(outputs, outputs, [(a, b), (a, b)])
    assert (found.bits, found.bits_differ, found.samples_with_changed_bit) == (30, 6, 1)
    assert found.within(1 / 3)
    assert not found.within(0.33)


def test_any_nan_equals_any_nan_and_no_number():
    a = [np.float32([[np.nan, np.nan, 1]])]
    assert Comparison.of(a, [np.float32([[-np.nan, np.nan, 1]])]).outputs_differ == 0
    assert Comparison.of(a, [np.float32([[np.nan, 0, 1]])]).outputs_differ == 1


def test_arrays_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"must have one shape, got \(1, 2\) and \(2, 1\)"):
        Comparison.of([np.zeros((1, 2))], [np.zeros((2, 1))])


def deep() -> Graph:
    """Bits made in three places: of an input, of sums, and as an output."""
    graph = Graph({"x": TensorType("float32", ("batch", 4))})
    weight = graph.constant(np.int8([[1, -1, 1, 1], [1, 1, -1, 1]]), bit=True)
    sums = graph.add("linear", graph.add("sign", "x"), weight)
    limit, sense = graph.constant(np.int32([0, 1])), graph.constant(np.int8([1, -1]), bit=True)
    graph.outputs = [graph.add("affine", sums, *[graph.constant(np.ones(2, np.float32))] * 2)]
    graph.outputs.append(graph.add("threshold", sums, limit, sense))
    return graph


def interpreter(graph: Graph):
    return lambda arrays: list(graph.run(*arrays)[0])


def test_a_graph_compared_with_itself_differs_in_nothing():
    graph = deep()
    batches = [random_inputs(graph, count, np.random.default_rng(0)) for count in (3, 5)]
    found = compare_with_engine(graph, interpreter(graph), interpreter(with_bits(graph)), batches)
    assert (found.samples, found.bits, found.bits_differ, found.outputs_differ) == (8, 8 * 4 + 8 * 2, 0, 0)


def test_bits_inside_are_compared_where_no_output_shows_them():
    graph = deep()
    inputs = random_inputs(graph, 6, np.random.default_rng(0))

    def wrong(arrays: list[np.ndarray]) -> list[np.ndarray]:
        results = interpreter(with_bits(graph))(arrays)
        results[-1] = results[-1] * np.where(np.arange(len(arrays[0])) == 2, np.int8(-1), np.int8(1))[:, None]
        return results

    found = compare_with_engine(graph, interpreter(graph), wrong, [inputs])
    assert (found.outputs_differ, found.bits_differ, found.samples_with_changed_bit) == (0, 4, 1)


def test_random_inputs_fit_their_graph_and_its_tables():
    graph = Graph({"words": TensorType("int64", ("batch", "length")), "x": TensorType("bit", ("batch", 3))})
    table = graph.constant(np.zeros((5, 2), np.float32))
    graph.outputs = [graph.add("embedding", table, graph.add("transpose", "words", perm=[1, 0])), "x"]
    words, x = random_inputs(graph, 50, np.random.default_rng(0))
    assert words.shape[0] == len(x) == 50
    assert set(words.flat) == set(range(5))
    assert graph.run(words, x)[0][0].shape == (words.shape[1], 50, 2)
    assert batch_symbol(graph) == "batch"


def stateful() -> Graph:
    """Two inputs of several symbols, one without the batch, and a state."""
    graph = Graph(
        {"x": TensorType("float32", ("2*batch", "length", 3)), "y": TensorType("float32", ("length", 3))},
    )
    state = graph.state(np.float32([[0.5, -0.5, 0.0]]))
    total = graph.add("add", graph.add("add", "x", "y"), state)
    graph.states[state] = graph.add("neg", state)
    graph.outputs = [graph.add("sign", total), total]
    return graph


@given(st.integers(1, 7), st.integers(1, 9))
def test_batches_hold_every_sample_once_in_whole_units_of_the_batch(count, size):
    graph = stateful()
    x, y = random_inputs(graph, count, np.random.default_rng(0))
    batches = list(in_batches(graph, [x, y], size))
    np.testing.assert_array_equal(np.concatenate([batch[0] for batch in batches]), x)
    assert all(len(batch[0]) % 2 == 0 and (len(batch[0]) <= size or len(batch[0]) == 2) for batch in batches)
    assert all(batch[1] is y for batch in batches)
    assert sizes_of(graph, batches[0]) == {"batch": len(batches[0][0]) // 2, "length": x.shape[1]}


@pytest.mark.parametrize("to", ["onnx", "qonnx"])
def test_a_network_with_a_state_and_several_symbols_exports_to_the_same_bits(to, tmp_path):
    pytest.importorskip("qonnx" if to == "qonnx" else "onnxruntime")
    graph = stateful()
    report = export(graph, tmp_path / "a.onnx", to, inputs=random_inputs(graph, 60, np.random.default_rng(0)))
    assert report.comparison.samples == 120
    assert (report.comparison.outputs_differ, report.comparison.bits_differ) == (0, 0)
    assert report.comparison.bits == 120 * 8 * 3
    assert report.holds


def test_a_graph_for_one_number_of_samples_is_compared_in_batches_of_it(tmp_path):
    pytest.importorskip("onnxruntime")
    graph = Graph({"x": TensorType("float32", (4, 3))})
    graph.outputs = [graph.add("sign", "x")]
    x = np.random.default_rng(0).standard_normal((11, 3), np.float32)
    assert export(graph, tmp_path / "a.onnx", inputs=[x]).comparison.samples == 8
    with pytest.raises(ValueError, match=r"at least one batch for float32 \(4, 3\), got \(3, 3\)"):
        export(graph, tmp_path / "a.onnx", inputs=[x[:3]])
