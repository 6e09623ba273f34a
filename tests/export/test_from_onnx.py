"""ONNX files read back: ours give the same bits, others what ONNX Runtime gives; damaged ones a sentence."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.export.damage import damaged
from tests.export.networks import NETWORKS, graph_of
from tests.export.onnx_runs import exported, session
from tests.graphs import random_graph, random_inputs
from torch import nn

from onebit import deploy, examples, ir, runtime
from onebit.capture import from_onnx
from onebit.deploy.export import to_onnx
from onebit.ir import Graph, TensorType, passes


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal dtype, shape and bits; any NaN equals any NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype != np.float32:
        return np.array_equal(a, b)
    return bool(np.all((a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b))))


# Our own files


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_a_graph_that_was_exported_comes_back_with_the_same_inputs_outputs_and_states(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    graph, inputs = random_graph(rng)
    path = to_onnx(graph, tmp_path_factory.mktemp("back") / "graph.onnx")
    back = from_onnx(path)
    assert back.inputs == graph.inputs
    assert [back.types()[name].dtype for name in back.states] == [graph.types()[name].dtype for name in back.states]
    wanted, given_ = (None, None)
    for rows in (inputs, random_inputs(rng, graph, 1)):
        (want, wanted), (got, given_) = graph.run(*rows, state=wanted), back.run(*rows, state=given_)
        assert len(got) == len(want)
        assert all(map(same, got, want))
        assert given_.keys() == wanted.keys()
        assert all(same(given_[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(("name", "scheme"), NETWORKS)
def test_a_network_comes_back_with_the_same_kinds_in_a_file_that_is_as_small(name, scheme, tmp_path):
    graph, x = graph_of(name, scheme)
    graph.meta["class_names"] = ["a", "b"]
    back = from_onnx(to_onnx(graph, tmp_path / "network.onnx"))
    packed = passes.optimize(back)
    for one in (back, packed):
        assert same(one.run(x)[0][0], graph.run(x)[0][0])
    assert Counter(node.kind for node in packed.nodes) == Counter(node.kind for node in graph.nodes)
    assert len(ir.dumps(packed)) <= len(ir.dumps(graph))
    assert back.meta == graph.meta
    np.testing.assert_array_equal(runtime.Model(ir.dumps(packed)).run(x), graph.run(x)[0][0])


def test_thresholds_codes_and_padding_come_back_as_the_kinds_they_were(tmp_path):
    rng = np.random.default_rng(0)
    graph = Graph({"x": TensorType("float32", ("batch", 6, 6, 3))})
    codes = graph.add("quantize", "x", graph.constant(np.float32([0.1])), low=0, high=200, zero_point=7, dtype="uint8")
    sums = graph.add("conv", codes, graph.constant(rng.integers(-128, 128, (9, 3, 3, 3)).astype(np.int8)))
    limit = graph.constant(np.int32([-(2**31), 2**31 - 1, 5, -5, 0, 1, 900, -900, 3]))
    sense = graph.constant(np.int8([1, -1, 1, -1, 1, -1, 1, -1, -1]), bit=True)
    bits = graph.add("threshold", sums, limit, sense)
    weight = graph.constant(rng.choice(np.int8([-1, 1]), (4, 3, 3, 9)), bit=True)
    y = graph.add("conv", bits, weight, padding=[1, 0, 2, 1], pad_value=-1, stride=[2, 1])
    steps = graph.constant(np.float32([-0.5, 0.0, 2.0]))
    graph.outputs = [y, graph.add("quantize", "x", steps, zero_point=-3)]
    for dtype in ("int8", "uint8"):
        graph.outputs.append(graph.add("quantize", "x", steps, low=0, high=90, dtype=dtype))
    back = from_onnx(to_onnx(graph, tmp_path / "codes.onnx"))
    kinds = [node.kind for node in passes.optimize(back).nodes]
    assert Counter(kinds) == Counter(node.kind for node in graph.nodes)
    padded = next(node for node in back.nodes if node.kind == "conv" and node.attributes["pad_value"])
    assert padded.attributes["padding"] == [1, 0, 2, 1]
    x = rng.standard_normal((2, 6, 6, 3)).astype(np.float32) * 9
    assert all(map(same, back.run(x)[0], graph.run(x)[0]))


def test_scalars_and_axes_of_size_1_keep_their_rank(tmp_path):
    graph = Graph({"x": TensorType("float32", (3,))})
    wide = graph.add("add", "x", graph.constant(np.ones((1, 1, 3), np.float32)))
    least = graph.add("reduce", "x", op="min")
    graph.outputs = [wide, graph.add("compare", least, graph.constant(np.float32(0.5)), op="le")]
    x = np.float32([1, 2, 3])
    for got, want in zip(session(exported(graph)).run(None, {"x": x}), graph.run(x)[0]):
        np.testing.assert_array_equal(got, want, strict=True)
    assert all(map(same, from_onnx(to_onnx(graph, tmp_path / "scalar.onnx")).run(x)[0], graph.run(x)[0]))


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_sums_that_were_taken_apart_to_be_exact_are_one_product_again(dtype, tmp_path):
    rng = np.random.default_rng(0)
    graph = Graph({"x": TensorType(dtype, ("batch", 4, 4, 700))})
    weight = graph.constant(rng.integers(-128, 128, (3, 3, 3, 700)).astype(np.int8))
    graph.outputs = [graph.add("conv", "x", weight, padding=[1, 1, 1, 1])]
    path = to_onnx(graph, tmp_path / "wide.onnx")
    assert sum(node.op_type == "Conv" for node in onnx.load(path).graph.node) > 1
    back = from_onnx(path)
    assert [node.kind for node in back.nodes] == ["conv"]
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max, (2, 4, 4, 700), dtype, endpoint=True)
    assert same(back.run(x)[0][0], graph.run(x)[0][0])
    np.testing.assert_array_equal(back.tensors[back.nodes[0].inputs[1]], graph.tensors[weight])


def test_trained_networks_come_back_from_their_files_to_the_bit(tmp_path):
    for name in examples.NAMES:
        graph = ir.load(examples.network(name))
        back = passes.optimize(from_onnx(to_onnx(graph, tmp_path / f"{name}.onnx")))
        assert back.meta == graph.meta
        assert len(ir.dumps(back)) <= len(ir.dumps(graph))
        (_, given_), *_ = graph.inputs.items()
        x = np.random.default_rng(0).standard_normal((3, *given_.shape[1:])).astype(np.float32)
        assert same(back.run(x)[0][0], graph.run(x)[0][0])


# Files from elsewhere


class Ordinary(nn.Module):
    """What image models are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.PReLU(8))
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8, padding=2, dilation=2)
        self.line = nn.Conv1d(8, 4, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        x = nn.functional.hardswish(self.depthwise(x)) + nn.functional.silu(x)
        y = nn.functional.avg_pool2d(nn.functional.max_pool2d(x, 3, 2, 1, ceil_mode=True), 2, 1)
        a, b = y.chunk(2, 1)
        y = torch.cat([a.sigmoid() * b, nn.functional.leaky_relu(b)], 1)
        z = self.line(y.flatten(2))
        return self.head(y.mean((2, 3))).softmax(-1), z.amax(-1), torch.where(z > 0, z, -z).clamp(min=0.1)


def test_a_network_that_pytorch_exported_computes_what_onnx_runtime_does(tmp_path):
    torch.manual_seed(0)
    model, x = Ordinary(), torch.randn(3, 3, 17, 17)
    for _ in range(2):
        model(torch.randn(8, 3, 17, 17))
    path = deploy.float_onnx(model, x, tmp_path / "float.onnx")
    graph = from_onnx(path)
    assert graph.inputs == {"x": TensorType("float32", ("batch", 3, 17, 17))}
    for one in (graph, passes.optimize(graph)):
        for rows in (x.numpy(), x[:1].numpy()):
            for got, want in zip(one.run(rows)[0], session(onnx.load(path)).run(None, {"x": rows})):
                np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    ir.dumps(passes.optimize(graph))


def build(nodes, inputs, outputs, constants=(), opset=17) -> onnx.ModelProto:
    """A model from nodes, ``name -> array`` examples of the inputs, and names of the outputs."""
    element = helper.np_dtype_to_tensor_dtype
    body = helper.make_graph(
        nodes,
        "hand made",
        [
            helper.make_tensor_value_info(name, element(array.dtype), ["batch", *array.shape[1:]])
            for name, array in inputs.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(constants).items()],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    for entry in model.graph.output:
        if not entry.HasField("type"):  # a node that onnx does not know
            entry.CopyFrom(helper.make_tensor_value_info(entry.name, TensorProto.FLOAT, ["batch"]))
    return model


RNG = np.random.default_rng(3)
IMAGE = RNG.standard_normal((2, 4, 7, 6)).astype(np.float32)
ROWS = RNG.standard_normal((3, 6)).astype(np.float32)
CODES = RNG.integers(-128, 128, (3, 6)).astype(np.int8)
KERNEL = RNG.standard_normal((6, 4, 3, 2)).astype(np.float32)
TERNARY = RNG.integers(-1, 2, (6, 5)).astype(np.float32)
SQUARE = RNG.standard_normal((6, 6)).astype(np.float32)
I64 = np.int64
#: operator, attributes, input, constants, opset, whether all bits must be equal
OPERATORS = [
    ("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, IMAGE, [KERNEL], 17, False),
    ("Conv", {"auto_pad": "SAME_LOWER"}, IMAGE, [KERNEL, np.arange(6, dtype=np.float32)], 17, False),
    ("Conv", {"auto_pad": "VALID", "dilations": [2, 1]}, IMAGE, [KERNEL], 11, False),
    ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}, IMAGE, [], 12, True),
    ("MaxPool", {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]}, IMAGE, [], 8, True),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, IMAGE, [], 17, False),
    ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, IMAGE, [], 19, False),
    ("GlobalAveragePool", {}, IMAGE, [], 17, False),
    ("GlobalMaxPool", {}, IMAGE, [], 17, True),
    ("Gemm", {"transB": 1, "alpha": 0.5, "beta": 2.0}, ROWS, [SQUARE, ROWS[0]], 13, False),
    ("Gemm", {"transA": 1}, ROWS, [ROWS], 13, False),
    ("MatMul", {}, ROWS, [SQUARE], 13, False),
    ("MatMulInteger", {}, CODES, [CODES.T.copy()], 13, True),
    ("Clip", {"min": -0.5, "max": 0.25}, ROWS, [], 7, True),
    ("Clip", {}, ROWS, [np.float32(-0.5)], 13, True),
    ("Flatten", {"axis": 2}, IMAGE, [], 13, True),
    ("Flatten", {"axis": -1}, IMAGE, [], 13, True),
    ("Unsqueeze", {"axes": [0, 3]}, ROWS, [], 11, True),
    ("Unsqueeze", {}, ROWS, [I64([-1, 1])], 13, True),
    ("Slice", {"axes": [1, 2], "starts": [1, -3], "ends": [4, 100]}, IMAGE, [], 9, True),
    ("Slice", {}, IMAGE, [I64([0, 1]), I64([2**62, -1]), I64([0, 3]), I64([1, 2])], 13, True),
    ("Gather", {"axis": 1}, IMAGE, [I64([3, 1, 0])], 13, True),
    ("Gather", {"axis": 2}, IMAGE, [I64(-2)], 13, True),
    ("Pad", {"pads": [0, 0, 1, 2, 0, 0, 3, 0], "value": 1.5}, IMAGE, [], 7, True),
    ("Pad", {}, IMAGE, [I64([0, 0, 1, 0, 0, 0, 0, 2]), np.float32(-np.inf)], 13, True),
    ("Transpose", {}, IMAGE, [], 13, True),
    ("Reshape", {}, IMAGE, [I64([0, -1, 3])], 13, True),
    ("Squeeze", {"axes": [1]}, IMAGE[:, :1], [], 11, True),
    ("Expand", {}, IMAGE[:, :1], [I64([1, 4, 7, 6])], 13, True),
    ("ReduceMean", {"axes": [2, 3], "keepdims": 0}, IMAGE, [], 13, False),
    ("ReduceMax", {"axes": [1]}, IMAGE, [], 13, True),
    ("ReduceSum", {"keepdims": 0}, IMAGE, [I64([-1])], 13, False),
    ("Softmax", {"axis": 1}, IMAGE, [], 13, False),
    ("LayerNormalization", {"axis": 2}, IMAGE, [IMAGE[0, 0], IMAGE[0, 1]], 17, False),
    ("BatchNormalization", {}, IMAGE, [*ROWS[:, :4], np.abs(ROWS[0, :4]) + 1], 15, False),
    ("PRelu", {}, IMAGE, [IMAGE[0, :, :1, :1]], 16, True),
    ("PRelu", {}, IMAGE, [IMAGE[0]], 16, True),
    ("Round", {}, np.float32([[0.5, 1.5, 2.5, -0.5, -1.5, 3e9, 0.49999997, 8388609.0]]), [], 11, True),
    ("Sign", {}, np.float32([[0.5, -0.0, 0.0, -2, np.inf]]), [], 13, True),
    ("Pow", {}, np.abs(ROWS), [np.float32(0.5)], 13, False),
    ("Reciprocal", {}, ROWS, [], 13, True),
    ("HardSigmoid", {"alpha": 0.3}, ROWS, [], 7, False),
    ("HardSwish", {}, ROWS, [], 14, False),
    ("Gelu", {}, ROWS, [], 20, False),
    ("Elu", {"alpha": 0.5}, ROWS, [], 7, False),
    ("Sum", {}, ROWS, [SQUARE[:1], SQUARE[1:2]], 13, True),
    ("Max", {}, ROWS, [SQUARE[:1], SQUARE[1:2]], 13, True),
    ("Split", {"axis": 1}, ROWS, [I64([1, 3, 2])], 13, True),
    ("QuantizeLinear", {"axis": 1}, ROWS, [np.float32([0.1, 0.2, 0.3, 1, 2, 3]), np.int8([5] * 6)], 13, True),
    ("DequantizeLinear", {"axis": 1}, CODES, [np.float32([0.1, 0.2, 0.3, 1, 2, 3]), CODES[0]], 13, True),
    ("Cast", {"to": TensorProto.INT32}, ROWS * 9, [], 13, True),
    ("Where", {}, ROWS > 0, [SQUARE[:1], SQUARE[1:2]], 13, True),
    ("Equal", {}, CODES, [CODES[:1]], 13, True),
    ("Identity", {}, ROWS, [], 13, True),
]


