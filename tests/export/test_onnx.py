"""Exported graphs give in ONNX Runtime what they give here: bits and integers exactly, floats but for their order."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.export.networks import NETWORKS, graph_of
from tests.export.onnx_runs import check_nodes, evaluate, exported, run, session
from tests.graphs import random_graph, random_inputs

from onebit import ir
from onebit.core.errors import Unsupported
from onebit.deploy.export import onnx_rules, to_onnx
from onebit.deploy.export.file import OPSETS
from onebit.ir import Graph, TensorType
from onebit.ir.support import support

SPECIAL = np.float32(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 0.5, 1.5, -0.5, -2.5, 127.5, -128.5, 3e38, 2**31]
)


def whole(graph: Graph) -> Graph:
    """The graph with every node as an output."""
    graph = graph.copy()
    graph.outputs = [node.output for node in graph.nodes]
    return graph


def test_every_kind_has_a_rule():
    assert set(onnx_rules) == set(ir.registry)
    assert all(readers["onnx"] for readers in support().values())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_every_node_of_random_graphs_computes_what_the_interpreter_does(seed):
    rng = np.random.default_rng(seed)
    graph, _ = random_graph(rng)
    graph = whole(graph)
    if not graph.nodes:
        return
    inputs = random_inputs(rng, graph, 2)  # ONNX Runtime takes nothing but N to be empty
    check_nodes(graph, inputs, run(graph, *inputs)[: len(graph.outputs)])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_integer_and_bit_outputs_of_whole_graphs_are_exact_with_all_optimizations(seed):
    """Nothing but moves, integers and bits: no tolerance, and no outputs in between that would keep nodes apart."""
    rng = np.random.default_rng(seed)
    graph = Graph({"x": TensorType("bit", ("batch", 6, 5, 12))})
    x = "x"
    for _ in range(4):
        size = graph.types()[x].shape[-1]
        weight = graph.constant(rng.choice(np.int8([-1, 1]), (9, 3, 3, size)), bit=True)
        x = graph.add("conv", x, weight, padding=[1, 1, 1, 1], pad_value=int(rng.integers(-1, 2)))
        if rng.random() < 0.5:
            limit = graph.constant(rng.integers(-9, 9, 9).astype(np.int32))
            x = graph.add("threshold", x, limit, graph.constant(rng.choice(np.int8([-1, 1]), 9), bit=True))
        else:
            scale, shift = (graph.constant(rng.standard_normal(9).astype(np.float32)) for _ in range(2))
            x = graph.add("sign", graph.add("affine", x, scale, shift))
    graph.outputs = [x, graph.add("reshape", x, shape=("batch", 6 * 5 * 9))]
    bits = rng.choice(np.int8([-1, 1]), (3, 6, 5, 12))
    for got, want in zip(run(graph, bits), graph.run(bits)[0]):
        np.testing.assert_array_equal(got, want)


def test_no_runtime_folds_a_scale_into_the_weights_of_bits():
    """A sum of exactly 0 stays 0: its scaled value is the shift, to the bit."""
    rng = np.random.default_rng(0)
    graph = Graph({"x": TensorType("float32", ("batch", 8, 8, 32))})
    weight = graph.constant(rng.choice(np.int8([-1, 1]), (16, 3, 3, 32)), bit=True)
    sums = graph.add("conv", graph.add("sign", "x"), weight)
    scale, shift = (graph.constant(rng.standard_normal(16).astype(np.float32)) for _ in range(2))
    graph.outputs = [graph.add("affine", sums, scale, shift)]
    x = rng.standard_normal((2, 8, 8, 32)).astype(np.float32)
    ((want,), _), (got,) = graph.run(x), run(graph, x)
    np.testing.assert_array_equal(got.view(np.uint32), want.view(np.uint32))


@pytest.mark.parametrize(("dtype", "low", "high"), [("int8", -128, 127), ("uint8", 0, 255)])
@pytest.mark.parametrize("taps", [9, 4000, 65793])
def test_sums_of_codes_are_exact_up_to_the_largest_that_int32_holds(dtype, low, high, taps):
    rng = np.random.default_rng(taps)
    graph = Graph({"x": TensorType(dtype, (3, taps))})
    weight = np.stack([np.full(taps, -128), np.full(taps, 127), rng.integers(-128, 128, taps)]).astype(np.int8)
    graph.outputs = [graph.add("linear", "x", graph.constant(weight))]
    x = np.stack([np.full(taps, low), np.full(taps, high), rng.integers(low, high + 1, taps)]).astype(dtype)
    np.testing.assert_array_equal(run(graph, x)[0], x.astype(np.int64) @ weight.T.astype(np.int64))


def test_special_numbers_keep_their_meaning():
    graph = Graph({"x": TensorType("float32", (len(SPECIAL), 1))})
    graph.add("sign", "x")
    for scale in (0.5, -0.5, 0.0):
        step = graph.constant(np.float32([scale]))
        graph.add("quantize", "x", step)
        graph.add("quantize", "x", step, zero_point=3, low=2, high=90, dtype="uint8")
    for dtype in ("int8", "uint8", "int32", "int64", "bool"):
        graph.add("cast", "x", dtype=dtype)
    for kind in ("neg", "abs", "sqrt", "relu"):
        graph.add(kind, "x")
    graph.add("clip", "x", low=-1.0, high=2.0)
    for op in ("eq", "ne", "lt", "le", "gt", "ge"):
        graph.add("compare", "x", graph.constant(np.float32([0.5])), op=op)
    for kind in ("max", "min", "add", "mul"):
        graph.add(kind, "x", graph.constant(SPECIAL))
    graph = whole(graph)
    x = SPECIAL[:, None]
    for name, got, want in zip(graph.outputs, run(graph, x), graph.run(x)[0]):
        np.testing.assert_array_equal(got, want, err_msg=name)


def test_the_reference_evaluator_agrees_on_small_graphs():
    """On numbers of moderate size: its ``QuantizeLinear`` goes through int32 before it clamps."""
    kinds: set[str] = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        graph, _ = random_graph(rng, 5)
        graph = whole(graph)
        sizes = [size for given in graph.inputs.values() for size in given.shape[1:] if isinstance(size, int)]
        if not graph.nodes or int(np.prod(sizes)) > 3000 or any(node.kind in SLOW for node in graph.nodes):
            continue
        inputs = [
            np.where(np.abs(array) < 2**20, array, np.float32(1)) if array.dtype == np.float32 else array
            for array in random_inputs(rng, graph, 1)
        ]
        check_nodes(graph, inputs, evaluate(graph, *inputs)[: len(graph.outputs)])
        kinds |= {node.kind for node in graph.nodes}
    assert len(kinds) > 20


SLOW = ("conv", "avg_pool", "max_pool")  # in the reference evaluator


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_that_is_offered_is_valid_and_gives_the_same(opset):
    for seed in range(3):
        rng = np.random.default_rng([opset, seed])
        graph = whole(random_graph(rng, 12)[0])
        reduced = [graph.add("reduce", name, op=op) for op in ("sum", "mean", "max") for name in _floats(graph)[:1]]
        graph.outputs += reduced
        if graph.outputs:
            inputs = random_inputs(rng, graph, 1)
            check_nodes(graph, inputs, run(graph, *inputs, opset=opset)[: len(graph.outputs)])


def _floats(graph: Graph) -> list[str]:
    return [name for name, given in graph.inputs.items() if given.dtype == "float32" and given.shape[-1] != 0]


# Networks


@pytest.mark.parametrize(("name", "scheme"), NETWORKS)
def test_networks_predict_what_they_predict_here(name, scheme):
    graph, x = graph_of(name, scheme)
    runs = session(exported(graph))
    (entry,) = graph.inputs
    for rows in (x, x[:1], x[:0]):
        (got,), ((want,), _) = runs.run(None, {entry: rows}), graph.run(rows)
        assert got.shape == want.shape
        np.testing.assert_array_equal(got.argmax(1), want.argmax(1)) if len(rows) else None
    every = whole(graph)
    check_nodes(every, [x], run(every, x))


@pytest.mark.parametrize("name", ["convnet", "resnet20", "vgg-small"])
def test_a_network_of_convolutions_has_no_transposes(name):
    operators = Counter(node.op_type for node in exported(graph_of(name, "biper")[0]).graph.node)
    assert operators["Conv"] > 2
    assert operators["Transpose"] == 0


def test_weights_of_bits_take_a_byte_each_and_are_kept_once():
    graph, _ = graph_of("vgg-small", "biper")
    made = exported(graph)
    weights = sum(graph.tensors[name].size for name in graph.bits if graph.tensors[name].ndim > 1)
    bytes_of = {
        kind: sum(int(np.prod(t.dims)) for t in made.graph.initializer if t.data_type == kind and len(t.dims) > 1)
        for kind in (onnx.TensorProto.INT8, onnx.TensorProto.FLOAT)
    }
    assert weights <= bytes_of[onnx.TensorProto.INT8] <= weights + 8 * 3 * 9  # those of the first layer, too
    assert len(made.SerializeToString()) < weights + 4 * bytes_of[onnx.TensorProto.FLOAT] + 200 * len(made.graph.node)


# Inputs, outputs, states, metadata


def test_states_are_inputs_with_a_default_and_further_outputs(tmp_path):
    graph = Graph({"x": TensorType("float32", ("batch", 3))})
    total = graph.state(np.float32([[1, 2, 3]]), name="total")
    side = graph.state(np.int8([[1, -1, 1]]), bit=True, name="side")
    mean = graph.add("reduce", graph.add("transpose", "x", perm=[1, 0]), op="sum")
    graph.states[total] = graph.add("add", total, graph.add("reshape", mean, shape=[1, 3]))
    graph.states[side] = graph.add("sign", graph.states[total])
    graph.outputs = [graph.add("cast", side, dtype="float32"), graph.states[total]]
    runs = session(onnx.load(to_onnx(graph, tmp_path / "state.onnx")))
    assert [entry.name for entry in runs.get_overridable_initializers()] == ["total", "side"]
    state = None
    feed: dict[str, np.ndarray] = {}
    for step in range(3):
        x = np.float32([[-step, 1, -9]])
        want, state = graph.run(x, state=state)
        got = runs.run(None, {"x": x, **feed})
        for a, b in zip(got, [*want, state["total"], state["side"]]):
            np.testing.assert_array_equal(a, b)
        feed = {"total": got[2], "side": got[3]}


def test_the_metadata_say_what_a_packed_file_says(tmp_path):
    graph = Graph({"x": TensorType("float32", ("batch", 2))})
    graph.outputs = [graph.add("relu", "x")]
    graph.meta = {"class_names": ["no", "yes"], "mean": [0.5], "std": [0.25], "producer": "tests 1"}
    made = onnx.load(to_onnx(graph, tmp_path / "meta.onnx"))
    found = {entry.key: entry.value for entry in made.metadata_props}
    assert json.loads(found["class_names"]) == ["no", "yes"]
    assert (json.loads(found["mean"]), json.loads(found["std"]), found["producer"]) == ([0.5], [0.25], "tests 1")
    assert made.producer_name == "onebit"
    assert (made.ir_version, made.opset_import[0].version, len(made.opset_import)) == (8, 17, 1)


def test_outputs_may_repeat_and_may_be_inputs_or_constants():
    graph = Graph({"x": TensorType("bit", ("batch", 2))})
    y = graph.add("cast", "x", dtype="float32")
    graph.outputs = [y, y, "x", graph.constant(np.int8([1, -1]), bit=True), graph.add("transpose", y, perm=[1, 0])]
    x = np.int8([[1, -1], [-1, -1]])
    for got, want in zip(run(graph, x), graph.run(x)[0]):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_two_symbols_and_products_of_them_reshape_and_broadcast():
    graph = Graph({"x": TensorType("float32", ("2*batch", "length", 6)), "y": TensorType("float32", ("length", 1))})
    heads = graph.add("reshape", "x", shape=("2*batch", "length", 3, 2))
    merged = graph.add("reshape", heads, shape=("2*batch*length", 6))
    apart = graph.add("reshape", merged, shape=("batch", "2*length", 6))
    spread = graph.add("broadcast_to", "y", shape=("2*batch", "length", 6))
    graph.outputs = [heads, merged, apart, spread]
    x, y = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6), np.arange(5, dtype=np.float32)[:, None]
    for got, want in zip(run(graph, x, y), graph.run(x, y)[0]):
        np.testing.assert_array_equal(got, want)


# Refusals


def test_what_cannot_be_exported_says_so_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "old.onnx"
    path.write_bytes(b"old")
    graph = Graph({"x": TensorType("int32", (1, 2)), "limit": TensorType("int32", (2,))})
    sense = graph.constant(np.int8([1, -1]), bit=True)
    graph.outputs = [graph.add("threshold", "x", "limit", sense, path="layers.3")]
    with pytest.raises(Unsupported, match=r"onnx export of threshold \(from layers.3\): limits that are no constants"):
        to_onnx(graph, path)
    for opset in (16, 24, True):
        with pytest.raises(ValueError, match=r"opset must be 17..23"):
            to_onnx(graph, path, opset=opset)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
