"""Passes: what a graph computes stays the same, to the bit where no rounding changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graphs import graphs

from onebit import ir
from onebit.ir import Graph, TensorType, interpreter, passes

EXACT = [
    passes.fold_constants,
    passes.remove_identities,
    passes.remove_dead,
    passes.sign_before_moves,
    passes.thresholds,
    passes.bits_through_max_pool,
]


def kinds(graph: Graph) -> list[str]:
    return [node.kind for node in graph.nodes]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the bit; any NaN equals any NaN."""
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and (
            np.array_equal(a, b, equal_nan=a.dtype == np.float32)
            and np.array_equal(np.signbit(a[a == 0]), np.signbit(b[b == 0]))
            if a.dtype == np.float32
            else np.array_equal(a, b)
        )
    )


def assert_same_runs(first: Graph, second: Graph, *inputs: np.ndarray) -> None:
    (outputs, state), (others, other_state) = first.run(*inputs), second.run(*inputs)
    assert all(map(same, outputs, others))
    assert all(same(state[name], other_state[name]) for name in state)


def floats(shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32) * np.float32(scale)


def bits(shape, seed=0):
    return np.random.default_rng(seed).choice(np.int8([-1, 1]), shape)


@pytest.mark.parametrize("one", EXACT, ids=lambda one: one.__name__)
@given(case=graphs())
@settings(max_examples=60)
def test_a_pass_that_rounds_nothing_changes_no_bit(one, case):
    graph, inputs = case
    before = list(graph.nodes)
    result = one(graph)
    result.types()
    assert graph.nodes == before
    if one is passes.bits_through_max_pool:
        values = interpreter.evaluate(graph, inputs)
        if any(np.isnan(value).any() for value in values.values() if value.dtype == np.float32):
            return
    assert_same_runs(graph, result, *inputs)


@given(graphs())
@settings(max_examples=100)
def test_an_optimized_graph_is_valid_can_be_packed_and_has_the_same_border(case):
    graph, inputs = case
    result = passes.optimize(graph)
    before, after = graph.types(), result.types()
    assert [before[name] for name in graph.outputs] == [after[name] for name in result.outputs]
    assert result.inputs == graph.inputs
    assert result.states.keys() == graph.states.keys()
    assert "batch_norm" not in kinds(result)
    loaded = ir.loads(ir.dumps(result))
    assert_same_runs(result, loaded, *inputs)


@given(graphs())
@settings(max_examples=50)
def test_optimizing_again_changes_nothing(case):
    graph, _ = case
    once = passes.optimize(graph)
    twice = passes.optimize(once)
    assert len(twice.nodes) <= len(once.nodes)


# Constants, identities, dead nodes


def test_what_depends_on_constants_only_is_computed_once():
    graph = Graph({"x": TensorType("float32", ("batch", 3))})
    a = graph.add("exp", graph.constant(floats(3)))
    b = graph.add("broadcast_to", a, shape=["batch", 3])  # its size is not known yet
    s = graph.add("sign", a)
    graph.outputs = [graph.add("add", graph.add("mul", "x", a), b), s]
    result = passes.fold_constants(graph)
    assert kinds(result) == ["broadcast_to", "mul", "add"]
    assert s in result.bits
    assert_same_runs(graph, result, floats((2, 3)))


def test_what_fails_on_constants_fails_where_it_is_needed_and_not_before():
    graph = Graph({"x": TensorType("float32", (2,))})
    rows = graph.add("embedding", graph.constant(floats((3, 4))), graph.constant(np.int64([5])))
    graph.outputs = [graph.add("relu", "x")]
    assert kinds(passes.optimize(graph)) == ["relu"]
    graph.outputs = [rows]
    with pytest.raises(ValueError, match=r"node 0 \(embedding\): index must be 0..2, got 5"):
        passes.optimize(graph).run(floats(2))


def test_a_state_is_no_constant():
    graph = Graph()
    h = graph.state(floats(3))
    graph.states[h] = graph.add("exp", h)
    assert kinds(passes.fold_constants(graph)) == ["exp"]