@pytest.mark.parametrize(("op", "attributes", "x", "constants", "opset", "exact"), OPERATORS)
def test_an_operator_computes_what_onnx_runtime_does(op, attributes, x, constants, opset, exact, tmp_path):
    names = [f"c{number}" for number in range(len(constants))]
    given_ = ["x", "", *names[1:]] if op == "Clip" and not attributes else ["x", *names]
    given_ = ["x", *names] if op == "Clip" and constants else given_
    outputs = [f"y{number}" for number in range(3 if op == "Split" else 1)]
    node = helper.make_node(op, given_, outputs, **attributes)
    model = build([node], {"x": x}, outputs, zip(names, constants), opset)
    if op == "Gemm" and attributes.get("transA"):  # the batch would be summed over
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = len(x)
    onnx.save(model, tmp_path / "one.onnx")
    graph = from_onnx(tmp_path / "one.onnx")
    for got, want in zip(graph.run(x)[0], session(model).run(None, {"x": x})):
        if exact:
            np.testing.assert_array_equal(got, want, strict=True)
        else:
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, strict=True)


def test_the_larger_of_two_long_integers_is_exact_and_comes_back(tmp_path):
    graph = Graph({"a": TensorType("int64", ("batch",)), "b": TensorType("int64", (1,))})
    graph.outputs = [graph.add("max", "a", "b"), graph.add("min", "a", "b")]
    a, b = I64([-(2**31) - 1, 2**31, -89, 97, 2**62, -(2**62)]), I64([5])
    for got, want in zip(session(exported(graph)).run(None, {"a": a, "b": b}), graph.run(a, b)[0]):
        np.testing.assert_array_equal(got, want)
    back = from_onnx(to_onnx(graph, tmp_path / "long.onnx"))
    assert [node.kind for node in back.nodes] == ["max", "min"]


