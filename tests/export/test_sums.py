"""Float sums that bits depend on have one order in the file: the graph's, in every runtime, there and back."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.export.networks import graph_of
from tests.export.onnx_runs import evaluate, exported, run

from onebit import deploy
from onebit.capture import from_onnx
from onebit.deploy.export import random_inputs, to_onnx
from onebit.deploy.export.deciding import deciding
from onebit.deploy.export.report import compare
from onebit.ir import Graph, TensorType, passes, registry
from onebit.nn import models

ONE_OPERATOR = {"ReduceSum", "ReduceMean", "LayerNormalization", "AveragePool"}
FORMS = st.sampled_from(["sum", "mean", "layer_norm", "absolute"])


def operators(graph: Graph) -> Counter[str]:
    return Counter(node.op_type for node in exported(graph).graph.node)


def parts(graph: Graph) -> list:
    """Kinds and attributes of the nodes that do more than move values."""
    nodes = [node for node in graph.nodes if node.kind not in ("reshape", "transpose")]
    return [(node.kind, registry[node.kind].complete(node.attributes)) for node in nodes]


def floats(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of many sizes, so that each order of a sum gives another; some rows are all -0.0, some are not finite."""
    x = (rng.standard_normal(shape) * 10.0 ** rng.integers(-4, 5, shape)).astype(np.float32)
    x[rng.random(shape) < 0.1] = -0.0
    x[rng.random(shape[:-1]) < 0.2] = -0.0
    rare = rng.random(shape)
    for place, number in enumerate((np.nan, np.inf, -np.inf)):
        x[(rare > place / 200) & (rare < place / 200 + 0.002)] = number
    return x


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal shape and bits, the sign of zeros included; any NaN equals any NaN."""
    return a.shape == b.shape and bool(np.all((a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b))))


def decided(make, *shape: int) -> Graph:
    """A graph of a value and its sign, which makes the value's order one that bits depend on."""
    graph = Graph({"x": TensorType("float32", ("batch", *shape))})
    value = make(graph, "x")
    graph.outputs = [value, graph.add("sign", value)]
    return graph


def form(name: str, size: int, keepdims: bool, rng: np.random.Generator):
    def make(graph: Graph, x: str) -> str:
        if name == "layer_norm":
            weight, bias = (graph.constant(rng.standard_normal(size).astype(np.float32)) for _ in range(2))
            return graph.add("layer_norm", x, weight, bias, eps=1e-5)
        if name == "absolute":
            return graph.add("reduce", graph.add("abs", x), op="mean", keepdims=keepdims)
        return graph.add("reduce", x, op=name, keepdims=keepdims)

    return make


OUTER = st.lists(st.integers(1, 4), max_size=2)
SIZES = st.integers(2, 15) | st.integers(1, 6).map(lambda n: 16 * n) | st.integers(17, 300)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(FORMS, SIZES, st.booleans(), OUTER, st.sampled_from([0, 1, 3]), st.integers(0, 99))
@example("sum", 16, False, [], 3, 0)
@example("mean", 4096, True, [], 3, 0)
def test_a_sum_is_the_graphs_to_the_bit_in_onnx_runtime_and_comes_back_as_the_node_it_was(
    tmp_path_factory, name, size, keepdims, outer, batch, seed
):
    rng = np.random.default_rng(seed)
    graph = decided(form(name, size, keepdims, rng), *outer, size)
    assert not ONE_OPERATOR & operators(graph).keys()
    x = floats(rng, (batch, *outer, size))
    with np.errstate(all="ignore"):
        (want, _), _ = graph.run(x)
        assert same(run(graph, x)[0], want)
        back = from_onnx(to_onnx(graph, tmp_path_factory.mktemp("sum") / "sum.onnx"))
        assert same(back.run(x)[0][0], want)
    assert parts(passes.optimize(back)) == parts(graph)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 3), min_size=4, max_size=4), st.integers(3, 9), st.integers(1, 5), st.integers(0, 99))
