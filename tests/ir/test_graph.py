"""Graphs: validation, running, states, and random graphs of every kind."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graphs import graphs, random_graph, random_inputs

from onebit.ir import Graph, Node, TensorType, interpreter, registry
from onebit.ir import dim as dims


def small() -> Graph:
    """relu(x) + w."""
    graph = Graph({"x": TensorType("float32", ("batch", 2))})
    graph.outputs = [
        graph.add("add", graph.add("relu", "x"), graph.constant(np.ones(2, np.float32), name="w"), name="y")
    ]
    return graph


X = np.float32([[-1, 2]])


def test_a_graph_runs_on_any_batch():
    for batch in (0, 1, 3):
        ((y,), state) = small().run(np.repeat(X, batch, 0))
        assert y.tolist() == [[1, 3]] * batch
        assert state == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda g: g.nodes.reverse(), "input 'relu_0' is not defined before it"),
        (lambda g: g.nodes.append(Node("relu", ("x",), ("y",))), "the name 'y' is given twice"),
        (lambda g: g.nodes.append(Node("relu", ("x",), ("w",))), "the name 'w' is given twice"),
        (lambda g: g.tensors.update(x=np.ones(1)), "the name 'x' is given twice"),
        (lambda g: g.nodes.append(Node("relu", ("x", "x"), ("z",))), "needs 1 inputs"),
        (lambda g: g.nodes.append(Node("concat", ("x",), ("z",), {"axis": 0})), "needs at least 2 inputs"),
        (lambda g: g.nodes.append(Node("relu", ("x",), ("z", "u"))), "has one output, got 2"),
        (lambda g: g.nodes.append(Node("clip", ("x",), ("z",), {"low": 0})), "attribute high is required"),
        (lambda g: g.nodes.append(Node("relu", ("x",), ("",))), "a name must be a text of 1 to 255 bytes"),
        (lambda g: g.nodes.append(Node("relu", ("x",), ("é" * 128,))), "a name must be a text of 1 to 255 bytes"),
        (lambda g: g.nodes.append(Node("relu", ("x",), ("\ud800",))), "valid Unicode"),
        (lambda g: g.nodes.append(Node("reshape", ("x",), ("z",), {"shape": ["n"]})), "number of elements differs"),
        (
            lambda g: g.nodes.append(Node("broadcast_to", ("w",), ("z",), {"shape": ["n", 2]})),
            "symbol 'n' occurs in the shape of no",
        ),
        (lambda g: g.outputs.append("z"), "output 'z' is defined nowhere"),
        (lambda g: g.bits.add("w"), "must be int8 of -1 and \\+1 only"),
        (lambda g: g.bits.add("z"), "which is no tensor"),
        (lambda g: g.tensors.update(v=np.ones(2)), "tensor 'v' must be a NumPy array of"),
        (lambda g: g.tensors.update(v=[1.0]), "got list"),
        (lambda g: g.states.update(v="y"), "state 'v' has no initial tensor"),
        (lambda g: g.states.update(w="v"), "which is defined nowhere"),
        (lambda g: g.states.update(w="y"), "is replaced by 'y', which is float32 \\(batch, 2\\)"),
        (lambda g: g.inputs.update(x=("float64", (1,))), "input 'x': dtype must be one of"),
        (lambda g: g.inputs.update(x=("float32", ("a*b",))), "one symbol at most"),
        (lambda g: g.inputs.update(x=("float32", (-1,))), "a dimension must be"),
        (lambda g: g.inputs.update(x=("float32", [1] * 9)), "at most 8 dimensions"),
    ],
)
def test_a_graph_that_is_not_valid_is_refused_in_one_sentence(change, reason):
    graph = small()
    change(graph)
    with pytest.raises(ValueError, match=reason) as error:
        graph.types()
    assert "\n" not in str(error.value)


def test_an_error_names_the_node_its_kind_and_its_module():
    graph = small()
    graph.add("matmul", "x", "w", path="encoder.attention")
    with pytest.raises(ValueError, match=r"node 2 \(matmul, from encoder.attention\): "):
        graph.types()


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ((), "has 1 inputs \\(x\\), got 0"),
        ((X.astype(np.float64),), "input 'x' must be a NumPy array of float32, got float64"),
        (([[1, 2]],), "got list"),
        ((X[0],), "must have shape \\(batch, 2\\), got \\(2,\\)"),
        ((X[:, :1],), "must have shape \\(batch, 2\\) with batch = 1, got \\(1, 1\\)"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, reason):
    with pytest.raises(ValueError, match=reason):
        small().run(*inputs)


def test_symbols_must_agree_between_inputs():
    graph = Graph({"a": TensorType("float32", ("n", 1)), "b": TensorType("float32", ("2*n",))})
    graph.run(np.ones((2, 1), np.float32), np.ones(4, np.float32))
    for size in (2, 3):
        with pytest.raises(ValueError, match="input 'b' must have shape \\(2\\*n,\\) with n = 2"):
            graph.run(np.ones((2, 1), np.float32), np.ones(size, np.float32))


def test_an_input_of_bits_holds_nothing_else():
    graph = Graph({"x": TensorType("bit", (2,))}, ["x"])
    with pytest.raises(ValueError, match="must hold -1 and \\+1 only"):
        graph.run(np.int8([0, 1]))


def test_state_is_carried_from_run_to_run():
    graph = Graph({"x": TensorType("float32", (2,))})
    h = graph.state(np.zeros(2, np.float32), name="h")
    graph.states[h] = graph.add("add", h, "x")
    graph.outputs = [h]
    x, state = np.ones(2, np.float32), None
    for step in range(3):
        (before,), state = graph.run(x, state=state)
        assert before.tolist() == [step] * 2
        assert state["h"].tolist() == [step + 1] * 2
    assert graph.tensors["h"].tolist() == [0, 0]
    with pytest.raises(ValueError, match="state must hold"):
        graph.run(x, state={})
    with pytest.raises(ValueError, match="state 'h' must have shape"):
        graph.run(x, state={"h": np.zeros(3, np.float32)})


def test_a_copy_can_be_changed_without_changing_the_graph():
    graph = small()
    copy = graph.copy()
    copy.add("relu", "x")
    copy.outputs.append("x")
    copy.bits.add("a")
    copy.states["b"] = "c"
    copy.meta["producer"] = "d"
    copy.tensors["e"] = X
    copy.inputs["f"] = copy.inputs["x"]
    before = small()
    assert (graph.inputs, graph.outputs, graph.nodes) == (before.inputs, before.outputs, before.nodes)
    assert (list(graph.tensors), graph.bits, graph.states, graph.meta) == (["w"], set(), {}, {})


# Random graphs


def check_every_value(graph: Graph, inputs: list[np.ndarray]) -> None:
    types, symbols = graph.types(), {}
    values = interpreter.evaluate(graph, inputs)
    for name in graph.inputs:
        interpreter.check_array(name, values[name], types[name], symbols)
    for name, known in types.items():
        shape = tuple(dims.evaluate(size, symbols) for size in known.shape)  # products of symbols included
        interpreter.check_array(name, values[name], TensorType(known.dtype, shape), symbols)


@given(graphs())
@settings(max_examples=150)
def test_every_value_of_a_random_graph_has_the_type_that_is_inferred(case):
    check_every_value(*case)


@given(graphs(), st.integers(0, 5))
@settings(max_examples=50)
def test_a_random_graph_runs_on_every_batch(case, batch):
    graph, _ = case
    check_every_value(graph, random_inputs(np.random.default_rng(batch), graph, batch))


@given(graphs())
@settings(max_examples=50)
def test_runs_repeat_to_the_bit_and_change_neither_inputs_nor_constants(case):
    graph, inputs = case
    before = [array.tobytes() for array in (*inputs, *graph.tensors.values())]
    first, state = graph.run(*inputs)
    second, again = graph.run(*inputs)
    assert [y.tobytes() for y in (*first, *state.values())] == [y.tobytes() for y in (*second, *again.values())]
    assert before == [array.tobytes() for array in (*inputs, *graph.tensors.values())]


def test_a_seed_gives_the_same_random_graph():
    (first, inputs), (second, again) = (random_graph(np.random.default_rng(3)) for _ in range(2))
    assert first.nodes == second.nodes
    assert all(a.tobytes() == b.tobytes() for a, b in zip(inputs, again))


def test_every_kind_is_on_the_page_of_kinds():
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "kinds.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    words = {word for row in rows for names in re.findall(r"`([^`]+)`", row) for word in names.split()}
    assert set(registry) <= words
