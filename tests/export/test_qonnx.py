"""QONNX files give in qonnx's own executor what their graphs give: bits and integers exactly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.graphs import random_graph

from onebit import deploy, ir
from onebit.deploy.export import random_inputs, to_qonnx
from onebit.deploy.export.qonnx import qonnx_model, with_sizes
from onebit.deploy.export.report import compare
from onebit.ir import Graph, TensorType
from onebit.ir.interpreter import evaluate
from onebit.nn import models, schemes

pytest.importorskip("qonnx")
onnx = pytest.importorskip("onnx")

SMALL = ("bit", "int8", "uint8")
EPS = np.float64(2.0**-23)


def execute(model, inputs) -> list[np.ndarray]:
    from onebit.deploy.export.executors import qonnx_executor

    return qonnx_executor(model)(inputs)


def run_both(graph: Graph, *inputs: np.ndarray) -> tuple[list[np.ndarray], tuple[np.ndarray, ...]]:
    """Outputs of the file and of the graph."""
    model = qonnx_model(
        graph, {"batch": len(inputs[0])} if any("batch" in t.shape for t in graph.inputs.values()) else {}
    )
    return execute(model, inputs), graph.run(*inputs)[0]


def alone(graph: Graph, node: ir.Node, values: dict[str, np.ndarray]) -> tuple[Graph, list[np.ndarray]]:
    """The graph of one node, and what it reads in a run."""
    types = graph.types()
    reads = [name for name in dict.fromkeys(node.inputs) if not graph.is_constant(name)]
    one = Graph({name: TensorType(types[name].dtype, values[name].shape) for name in reads}, [node.output])
    one.tensors = {name: graph.tensors[name] for name in node.inputs if graph.is_constant(name)}
    one.bits = graph.bits & one.tensors.keys()
    attributes = dict(node.attributes)
    if "shape" in attributes:
        attributes["shape"] = list(values[node.output].shape)
    one.nodes = [ir.Node(node.kind, node.inputs, node.outputs, attributes, node.path)]
    return one, [values[name] for name in reads]


def concerns_codes(graph: Graph, node: ir.Node, values: dict[str, np.ndarray]) -> bool:
    """Whether a node reads or makes bits or codes, and not of a NaN, nor of nothing."""
    types, names = graph.types(), (*node.inputs, node.output)
    if not any(types[name].dtype in SMALL for name in names) and node.kind != "affine":
        return False
    if all(graph.is_constant(name) for name in node.inputs) or any(0 in values[name].shape for name in names):
        return False
    return node.kind != "quantize" or not np.isnan(values[node.inputs[0]] / values[node.inputs[1]]).any()


def error_bound(one: Graph, inputs: list[np.ndarray]) -> np.ndarray:
    """How far two orders of summation can be apart: n roundings each, of at most the sum of magnitudes."""
    node = one.nodes[0]
    sizes = one.copy()
    sizes.tensors = {name: np.abs(array) for name, array in one.tensors.items()}
    if "pad_value" in node.attributes:
        attributes = node.attributes | {"pad_value": abs(node.attributes["pad_value"])}
        sizes.nodes = [ir.Node(node.kind, node.inputs, node.outputs, attributes)]
    (magnitudes,), _ = sizes.run(*[np.abs(array) if array.dtype == np.float32 else array for array in inputs])
    terms = one.tensors[node.inputs[1]][0].size
    return 2 * terms * EPS * magnitudes.astype(np.float64)


@pytest.mark.parametrize("seed", range(24))
def test_each_node_of_random_graphs_that_concerns_bits_or_codes_gives_the_same(seed):
    rng = np.random.default_rng([7, seed])
    graph, _ = random_graph(rng, 12, batch_norm=False)
    with np.errstate(all="ignore"):
        values = evaluate(graph, random_inputs(graph, 2, rng))
        nodes = [node for node in graph.nodes if concerns_codes(graph, node, values)]
    for node in nodes[:6]:
        one, inputs = alone(graph, node, values)
        (got,) = execute(qonnx_model(one), inputs)
        want = values[node.output]
        assert got.dtype == want.dtype
        if want.dtype == np.float32 and node.kind in ("conv", "linear"):
            finite = np.isfinite(want)
            gaps = np.abs(got[finite].astype(np.float64) - want[finite])
            assert (gaps <= error_bound(one, inputs)[finite]).all(), node
        else:
            np.testing.assert_array_equal(got, want, err_msg=str(node))


@st.composite
def integer_networks(draw) -> Graph:
    """Networks whose sums are integers, as training makes them: every kind of layer of bits and codes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    graph = Graph({"x": TensorType("float32", ("batch", 6, 6, 3))})
    x, channels = "x", 3
    for _ in range(draw(st.integers(1, 3))):
        weight_dtype = draw(st.sampled_from(["bit", "ternary", "int8"]))
        if draw(st.booleans()):
            x, bits = graph.add("sign", x), True
        else:
            low, high = draw(st.sampled_from([(-127, 127), (-8, 7), (0, 3), (-1, 1), (-100, 90), (0, 1)]))
            zero = draw(st.integers(low, high))
            scale = graph.constant(rng.uniform(0.01, 0.5, draw(st.sampled_from([1, channels]))).astype(np.float32))
            x, bits = graph.add("quantize", x, scale, low=low, high=high, zero_point=zero), False
        outputs = draw(st.integers(1, 9))
        shape = (outputs, 3, 3, channels)
        codes = {"bit": [-1, 1], "ternary": [-1, 0, 1], "int8": range(-128, 128)}[weight_dtype]
        array = rng.choice(np.array(codes, np.int8), shape)
        weight = graph.constant(array, bit=weight_dtype == "bit", ternary=weight_dtype == "ternary")
        pad_value = draw(st.sampled_from([0, 1, -1])) if bits and weight_dtype == "bit" else 0
        padding = draw(st.sampled_from([(1, 1, 1, 1), (0, 2, 1, 1)]))
        x, channels = graph.add("conv", x, weight, padding=padding, pad_value=pad_value), outputs
        if draw(st.booleans()):
            limit = graph.constant(rng.integers(-40, 40, channels, np.int32))
            if draw(st.booleans()):  # channels that are always or never on
                graph.tensors[limit] = rng.choice(np.int32([-(2**31), 2**31 - 1, 2**24, -(2**24)]), channels)
            x = graph.add("threshold", x, limit, graph.constant(rng.choice(np.int8([-1, 1]), channels), bit=True))
            if draw(st.booleans()):
                x = graph.add("max_pool", x, kernel=[2, 2], stride=[1, 1], padding=[0, 1, 0, 1])
            x = graph.add("cast", x, dtype="float32")
        else:
            scale, shift = (graph.constant(rng.standard_normal(channels).astype(np.float32)) for _ in range(2))
            x = graph.add("affine", x, scale, shift)
    graph.outputs = [x]
    return graph