def test_sizes_that_are_computed_in_the_file_are_found(tmp_path):
    """``x.view(x.size(0), -1)`` and ``expand`` as older exporters write them."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"], axis=0),
        helper.make_node("Mul", ["batch", "four"], ["rows"]),
        helper.make_node("Unsqueeze", ["rows", "axis"], ["rows1"]),
        helper.make_node("Concat", ["rows1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["flat"]),
        helper.make_node("Div", ["rows1", "four"], ["batch1"]),
        helper.make_node("Concat", ["batch1", "six"], ["wide"], axis=0),
        helper.make_node("ConstantOfShape", ["wide"], ["ones"], value=numpy_helper.from_array(np.float32([2.5]))),
    ]
    constants = {"zero": I64(0), "four": I64(4), "axis": I64([0]), "rest": I64([-1]), "six": I64([6])}
    model = build(nodes, {"x": IMAGE}, ["flat", "ones"], constants)
    onnx.save(model, tmp_path / "sizes.onnx")
    graph = from_onnx(tmp_path / "sizes.onnx")
    assert [graph.types()[name].shape for name in graph.outputs] == [("4*batch", 42), ("batch", 6)]
    for rows in (IMAGE, IMAGE[:0]):
        flat, full = graph.run(rows)[0]
        assert same(flat, rows.reshape(-1, 42))
        assert same(full, np.full((len(rows), 6), np.float32(2.5)))


def test_bits_are_found_in_a_file_that_multiplies_signs(tmp_path):
    weight = RNG.choice(np.float32([-1, 1]), (6, 5))
    nodes = [
        helper.make_node("GreaterOrEqual", ["x", "zero"], ["above"]),
        helper.make_node("Where", ["above", "plus", "minus"], ["bits"]),
        helper.make_node("MatMul", ["bits", "weight"], ["y"]),
    ]
    constants = {"zero": np.float32(0), "plus": np.float32(1), "minus": np.float32(-1), "weight": weight}
    onnx.save(build(nodes, {"x": ROWS}, ["y"], constants), tmp_path / "bits.onnx")
    graph = from_onnx(tmp_path / "bits.onnx")
    assert [node.kind for node in graph.nodes] == ["sign", "linear", "cast"]
    assert [graph.types()[name].dtype for name in graph.nodes[1].inputs] == ["bit", "bit"]
    assert same(graph.run(ROWS)[0][0], np.where(ROWS >= 0, np.float32(1), np.float32(-1)) @ weight)


# Refusals


def refused(tmp_path, model: onnx.ModelProto) -> str:
    (tmp_path / "bad.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r".") as caught:
        from_onnx(tmp_path / "bad.onnx")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_read_says_which_node_and_what_to_do(tmp_path):
    double = build([helper.make_node("Identity", ["x"], ["y"])], {"x": ROWS.astype(np.float64)}, ["y"])
    assert refused(tmp_path, double).startswith("input 'x': float64: the graph computes in float32")
    unknown = build([helper.make_node("Cos", ["x"], ["y"], name="rotary")], {"x": ROWS}, ["y"])
    assert refused(tmp_path, unknown).startswith("Cos 'rotary': there is no rule for this operator; replace it")
    custom = build([helper.make_node("Relu", ["x"], ["y"], name="q")], {"x": ROWS}, ["y"])
    custom.graph.node[0].op_type, custom.graph.node[0].domain = "Quant", "qonnx.custom_op"
    assert "Quant (q) is of the domain 'qonnx.custom_op': only standard operators" in refused(tmp_path, custom)
    computed = build([helper.make_node("Pow", ["x", "x"], ["y"], name="p")], {"x": ROWS}, ["y"])
    assert refused(tmp_path, computed) == "Pow 'p': a number that is computed from the input; make it a constant"
    old = build([helper.make_node("Relu", ["x"], ["y"])], {"x": ROWS}, ["y"], opset=6)
    assert refused(tmp_path, old).startswith("the file has opset 6: convert it to 7 or newer")
    outside = build([helper.make_node("Add", ["x", "c"], ["y"])], {"x": ROWS}, ["y"], {"c": SQUARE[0]})
    outside.graph.initializer[0].data_location = TensorProto.EXTERNAL
    assert "keeps the tensor 'c' in another file: save the model as one file" in refused(tmp_path, outside)
    large = build([helper.make_node("ConstantOfShape", ["s"], ["y"])], {"x": ROWS}, ["y"], {"s": I64([2**40, 2**20])})
    assert "is too large" in refused(tmp_path, large)
    assert "holds no graph with outputs" in refused(tmp_path, onnx.ModelProto())
    loop = build([helper.make_node("Add", ["y", "x"], ["y"])], {"x": ROWS}, ["y"])
    assert "is not valid ONNX" in refused(tmp_path, loop)


def test_a_missing_file_and_one_that_is_no_onnx_are_named(tmp_path):
    with pytest.raises(OSError, match=r"nothing.onnx"):
        from_onnx(tmp_path / "nothing.onnx")
    (tmp_path / "text.onnx").write_text("not a model at all")
    with pytest.raises(ValueError, match=r"text.onnx is no ONNX file"):
        from_onnx(tmp_path / "text.onnx")


def test_random_damage_gives_a_graph_or_one_sentence(tmp_path):
    choose = random.Random(0)
    files = [exported(random_graph(np.random.default_rng(seed))[0]).SerializeToString() for seed in range(8)]
    files.append(exported(graph_of("convnet", "biper")[0]).SerializeToString())
    path = tmp_path / "damaged.onnx"
    verdicts = [verdict(path, damaged(choose, choose.choice(files))) for _ in range(250)]
    sentences = [text for text in verdicts if text]
    assert 25 < len(sentences) < 240
    assert len({text[:20] for text in sentences}) > 10
    assert not any("\n" in text or len(text) > 600 for text in sentences)


def verdict(path, data: bytes) -> str:
    """The sentence about a file; nothing where it is read, and then it is a valid graph."""
    path.write_bytes(data)
    try:
        from_onnx(path).types()
    except ValueError as error:
        return str(error).replace(str(path), "file")
    return ""
