"""The packed file: what is written comes back, and nothing else is read."""

import contextlib
import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graphs import graphs

from onebit import ir
from onebit.core.errors import Unsupported
from onebit.ir import Graph, TensorType, file


def network() -> Graph:
    """A convolution of bits with a state, an affine and meta."""
    rng = np.random.default_rng(0)
    graph = Graph({"image": TensorType("float32", ("batch", 4, 4, 3))})
    weight = graph.constant(rng.choice(np.int8([-1, 1]), (5, 3, 3, 3)), bit=True)
    conv = graph.add("conv", graph.add("sign", "image"), weight, padding=[1, 1, 1, 1], pad_value=1, path="stem")
    scale, shift = (graph.constant(rng.standard_normal(5, np.float32)) for _ in range(2))
    y = graph.add("affine", conv, scale, shift)
    h = graph.state(np.int8([1, -1]), bit=True, name="h")
    graph.states[h] = graph.add("sign", graph.add("neg", graph.add("cast", h, dtype="float32")))
    graph.outputs = [y, h]
    graph.meta = {"class_names": ["a", "ß"], "mean": [0.5], "std": [0.25], "producer": "tests"}
    return graph


def rewrite(change) -> bytes:
    """A packed file whose JSON is changed by ``change``."""
    return with_text(ir.dumps(network()), lambda text: json.dumps(changed(json.loads(text), change)))


def changed(document, change):
    change(document)
    return document