def test_transposes_that_cancel_and_reshapes_of_reshapes_go():
    graph = Graph({"x": TensorType("float32", ("batch", 3, 4, 5))})
    y = graph.add("transpose", graph.add("transpose", "x", perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2])
    y = graph.add("reshape", graph.add("reshape", y, shape=["batch", 60]), shape=["batch", 12, 5])
    y = graph.add("cast", y, dtype="float32")
    graph.outputs = [graph.add("neg", y)]
    result = passes.remove_dead(passes.remove_identities(graph))
    assert kinds(result) == ["reshape", "neg"]
    assert_same_runs(graph, result, floats((2, 3, 4, 5)))


def test_a_transpose_that_moves_no_data_is_a_reshape():
    graph = Graph({"x": TensorType("float32", ("batch", 1, 1, 7))})
    graph.outputs = [graph.add("transpose", "x", perm=[0, 3, 1, 2])]
    result = passes.remove_identities(graph)
    assert kinds(result) == ["reshape"]
    assert_same_runs(graph, result, floats((2, 1, 1, 7)))


def test_a_node_that_repeats_another_goes_but_not_where_a_zero_differs_in_sign():
    graph = Graph({"x": TensorType("float32", (2,))})
    graph.outputs = [graph.add("pad", "x", pads=[[1, 0]], value=value) for value in (0.0, -0.0, 0.0)]
    result = passes.remove_dead(passes.remove_identities(graph))
    assert len(result.nodes) == 2
    assert_same_runs(graph, result, floats(2))


def test_a_sign_reads_past_a_clip_that_does_not_change_it():
    x = np.float32([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 2, -2])
    for low, high, gone in ((-1, 1, True), (-1e-45, 0.0, True), (0.0, 1, False), (-1, -0.5, False)):
        graph = Graph({"x": TensorType("float32", (9,))})
        graph.outputs = [graph.add("sign", graph.add("clip", "x", low=low, high=high))]
        result = passes.optimize(graph)
        assert (kinds(result) == ["sign"]) == gone
        assert_same_runs(graph, result, x)


def test_what_nothing_needs_goes_and_inputs_stay():
    graph = Graph({"x": TensorType("float32", (2,)), "unused": TensorType("bit", (2,))})
    weight = graph.constant(bits((3, 2)), bit=True)
    graph.add("linear", "x", weight)
    graph.outputs = [graph.add("relu", "x")]
    result = passes.remove_dead(graph)
    assert kinds(result) == ["relu"]
    assert (result.tensors, result.bits) == ({}, set())
    assert list(result.inputs) == ["x", "unused"]


# Affine functions


def batch_norm(graph: Graph, x: str, channels: int, seed: int = 1) -> str:
    vectors = floats((4, channels), seed)
    vectors[3] = np.abs(vectors[3]) + np.float32(0.1)
    return graph.add("batch_norm", x, *[graph.constant(vector) for vector in vectors], eps=1e-5)


def test_batch_norm_after_a_binary_convolution_is_one_affine():
    graph = Graph({"x": TensorType("bit", ("batch", 5, 5, 3))})
    conv = graph.add("conv", "x", graph.constant(bits((4, 3, 3, 3)), bit=True))
    scaled = graph.add("mul", graph.add("cast", conv, dtype="float32"), graph.constant(np.abs(floats((1, 1, 1, 4)))))
    biased = graph.add("sub", graph.constant(floats(4)), scaled)
    graph.outputs = [batch_norm(graph, graph.add("neg", biased), 4)]
    result = passes.optimize(graph)
    assert kinds(result) == ["conv", "affine"]
    x = bits((2, 5, 5, 3), 3)
    np.testing.assert_allclose(result.run(x)[0][0], graph.run(x)[0][0], rtol=1e-5, atol=1e-5)