@settings(max_examples=25)
@given(integer_networks(), st.integers(1, 3))
def test_networks_of_bits_and_codes_give_the_same_floats_bit_for_bit(graph, count):
    (got,), (want,) = run_both(graph, *random_inputs(graph, count, np.random.default_rng(0)))
    np.testing.assert_array_equal(got, want)


def test_the_sign_of_zeros_and_of_nan_is_that_of_the_graph():
    graph = Graph({"x": TensorType("float32", (1, 7))})
    graph.outputs = [graph.add("sign", "x")]
    x = np.float32([[0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45]])
    (got,), (want,) = run_both(graph, x)
    assert got.tolist() == want.tolist() == [[1, 1, -1, 1, -1, 1, -1]]


def ranges(dtype: str):
    limits = np.iinfo(dtype)
    numbers = st.lists(st.integers(limits.min, limits.max), min_size=3, max_size=3)
    return st.tuples(st.just(dtype), numbers.map(sorted))


@settings(max_examples=25)
@given(st.sampled_from(["int8", "uint8"]).flatmap(ranges))
@example(("int8", [-127, 0, 127]))
@example(("int8", [-128, 0, 127]))
@example(("int8", [-1, 0, 0]))
@example(("uint8", [0, 0, 255]))
@example(("uint8", [0, 7, 254]))
def test_codes_are_rounded_half_to_even_and_clamped_anywhere(codes):
    dtype, (low, zero, high) = codes
    graph = Graph({"x": TensorType("float32", (1, 600))})
    scale = graph.constant(np.float32([0.5]))
    graph.outputs = [graph.add("quantize", "x", scale, low=low, high=high, zero_point=zero, dtype=dtype)]
    x = np.append(np.arange(-298, 300, dtype=np.float32) / 4, np.float32([np.inf, -np.inf]))[None]
    (got,), (want,) = run_both(graph, x)
    assert got.dtype == want.dtype == dtype
    np.testing.assert_array_equal(got, want)