def test_an_average_over_small_windows_is_the_graphs_to_the_bit_and_comes_back(
    tmp_path_factory, sides, size, channels, seed
):
    kernel, stride = sides[:2], sides[2:]
    graph = decided(lambda g, x: g.add("avg_pool", x, kernel=kernel, stride=stride), size, size + 1, channels)
    x = floats(np.random.default_rng(seed), (3, size, size + 1, channels))
    assert ("AveragePool" in operators(graph)) == (kernel == [1, 1])
    with np.errstate(all="ignore"):
        (want, _), _ = graph.run(x)
        if kernel != [1, 1]:
            assert same(run(graph, x)[0], want)
        back = from_onnx(to_onnx(graph, tmp_path_factory.mktemp("pool") / "pool.onnx"))
        assert same(back.run(x)[0][0], want)
    assert parts(back) == parts(graph)


@pytest.mark.parametrize(("name", "size"), [("sum", 5), ("mean", 48), ("mean", 50), ("layer_norm", 33)])
def test_the_executor_of_qonnx_and_the_reference_evaluator_add_in_the_same_order(name, size):
    pytest.importorskip("qonnx")
    from onebit.deploy.export.executors import qonnx_executor
    from onebit.deploy.export.qonnx import qonnx_model

    rng = np.random.default_rng(size)
    graph = decided(form(name, size, False, rng), 2, size)
    x = floats(rng, (3, 2, size))
    with np.errstate(all="ignore"):
        (want, _), _ = graph.run(x)
        assert same(qonnx_executor(qonnx_model(graph, {"batch": 3}))([x])[0], want)
        assert same(evaluate(graph, x)[0], want)


def test_a_sum_that_no_bit_depends_on_is_one_operator():
    graph = Graph({"x": TensorType("float32", ("batch", 4, 4, 40))})
    ones = graph.constant(np.ones(40, np.float32))
    graph.add("sign", "x")
    graph.outputs = [
        graph.add("reduce", "x", op="sum"),
        graph.add("reduce", "x", op="mean"),
        graph.add("layer_norm", "x", ones, ones, eps=1e-5),
        graph.add("avg_pool", "x", kernel=[2, 2], stride=[2, 2]),
    ]
    assert {name: operators(graph)[name] for name in ONE_OPERATOR} == dict.fromkeys(ONE_OPERATOR, 1)


def test_what_a_bit_of_a_later_run_depends_on_through_a_state_is_found():
    graph = Graph({"x": TensorType("float32", (1, 3))})
    first, second = (graph.state(np.zeros((1, 3), np.float32), name=name) for name in ("first", "second"))
    graph.states[first] = graph.add("abs", "x")
    graph.states[second] = graph.add("neg", first)
    apart = graph.add("exp", "x")
    graph.outputs = [graph.add("sign", second), apart]
    found = deciding(graph, graph.types())
    assert found == {"x", graph.states[first], graph.states[second], first, second}


def deciding_floats_that_differ(graph: Graph, to: str, inputs: list[np.ndarray]) -> int:
    """Of all floats inside a network that bits depend on."""
    probe = graph.copy()
    probe.outputs = [node.output for node in graph.nodes if node.output in deciding(graph, graph.types())]
    return compare(probe, to, inputs).outputs_differ


@pytest.mark.parametrize("to", ["onnx", "qonnx"])
def test_a_network_with_a_mean_before_every_layer_keeps_every_bit_and_every_float_before_one(to, monkeypatch):
    """And where its sums are left to the runtime, floats differ: the first test can fail."""
    if to == "qonnx":
        pytest.importorskip("qonnx")
    torch.manual_seed(0)
    model = models.build("convnet", scheme="xnor", stem="int8", in_channels=1, width=12, depth=2)
    graph = deploy.prepare(model.eval(), torch.zeros(1, 1, 12, 12))
    assert {"reduce", "avg_pool"} <= {node.kind for node in graph.nodes}
    inputs = random_inputs(graph, 20, np.random.default_rng(0))
    found = compare(graph, to, inputs)
    assert found.bits > 0
    assert (found.samples_with_changed_bit, found.predictions_differ) == (0, 0)
    assert deciding_floats_that_differ(graph, to, inputs) == 0
    monkeypatch.setattr("onebit.deploy.export.exporter.deciding", lambda graph, types: set())
    assert deciding_floats_that_differ(graph, to, inputs) > 0


def test_a_network_with_means_comes_back_with_as_many_nodes(tmp_path):
    graph, _ = graph_of("convnet", "xnor")
    assert operators(graph)["CumSum"] > 0
    back = passes.optimize(from_onnx(to_onnx(graph, tmp_path / "network.onnx")))
    assert Counter(node.kind for node in back.nodes) == Counter(node.kind for node in graph.nodes)