def test_an_affine_on_a_float_convolution_goes_into_its_weights():
    graph = Graph({"x": TensorType("float32", ("batch", 5, 5, 3))})
    conv = graph.add("conv", "x", graph.constant(floats((4, 3, 3, 3))), padding=[1, 1, 1, 1], pad_value=1)
    conv = graph.add("add", conv, graph.constant(floats(4, 7)))
    graph.outputs = [batch_norm(graph, conv, 4)]
    result = passes.optimize(graph)
    assert kinds(result) == ["conv", "add"]
    x = floats((2, 5, 5, 3), 3)
    np.testing.assert_allclose(result.run(x)[0][0], graph.run(x)[0][0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("position", [1, 2])
def test_a_scale_or_shift_that_varies_beside_a_constant_is_no_chain(position):
    graph = Graph({"x": TensorType("float32", (3,))})
    inputs = [graph.constant(floats(3, seed)) for seed in range(3)]
    inputs[position] = "x"
    graph.outputs = [graph.add("neg", graph.add("affine", *inputs))]
    result = passes.optimize(graph)
    assert kinds(result) == ["affine", "neg"]
    assert_same_runs(graph, result, floats(3, 9))


@pytest.mark.parametrize("product", [True, False])
def test_a_factor_that_becomes_subnormal_is_not_folded(product):
    """1e-39 is exact as it stands, and 1e-40, a tenth of it, has 17 bits: too few for a sum of 1e30."""
    graph = Graph({"x": TensorType("float32", ("batch", 1))})
    y = graph.add("linear", "x", graph.constant(np.float32([[0.3]]))) if product else "x"
    y = graph.add("mul", y, graph.constant(np.float32([0.1])))
    graph.outputs = [graph.add("mul", y, graph.constant(np.float32([1e-39])))]
    result = passes.fold_batch_norm(graph)
    assert kinds(result) == kinds(graph)
    weights = Graph({"x": TensorType("float32", ("batch", 1))})
    y = weights.add("linear", "x", weights.constant(np.float32([[1e-20]])))
    weights.outputs = [weights.add("affine", y, *[weights.constant(np.float32([value])) for value in (1e-20, 1)])]
    assert kinds(passes.fold_batch_norm(weights)) == ["linear", "affine"]
    alone = Graph({"x": TensorType("float32", ("batch", 1))})
    vectors = [alone.constant(np.float32([value])) for value in (1e-40, 0, 0, 4)]
    alone.outputs = [alone.add("batch_norm", "x", *vectors, eps=0)]
    assert kinds(passes.fold_batch_norm(alone)) == ["affine"]  # a file cannot hold it otherwise


@pytest.mark.parametrize("computed", [True, False])
def test_a_scale_that_moves_on_stays_out_of_the_weights(computed):
    graph = Graph({"x": TensorType("float32", ("batch", 3)), "next": TensorType("float32", (2,))})
    scale = graph.state(floats(2))
    graph.states[scale] = "next"
    y = graph.add("linear", "x", graph.constant(floats((2, 3))))
    graph.outputs = [graph.add("affine", y, graph.add("relu", scale) if computed else scale, graph.constant(floats(2)))]
    result = passes.fold_batch_norm(graph)
    assert kinds(result) == kinds(graph)
    x, moved = floats((4, 3)), floats(2, 5)
    _, state = graph.run(x, moved)
    assert same(graph.run(x, moved, state=state)[0][0], result.run(x, moved, state=state)[0][0])


def test_what_something_else_reads_is_not_folded_away():
    graph = Graph({"x": TensorType("float32", ("batch", 3))})
    y = graph.add("mul", "x", graph.constant(floats(3)))
    z = graph.add("add", y, graph.constant(floats(3, 1)))
    graph.outputs = [z, graph.add("exp", y)]
    assert kinds(passes.optimize(graph)) == ["mul", "add", "exp"]


def test_a_constant_that_is_not_per_channel_is_not_folded():
    graph = Graph({"x": TensorType("float32", ("batch", 2, 3))})
    y = graph.add("mul", "x", graph.constant(floats((2, 1))))
    graph.outputs = [graph.add("add", y, graph.constant(floats((2, 3))))]
    assert kinds(passes.optimize(graph)) == ["mul", "add"]


def test_a_scale_that_leaves_float32_is_not_folded():
    graph = Graph({"x": TensorType("float32", ("batch", 1))})
    y = graph.add("mul", graph.add("mul", "x", graph.constant(np.float32([1e30]))), graph.constant(np.float32([1e30])))
    graph.outputs = [y]
    result = passes.optimize(graph)
    assert kinds(result) == ["mul", "mul"]


# Thresholds

TAPS = 3 * 3 * 2
CHANNEL_SCALES = st.one_of(
    st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 1e30, -1e30, 3e38, -3e38]), st.floats(-10, 10, width=32)
)
CHANNEL_SHIFTS = st.one_of(st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38]), st.floats(-50, 50, width=32))