def trained(name: str, scheme: str | None, **sizes) -> Graph:
    """The graph of a network whose batch norms have seen data and are unlike each other."""
    model = models.build(name, scheme=scheme, **sizes)
    for part in model.modules():
        if isinstance(part, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            torch.nn.init.normal_(part.weight, 0.5, 1.0)
            torch.nn.init.normal_(part.bias)
    example_input = torch.randn(8, *((1, 12, 12) if name == "convnet" else (20,)))
    with torch.no_grad():
        model(example_input)
    return deploy.prepare(model.eval(), example_input)


CONVNET = {"width": 8, "depth": 2, "stem": "int8", "head": "int8"}


@pytest.mark.parametrize("scheme", schemes.registry)
def test_a_network_of_every_scheme_keeps_its_bits_and_predictions(scheme):
    graph = trained("convnet", scheme, **CONVNET | {"depth": 1})
    found = compare(graph, "qonnx", random_inputs(graph, 12, np.random.default_rng(1)))
    assert found.samples == 12
    assert (found.samples_with_changed_bit, found.predictions_differ) == (0, 0)
    assert found.largest_difference < 1e-4


def test_an_mlp_of_bits_keeps_its_bits_and_predictions():
    graph = trained("mlp", "biper", in_features=20, width=16)
    found = compare(graph, "qonnx", random_inputs(graph, 50, np.random.default_rng(1)))
    assert found.bits > 0
    assert (found.samples_with_changed_bit, found.predictions_differ) == (0, 0)


@pytest.fixture(scope="module")
def wrapped():
    """A small network as qonnx holds it."""
    from qonnx.core.modelwrapper import ModelWrapper

    torch.manual_seed(0)
    graph = trained("convnet", "biper", **CONVNET)
    return graph, ModelWrapper(qonnx_model(graph, {"batch": 2}))


def test_shape_and_datatype_inference_of_qonnx_find_bits_and_codes(wrapped):
    from qonnx.core.datatype import DataType
    from qonnx.transformation.infer_datatypes import InferDataTypes
    from qonnx.transformation.infer_shapes import InferShapes

    _, model = wrapped
    assert model.check_all_tensor_shapes_specified(), "as written"
    model = model.transform(InferShapes()).transform(InferDataTypes())
    assert model.check_all_tensor_shapes_specified()
    layers = model.get_nodes_by_op_type("Conv") + model.get_nodes_by_op_type("MatMul")
    types = Counter(tuple(str(model.get_tensor_datatype(name).name) for name in node.input) for node in layers)
    assert types == {("BIPOLAR", "BIPOLAR"): 2, ("INT8", "INT8"): 2}
    assert all(model.get_tensor_datatype(node.output[0]) == DataType["INT32"] for node in layers)


def test_the_clean_up_of_qonnx_leaves_the_results_as_they_are(wrapped):
    from qonnx.util.cleanup import cleanup_model

    graph, model = wrapped
    inputs = random_inputs(graph, 2, np.random.default_rng(2))
    (want,), _ = graph.run(*inputs)
    cleaned = cleanup_model(model)
    assert {node.op_type for node in cleaned.graph.node} >= {"BipolarQuant", "Quant"}
    (got,) = execute(cleaned.model, inputs)
    np.testing.assert_array_equal(got, want)


def test_weights_say_the_fewest_bits_that_hold_them():
    for codes, name in (
        (range(-1, 2), "INT2"),
        (range(-7, 8), "INT4"),
        (range(-8, 8), "INT4"),
        (range(-128, 128), "INT8"),
    ):
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.transformation.infer_datatypes import InferDataTypes

        graph = Graph({"x": TensorType("bit", (1, len(codes)))})
        graph.outputs = [graph.add("linear", "x", graph.constant(np.int8([codes])))]
        model = ModelWrapper(qonnx_model(graph)).transform(InferDataTypes())
        (product,) = model.get_nodes_by_op_type("MatMul")
        assert [model.get_tensor_datatype(n).name for n in product.input] == ["BIPOLAR", name]
        x = np.where(np.arange(len(codes)) % 2, np.int8(1), np.int8(-1))[None]
        np.testing.assert_array_equal(execute(model.model, [x])[0], graph.run(x)[0][0])


def test_the_file_has_one_sample_unless_sizes_say_otherwise(tmp_path, wrapped):
    graph, _ = wrapped
    shapes = []
    for sizes in ({}, {"batch": 5}):
        path = to_qonnx(graph, tmp_path / "a.onnx", sizes=sizes)
        onnx.checker.check_model(str(path), full_check=True)
        shapes.append(onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_value)
    assert shapes == [1, 5]
    assert [file.name for file in tmp_path.iterdir()] == ["a.onnx"]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"btach": 2}, r"sizes must name symbols of the graph \(batch\), got 'btach'"),
        ({"batch": 0}, r"sizes\['batch'\] must be an integer of 1 or more, got 0"),
        ({"batch": 2.0}, r"sizes\['batch'\] must be an integer of 1 or more, got 2\.0"),
    ],
)
def test_wrong_sizes_are_refused_before_a_file_is_written(sizes, said, tmp_path, wrapped):
    with pytest.raises(ValueError, match=said):
        to_qonnx(wrapped[0], tmp_path / "a.onnx", sizes=sizes)
    assert not list(tmp_path.iterdir())


def test_a_graph_with_sizes_computes_what_it_did():
    graph, _ = random_graph(np.random.default_rng(5), 10)
    inputs = random_inputs(graph, 3, np.random.default_rng(5))
    symbols = {s for t in graph.inputs.values() for s in ir.dim.symbols_of(t.shape)}
    sizes = {s: 3 if s == "batch" else 8 for s in symbols}
    for got, want in zip(with_sizes(graph, sizes).run(*inputs)[0], graph.run(*inputs)[0]):
        np.testing.assert_array_equal(got, want)