def with_text(data: bytes, edit) -> bytes:
    """A packed file whose JSON text is edited."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"]["onebit"] = edit(header["__metadata__"]["onebit"])
    return with_header(json.dumps(header).encode(), data[8 + length :])


def with_header(header: bytes, rest: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + rest


def assert_equal_runs(first: Graph, second: Graph, inputs) -> None:
    (outputs, state), (others, other_state) = first.run(*inputs), second.run(*inputs)
    assert [y.tobytes() for y in outputs] == [y.tobytes() for y in others]
    assert {name: y.tobytes() for name, y in state.items()} == {name: y.tobytes() for name, y in other_state.items()}


@given(graphs(batch_norm=False))
@settings(max_examples=100)
def test_a_graph_comes_back_and_computes_the_same_bits(case):
    graph, inputs = case
    data = ir.dumps(graph)
    loaded = ir.loads(data)
    assert ir.dumps(loaded) == data
    assert list(loaded.inputs) == list(graph.inputs)
    assert loaded.meta == graph.meta
    assert_equal_runs(graph, loaded, inputs)


def test_a_file_is_saved_and_loaded(tmp_path):
    path = tmp_path / "network.onebit"
    ir.save(network(), path)
    x = np.random.default_rng(0).standard_normal((2, 4, 4, 3), np.float32)
    assert_equal_runs(network(), ir.load(path), [x])
    assert [name.name for name in tmp_path.iterdir()] == ["network.onebit"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"network.onebit is no packed network: "):
        ir.load(path)
    with pytest.raises(OSError, match="nowhere"):
        ir.load(tmp_path / "nowhere")


def test_a_graph_that_cannot_be_saved_leaves_the_old_file(tmp_path):
    path = tmp_path / "network.onebit"
    ir.save(network(), path)
    before = path.read_bytes()
    broken = network()
    broken.outputs.append("nowhere")
    with pytest.raises(ValueError, match="nowhere"):
        ir.save(broken, path)
    assert path.read_bytes() == before


def test_names_are_short_and_those_of_inputs_and_states_stay():
    graph = network()
    graph.inputs["v0"] = TensorType("float32", ())
    loaded = ir.loads(ir.dumps(graph))
    assert list(loaded.inputs) == ["image", "v0"]
    assert list(loaded.states) == ["h"]
    assert {len(node.output) for node in loaded.nodes} == {2}
    assert set(loaded.tensors) == {"h", "w0", "w1", "w2"}


def test_defaults_are_left_out_and_the_json_is_compact():
    text = json.loads(header(ir.dumps(network())))["__metadata__"]["onebit"]
    assert ": " not in text
    assert ", " not in text
    assert '["conv",["v0","w0"],["v1"],{"padding":[1,1,1,1],"pad_value":1}]' in text
    assert '"ß"' in text


def header(data: bytes) -> bytes:
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def test_bits_are_words_with_the_first_element_lowest():
    array = np.full((1, 66), -1, np.int8)
    array[0, [0, 63, 65]] = 1
    words = file.pack_bits(array)
    assert words.tolist() == [1 + 2**63, 2]
    assert np.array_equal(file.unpack_bits("w", words, (1, 66)), array)
    with pytest.raises(ValueError, match="unused bits that are set"):
        file.unpack_bits("w", words, (1, 65))
    with pytest.raises(ValueError, match=r"must be stored as U64 \[1\]"):
        file.unpack_bits("w", words, (64,))
    assert file.pack_bits(np.ones((0, 3), np.int8)).shape == (0,)


def test_five_ternary_numbers_are_a_byte_with_the_first_digit_smallest():
    array = np.random.default_rng(3).integers(-1, 2, (7, 13), np.int8)
    for count in range(array.size):
        packed = file.pack_trits(array.reshape(-1)[:count])
        assert packed.nbytes == -(-count // 5)
        assert file.unpack_trits("w", packed, (count,)).tolist() == array.reshape(-1)[:count].tolist()
        digits = [int(byte) // 3**place % 3 for byte in packed for place in range(5)]
        assert digits == [int(number) + 1 for number in array.reshape(-1)[:count]] + [0] * (-count % 5)
    graph = Graph({"x": TensorType("int8", ("batch", 13))})
    graph.outputs = [graph.add("linear", "x", graph.constant(array, ternary=True))]
    tensors = safetensors.numpy.load(file.dumps(graph))
    assert (tensors["w0"].dtype, tensors["w0"].shape) == (np.uint8, (19,))
    again = file.loads(file.dumps(graph))
    assert again.trits == {"w0"}
    assert np.array_equal(again.tensors["w0"], array)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda g: g.constant(np.int8([2]), ternary=True, name="w"), "must be int8 of -1, 0 and \\+1 only"),
        (lambda g: g.constant(np.int8([-128]), ternary=True, name="w"), "must be int8 of -1, 0 and \\+1 only"),
        (lambda g: g.constant(np.int8([1]), ternary=True, bit=True, name="w"), "neither in bits nor a state"),
        (lambda g: g.trits.add("z"), "trits name 'z', which is no tensor"),
        (lambda g: g.outputs.append(g.constant(np.int8([0]), ternary=True)), "which only weights are: cast it"),
        (lambda g: g.add("neg", g.constant(np.int8([0]), ternary=True)), "which only weights are: cast it"),
        (lambda g: g.inputs.update(t=TensorType("ternary", (1,))), "for constants only"),
    ],
)
def test_a_ternary_tensor_is_a_weight_and_nothing_else(change, reason):
    graph = Graph({"x": TensorType("float32", (2,))}, ["x"])
    change(graph)
    with pytest.raises(ValueError, match=reason):
        graph.types()


def test_what_a_packed_file_cannot_hold_is_refused():
    graph = Graph({"x": TensorType("float32", (2,)), "w": TensorType("float32", (2,))})
    graph.add("prelu", "x", "w", path="act")
    graph.types()
    with pytest.raises(Unsupported, match=r"node 0 \(prelu, from act\): slope must be a constant"):
        ir.dumps(graph)
    graph = Graph({"x": TensorType("float32", (2,))})
    ones = graph.constant(np.ones(2, np.float32))
    graph.add("batch_norm", "x", ones, ones, ones, ones, eps=0)
    with pytest.raises(Unsupported, match="fold it first"):
        ir.dumps(graph)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(format=2), "it has format version 2, this version of onebit reads 1: update onebit"),
        (lambda d: d.update(format=True), "format must be 1"),
        (lambda d: d.pop("nodes"), "the graph has no 'nodes'"),
        (lambda d: d.update(extra=1), "unknown key 'extra'"),
        (lambda d: d.update(nodes={}), "nodes must be a list"),
        (lambda d: d["nodes"].append(["relu", ["image"]]), "a node must be"),
        (lambda d: d["nodes"].append(["relu", "image", ["z"]]), "must be a list"),
        (lambda d: d["nodes"].append(["relu", [1], ["z"]]), "must be names"),
        (lambda d: d["nodes"].append(["relu", ["image"], ["z"], []]), "attributes must be an object"),
        (lambda d: d["nodes"].append(["relu", ["image"], ["z"], {"slope": 1}]), "unknown attribute 'slope'"),
        (lambda d: d["nodes"].append(["jump", ["image"], ["z"]]), "unknown kind 'jump'"),
        (lambda d: d["nodes"].append(["relu", ["nowhere"], ["z"]]), "not defined before it"),
        (lambda d: d["nodes"].append(["reshape", ["image"], ["z"], {"shape": [[]]}]), "attribute shape"),
        (lambda d: d["inputs"].append(["image", "float32", []]), "given twice"),
        (lambda d: d["inputs"].append(["z", "float32"]), "an input must be"),
        (lambda d: d["inputs"].append(["z", "float16", []]), "dtype must be one of"),
        (lambda d: d["inputs"].append(["z", ["float32"], []]), "dtype must be one of"),
        (lambda d: d["inputs"].append(["z", "float32", "batch"]), "must be a list"),
        (lambda d: d["inputs"].append(["z", "float32", [1.5]]), "a dimension must be"),
        (lambda d: d["inputs"].append(["z", "float32", [[1]]]), "a dimension must be"),
        (lambda d: d["states"].append(["h", "v0"]), "given twice"),
        (lambda d: d["states"].append(["h"]), "a state must be"),
        (lambda d: d["bits"].update(z=[1]), "no tensor of the file"),
        (lambda d: d["bits"].update(w0=[5, 3, 3, -3]), "must be a list of at most 8 integers"),
        (lambda d: d["bits"].update(w0=[5, 3, 3, 2**40]), "must be stored as U64"),
        (lambda d: d["bits"].update(w1=[64]), "must be stored as U64"),
        (lambda d: d["bits"].pop("w0"), "which only bits may be"),
        (lambda d: d["meta"].update(author="me"), "unknown key of meta 'author'"),
        (lambda d: d["meta"].update(mean=["a"]), "meta mean must be a list of finite numbers"),
        (lambda d: d["meta"].update(mean=[10**400]), "does not fit int64"),
        (lambda d: d["nodes"].append(["clip", ["image"], ["z"], {"low": 0, "high": 1e39}]), "attribute high must be"),
        (lambda d: d["nodes"].append(["clip", ["image"], ["z"], {"low": True, "high": 1}]), "attribute low must be"),
        (lambda d: d["meta"].update(mean=[1, 2]), "one entry a channel each"),
        (lambda d: d["meta"].update(std=[0]), "meta std must be above 0"),
        (lambda d: d["meta"].update(class_names="ab"), "class_names must be a list of texts"),
        (lambda d: d.update(meta=[]), "meta must be an object"),
    ],
)
def test_a_document_that_is_not_as_described_is_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        ir.loads(rewrite(change))


def test_brackets_and_quotes_in_texts_are_no_nesting():
    names = ["[" * 100, '\\"[{', "\\"]
    assert ir.loads(rewrite(lambda d: d["meta"].update(class_names=names))).meta["class_names"] == names


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"format":1', '"format":1,"format":1', "the key 'format' is given twice"),
        ('"pad_value":1', '"pad_value":1,"pad_value":1', "the key 'pad_value' is given twice"),
        ("0.5", "NaN", "is not finite"),
        ("0.5", "-Infinity", "is not finite"),
        ("0.5", "1e999", "is not finite"),
        ('"nodes":', '"nodes":' + "[" * 100000, "nested deeper than 16"),
        ('"format":1', '"format":' + "1" * 5000, "does not fit int64"),
        ("{", "", "not valid JSON"),
    ],
)
def test_json_that_is_not_strict_is_refused(old, new, reason):
    with pytest.raises(ValueError, match=reason):
        ir.loads(with_text(ir.dumps(network()), lambda text: text.replace(old, new, 1)))


def test_a_container_that_is_not_as_described_is_refused():
    data = ir.dumps(network())
    text, rest = header(data), data[8 + len(header(data)) :]
    for bad, reason in [
        (b"", "at least 8 bytes"),
        (data[:7], "at least 8 bytes"),
        (data[:100], "the header is said to have"),
        (data[:-1], "not a valid safetensors file"),
        (data + b"\0", "not a valid safetensors file"),
        (with_header(b"\xff" + text, rest), "not UTF-8"),
        (with_header(b"[]", b""), "one key 'onebit'"),
        (with_header(b"{}", b""), "one key 'onebit'"),
        (with_header(text.replace(b'{"onebit":', b'{"a":"b","onebit":', 1), rest), "one key 'onebit'"),
        (with_header(text.replace(b'"w1":', b'"w2":', 1), rest), "the key 'w2' is given twice"),
        (with_header(text.replace(b'"dtype":"F32"', b'"dtype":"F16"'), rest), "safetensors|must be F32"),
        (with_header(text.replace(b'"dtype":"F32"', b'"dtype":"U32"'), rest), "must be F32, I8"),
    ]:
        with pytest.raises(ValueError, match=reason):
            ir.loads(bad)


def test_a_truth_value_is_zero_or_one():
    graph = Graph({"x": TensorType("bool", (2,))})
    graph.outputs = [graph.add("logical_and", "x", graph.constant(np.array([True, False])))]
    data = ir.dumps(graph)
    assert ir.loads(data).tensors["w0"].tolist() == [True, False]
    with pytest.raises(ValueError, match="the bytes 0 and 1 only"):
        ir.loads(data[:-2] + b"\2\0")


@given(st.data())
@settings(max_examples=300)
def test_a_damaged_file_is_refused_or_is_another_valid_graph(data):
    original = ir.dumps(network())
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        match data.draw(st.sampled_from(["set", "delete", "insert"])):
            case "set":
                damaged[place] = data.draw(st.integers(0, 255))
            case "delete":
                del damaged[place]
            case "insert":
                damaged.insert(place, data.draw(st.integers(0, 255)))
    with contextlib.suppress(ValueError):
        ir.loads(bytes(damaged)).types()