def every_sum(channels: int) -> np.ndarray:
    """A linear layer of bits whose input rows reach every sum from -TAPS to TAPS: (R, TAPS), for weights of +1."""
    return np.int8([[1] * ones + [-1] * (TAPS - ones) for ones in range(TAPS + 1)])


@given(
    st.lists(st.tuples(CHANNEL_SCALES, CHANNEL_SHIFTS, st.floats(-2, 2, width=32)), min_size=1, max_size=5),
    st.sampled_from("apcsm"),
)
@settings(max_examples=200)
def test_thresholds_give_the_same_bit_at_every_reachable_integer(channels, chain):
    scale, shift, slope = (np.float32(column) for column in zip(*channels))
    graph = Graph({"x": TensorType("bit", ("batch", TAPS))})
    y = graph.add("linear", "x", graph.constant(np.ones((len(channels), TAPS), np.int8), bit=True))
    y = graph.add("affine", y, graph.constant(scale), graph.constant(shift))
    if chain == "p":
        y = graph.add("prelu", y, graph.constant(slope))
    if chain == "c":
        y = graph.add("clip", y, low=-1, high=1)
    if chain == "s":
        y = graph.add("sub", graph.constant(shift), y)
    if chain == "m":
        y = graph.add("mul", graph.add("tanh", y), graph.constant(slope))
    graph.outputs = [graph.add("sign", y)]
    result = passes.remove_dead(passes.thresholds(graph))
    assert_same_runs(graph, result, every_sum(len(channels)))
    if chain in "acs" or (chain == "p" and np.all(slope >= 0)):
        assert kinds(result) == ["linear", "threshold"]


def test_a_sign_that_changes_twice_keeps_the_float_path():
    graph = Graph({"x": TensorType("bit", ("batch", TAPS))})
    y = graph.add("linear", "x", graph.constant(np.ones((1, TAPS), np.int8), bit=True))
    y = graph.add("affine", y, graph.constant(np.float32([1])), graph.constant(np.float32([0.5])))
    y = graph.add("sub", graph.add("prelu", y, graph.constant(np.float32([-1]))), graph.constant(np.float32([5])))
    graph.outputs = [graph.add("sign", y)]
    assert kinds(passes.thresholds(graph)) == kinds(graph)


def test_what_something_else_reads_is_no_threshold():
    graph = Graph({"x": TensorType("bit", ("batch", TAPS))})
    y = graph.add("linear", "x", graph.constant(np.ones((1, TAPS), np.int8), bit=True))
    y = graph.add("affine", y, graph.constant(np.float32([1])), graph.constant(np.float32([0.5])))
    graph.outputs = [graph.add("sign", y), y]
    assert kinds(passes.thresholds(graph)) == ["linear", "affine", "sign"]


@pytest.mark.parametrize("pad_value", [0, 1, -1])
def test_thresholds_hold_with_padding(pad_value):
    graph = Graph({"x": TensorType("bit", ("batch", 4, 4, 3))})
    y = graph.add("conv", "x", graph.constant(bits((8, 3, 3, 3)), bit=True), padding=[1, 1, 1, 1], pad_value=pad_value)
    y = graph.add("affine", y, graph.constant(floats(8, 1, 0.1)), graph.constant(floats(8, 2)))
    graph.outputs = [graph.add("sign", y)]
    result = passes.optimize(graph)
    assert kinds(result) == ["conv", "threshold"]
    assert_same_runs(graph, result, bits((3, 4, 4, 3), 5))


@given(st.lists(st.tuples(CHANNEL_SCALES, CHANNEL_SHIFTS), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_bisection_finds_the_thresholds_that_trial_finds(channels, seed):
    """An int32 input can be anything, so its threshold is found by bisection; every integer near it is checked."""
    scale, shift = (np.float32(column) for column in zip(*channels))
    graph = Graph({"x": TensorType("int32", ("batch", len(channels)))})
    y = graph.add("affine", "x", graph.constant(scale), graph.constant(shift))
    graph.outputs = [graph.add("sign", y)]
    result = passes.thresholds(graph)
    ends = np.int64([-(2**31), -(2**31) + 1, -(2**24), -1, 0, 1, 2**24, 2**31 - 2, 2**31 - 1])
    x = np.concatenate([ends, np.random.default_rng(seed).integers(-(2**31), 2**31, 50)])
    if kinds(result) == ["threshold"]:
        limits = result.tensors[result.nodes[0].inputs[1]].astype(np.int64)
        x = np.concatenate([x, *[limits + step for step in range(-2, 3)]])
    x = np.repeat(np.clip(x, -(2**31), 2**31 - 1).astype(np.int32)[:, None], len(channels), 1)
    assert_same_runs(graph, result, x)


def test_a_first_layer_with_wide_sums_gets_thresholds_by_bisection():
    rng = np.random.default_rng(0)
    graph = Graph({"x": TensorType("uint8", ("batch", 12, 12, 8))})
    weight = graph.constant(rng.integers(-127, 128, (32, 5, 5, 8), np.int8))
    y = graph.add("conv", "x", weight)
    y = graph.add("affine", y, graph.constant(floats(32, 1, 1e-4)), graph.constant(floats(32, 2)))
    graph.outputs = [graph.add("sign", y)]
    result = passes.optimize(graph)
    assert kinds(result) == ["conv", "threshold"]
    assert_same_runs(graph, result, rng.integers(0, 256, (2, 12, 12, 8), np.uint8))


# Bits and moves


def test_a_pool_between_convolution_and_sign_works_on_bits():
    graph = Graph({"x": TensorType("bit", ("batch", 6, 6, 3))})
    y = graph.add("conv", "x", graph.constant(bits((5, 3, 3, 3)), bit=True))
    y = graph.add("affine", y, graph.constant(floats(5)), graph.constant(floats(5, 1)))
    y = graph.add("max_pool", y, kernel=[2, 2], stride=[2, 2])
    y = graph.add("affine", y, graph.constant(np.abs(floats(5, 2))), graph.constant(floats(5, 3)))
    graph.outputs = [graph.add("sign", graph.add("relu", graph.add("sub", y, graph.constant(floats(5, 4)))))]
    exact = passes.bits_through_max_pool(graph)
    assert kinds(exact)[-1] == "max_pool"
    x = bits((4, 6, 6, 3), 9)
    assert_same_runs(graph, exact, x)
    assert kinds(passes.optimize(graph)) == ["conv", "threshold", "max_pool"]


def test_a_pool_stays_where_a_negative_scale_turns_its_order_around():
    graph = Graph({"x": TensorType("float32", ("batch", 4, 4, 1))})
    y = graph.add("max_pool", "x", kernel=[2, 2], stride=[2, 2])
    y = graph.add("affine", y, graph.constant(np.float32([-1])), graph.constant(np.float32([0.5])))
    graph.outputs = [graph.add("sign", y)]
    assert kinds(passes.bits_through_max_pool(graph)) == kinds(graph)


def test_bits_are_flattened_not_floats_and_the_linear_layer_takes_their_order():
    graph = Graph({"x": TensorType("bit", ("batch", 4, 5, 3))})
    y = graph.add("conv", "x", graph.constant(bits((6, 1, 1, 3)), bit=True))
    y = graph.add("affine", y, graph.constant(floats(6)), graph.constant(floats(6, 1)))
    y = graph.add("reshape", graph.add("transpose", y, perm=[0, 3, 1, 2]), shape=["batch", 120])
    graph.outputs = [graph.add("linear", graph.add("sign", y), graph.constant(bits((10, 120)), bit=True))]
    result = passes.optimize(graph)
    assert kinds(result) == ["conv", "threshold", "reshape", "linear"]
    assert_same_runs(graph, result, bits((2, 4, 5, 3), 9))


def test_a_float_linear_layer_after_a_transpose_is_close():
    graph = Graph({"x": TensorType("float32", ("batch", 4, 5, 3))})
    y = graph.add("reshape", graph.add("transpose", "x", perm=[0, 3, 1, 2]), shape=["batch", 60])
    graph.outputs = [graph.add("linear", y, graph.constant(floats((7, 60))))]
    result = passes.optimize(graph)
    assert kinds(result) == ["reshape", "linear"]
    x = floats((2, 4, 5, 3), 3)
    np.testing.assert_allclose(result.run(x)[0][0], graph.run(x)[0][0], rtol=1e-5, atol=1e-5)
