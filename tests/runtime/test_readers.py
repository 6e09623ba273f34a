"""Two readers of packed files, the engine's and the interpreter's: both take and refuse the same files."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from onebit import runtime

from . import packed

READERS = {
    "engine": lambda data: runtime.Model(data),
    "interpreter": lambda data: runtime.Model(data, isa="interpreter"),
}
X = {"x": ("float32", ["batch", 4])}
IMAGE = {"x": ("float32", ["batch", 5, 5, 4])}
BITS = {"x": ("bit", ["batch", 5, 5, 4])}
WEIGHT = np.ones((2, 3, 3, 4), np.float32)
SIGNS = np.ones((2, 3, 3, 4), np.int8)


@pytest.fixture(params=READERS)
def read(request):
    """A reader: bytes to model, ``ValueError`` for what it refuses."""
    return READERS[request.param]


def relu(**more: Any) -> dict[str, Any]:
    """The smallest graph, with entries replaced."""
    return {**packed.graph([["x", "float32", ["batch", 4]]], [["relu", ["x"], ["y"]]], ["y"]), **more}


def without(key: str) -> dict[str, Any]:
    """The smallest graph less one entry."""
    return {name: value for name, value in relu().items() if name != key}


@pytest.mark.parametrize("name", packed.CORPUS)
def test_a_good_file_is_taken_and_says_what_goes_in_and_out(read, name):
    model = read(packed.CORPUS[name]())
    other = runtime.Model(packed.CORPUS[name](), isa="interpreter")
    assert (model.inputs, model.outputs, model.meta) == (other.inputs, other.outputs, other.meta)


def test_a_file_cut_anywhere_is_refused(read):
    data = packed.recurrent()
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"."):
            read(data[:length])


def test_bytes_after_the_end_are_refused(read):
    with pytest.raises(ValueError, match=r"."):
        read(packed.recurrent() + b"\0")


def test_a_flipped_bit_is_taken_by_both_or_by_none():
    data = packed.recurrent()
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 1 << (position % 8)
        taken = []
        for reader in READERS.values():
            try:
                reader(bytes(broken))
                taken.append(True)
            except ValueError:
                taken.append(False)
        assert taken[0] == taken[1], position


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_wrong_length_of_the_header_is_refused(read, length):
    with pytest.raises(ValueError, match=r"."):
        read(struct.pack("<Q", length) + packed.recurrent()[8:])


def ternary(shape: list, packed_bytes: list, **changes: Any) -> bytes:
    """A file with one tensor of ternary numbers that has these bytes."""
    document = json.dumps(relu(trits={"w": shape}) | changes)
    return packed.container(document, {"w": np.array(packed_bytes, np.uint8)})


def test_ternary_numbers_are_digits_of_base_3(read):
    nodes = [["cast", ["w"], ["y"], {"dtype": "int8"}]]
    model = read(ternary([6], [0 + 1 * 3 + 2 * 9 + 0 * 27 + 1 * 81, 2], nodes=nodes))
    assert model.run(np.zeros((1, 4), np.float32)).tolist() == [-1, 0, 1, -1, 0, 1]


BROKEN_GRAPHS: dict[str, Any] = {
    "no object": [],
    "no format": without("format"),
    "no inputs": without("inputs"),
    "no outputs": without("outputs"),
    "no nodes": without("nodes"),
    "an unknown key": relu(author="me"),
    "a future version": relu(format=2),
    "a version that is no integer": relu(format=1.0),
    "a version that is a truth value": relu(format=True),
    "an unknown kind": relu(nodes=[["relu6", ["x"], ["y"]]]),
    "a batch norm": relu(nodes=[["batch_norm", ["x", "x", "x", "x", "x"], ["y"], {"eps": 0}]]),
    "use before definition": relu(nodes=[["relu", ["z"], ["y"]], ["relu", ["x"], ["z"]]]),
    "a cycle": relu(nodes=[["relu", ["y"], ["y"]]]),
    "a name defined twice": relu(nodes=[["relu", ["x"], ["y"]], ["abs", ["x"], ["y"]]]),
    "a node that redefines an input": relu(nodes=[["relu", ["x"], ["x"]]], outputs=["x"]),
    "an input listed twice": relu(inputs=[["x", "float32", [1]]] * 2),
    "an output that is nowhere": relu(outputs=["z"]),
    "two outputs of a node": relu(nodes=[["relu", ["x"], ["y", "z"]]]),
    "no output of a node": relu(nodes=[["relu", ["x"], []]]),
    "too many inputs": relu(nodes=[["relu", ["x", "x"], ["y"]]]),
    "too few inputs": relu(nodes=[["relu", [], ["y"]]]),
    "an unknown attribute": relu(nodes=[["relu", ["x"], ["y"], {"slope": 1}]]),
    "attributes that are no object": relu(nodes=[["relu", ["x"], ["y"], []]]),
    "a node of two parts": relu(nodes=[["relu", ["x"]]]),
    "a node of five parts": relu(nodes=[["relu", ["x"], ["y"], {}, {}]]),
    "an unknown dtype": relu(inputs=[["x", "float16", [1]]]),
    "a negative dimension": relu(inputs=[["x", "float32", [-1]]]),
    "a dimension with a fraction": relu(inputs=[["x", "float32", [1.5]]]),
    "a dimension that is a truth value": relu(inputs=[["x", "float32", [True]]]),
    "a huge dimension": relu(inputs=[["x", "float32", [2**60]]]),
    "an enormous dimension": relu(inputs=[["x", "float32", [10**30]]]),
    "a symbol with a sign": relu(inputs=[["x", "float32", ["batch-1"]]]),
    "an empty symbol": relu(inputs=[["x", "float32", [""]]]),
    "a product of symbols at the input": relu(inputs=[["x", "float32", ["a*b"]]]),
    "nine axes": relu(inputs=[["x", "float32", [1] * 9]]),
    "an empty name": relu(inputs=[["", "float32", [1]]], nodes=[], outputs=[""]),
    "a long name": relu(inputs=[["n" * 256, "float32", [1]]], nodes=[], outputs=["n" * 256]),
    "a name that is a number": relu(outputs=[1]),
    "bits that are no tensor": relu(bits={"w": [4]}),
    "ternary numbers that are no tensor": relu(trits={"w": [4]}),
    "ternary numbers in a list": relu(trits=[["w", [4]]]),
    "a ternary input": relu(inputs=[["x", "ternary", [1]]]),
    "a state without a tensor": relu(states=[["h", "y"]]),
    "a state that is an input": relu(states=[["x", "y"]]),
    "a state of three parts": relu(states=[["x", "y", "y"]]),
    "class names that are numbers": relu(meta={"class_names": [1]}),
    "a mean without std": relu(meta={"mean": [0.5]}),
    "a std of 0": relu(meta={"mean": [0.5], "std": [0]}),
    "an unknown entry of meta": relu(meta={"author": "me"}),
    "meta that is no object": relu(meta=[]),
    "a free symbol": relu(nodes=[["broadcast_to", ["x"], ["y"], {"shape": ["n", "batch", 4]}]]),
}


@pytest.mark.parametrize("name", BROKEN_GRAPHS)
def test_a_broken_graph_is_refused(read, name):
    with pytest.raises(ValueError, match=r"."):
        read(packed.packed_file(BROKEN_GRAPHS[name], {}))


CLIP = json.dumps(relu(nodes=[["clip", ["x"], ["y"], {"low": 0, "high": 7}]]))
BROKEN_TEXTS = {
    "nothing": "",
    "two values": json.dumps(relu()) + "{}",
    "a duplicate key": '{"format":1,' + json.dumps(relu())[1:],
    "a duplicate attribute": CLIP.replace('"low": 0', '"low":0,"low":0'),
    "NaN": CLIP.replace("7", "NaN"),
    "infinity": CLIP.replace("7", "Infinity"),
    "a number beyond float64": CLIP.replace("7", "1e999"),
    "a number beyond float32": CLIP.replace("7", "1e39"),
    "an integer beyond int64": CLIP.replace("7", "9223372036854775808"),
    "a leading zero": json.dumps(relu()).replace('"format": 1', '"format": 01'),
    "a trailing comma": json.dumps(relu())[:-1] + ",}",
    "a comment": json.dumps(relu()) + "//",
    "single quotes": json.dumps(relu()).replace('"', "'"),
    "a control character": json.dumps(relu()).replace("batch", "ba\ntch"),
    "half of a surrogate pair": json.dumps(relu(outputs=["\ud800"])),
    "an unknown escape": json.dumps(relu()).replace("batch", "\\batch").replace("\\b", "\\q"),
    "deep nesting": "[" * 100000,
    "deep nesting that ends": "[" * 100000 + "]" * 100000,
}


@pytest.mark.parametrize("name", BROKEN_TEXTS)
def test_broken_json_is_refused(read, name):
    with pytest.raises(ValueError, match=r"."):
        read(packed.container(BROKEN_TEXTS[name], {}))


TENSOR = {"w": np.ones(4, np.float32)}
BROKEN_CONTAINERS = {
    "no metadata": packed.container(None, TENSOR),
    "metadata of someone else": packed.container(None, TENSOR, __metadata__={"format": "pt"}),
    "more metadata": packed.container(None, TENSOR, __metadata__={"onebit": json.dumps(relu()), "format": "pt"}),
    "metadata that is no object": packed.container(None, TENSOR, __metadata__=json.dumps(relu())),
    "a header that is a list": packed.raw_file(b"[]", b""),
    "a header that is not UTF-8": packed.raw_file(b'{"\xff":1}', b""),
    "overlapping tensors": packed.container(
        json.dumps(relu()),
        {"a": np.ones(4, np.float32), "b": np.ones(4, np.float32)},
        b={"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
    ),
    "a hole": packed.raw_file(
        json.dumps(
            {
                "__metadata__": {"onebit": json.dumps(relu())},
                "w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
            }
        ).encode(),
        bytes(8),
    ),
    "a tensor beyond the end": packed.container(
        json.dumps(relu()), TENSOR, w={"dtype": "F32", "shape": [5], "data_offsets": [0, 20]}
    ),
    "offsets the wrong way round": packed.container(
        json.dumps(relu()), TENSOR, w={"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}
    ),
    "a size that overflows": packed.container(
        json.dumps(relu()), TENSOR, w={"dtype": "F32", "shape": [2**62, 4, 4], "data_offsets": [0, 16]}
    ),
    "a shape that is too small": packed.container(
        json.dumps(relu()), TENSOR, w={"dtype": "F32", "shape": [3], "data_offsets": [0, 16]}
    ),
    "an unknown dtype": packed.container(
        json.dumps(relu()), TENSOR, w={"dtype": "F16", "shape": [8], "data_offsets": [0, 16]}
    ),
    "an unknown key": packed.container(
        json.dumps(relu()), TENSOR, w={"dtype": "F32", "shape": [4], "data_offsets": [0, 16], "x": 1}
    ),
    "64-bit words that are no bits": packed.container(json.dumps(relu()), {"w": np.zeros(1, np.uint64)}),
    "floats that are bits": packed.container(json.dumps(relu(bits={"w": [4]})), TENSOR),
    "too few words": packed.container(json.dumps(relu(bits={"w": [65]})), {"w": np.zeros(1, np.uint64)}),
    "too many words": packed.container(json.dumps(relu(bits={"w": [64]})), {"w": np.zeros(2, np.uint64)}),
    "an unused bit that is set": packed.container(json.dumps(relu(bits={"w": [3]})), {"w": np.array([8], np.uint64)}),
    "ternary numbers of floats": packed.container(json.dumps(relu(trits={"w": [4]})), TENSOR),
    "too few ternary bytes": ternary([6], [0]),
    "too many ternary bytes": ternary([5], [0, 0]),
    "a ternary byte that stands for no five numbers": ternary([5], [243]),
    "the last ternary byte": ternary([5], [255]),
    "an unused ternary digit that is not 0": ternary([4], [81]),
    "ternary numbers of nine axes": ternary([1] * 9, [0]),
    "ternary numbers that overflow": ternary([2**40] * 2, [0]),
    "ternary numbers of a negative size": ternary([-5], [0]),
    "a tensor of bits and of ternary numbers": packed.container(
        json.dumps(relu(bits={"w": [0]}, trits={"w": [0]})), {"w": np.zeros(0, np.uint8)}
    ),
    "a ternary output": ternary([5], [0], outputs=["w"]),
    "a ternary state": ternary([5], [0], states=[["w", "w"]]),
    "a ternary operand": ternary([4], [0], nodes=[["concat", ["w", "w"], ["y"], {"axis": 0}]]),
    "a ternary x": ternary([4, 4], [0] * 4, nodes=[["linear", ["w", "w"], ["y"]]]),
    "a cast to ternary": ternary([4], [0], nodes=[["cast", ["w"], ["y"], {"dtype": "ternary"}]]),
    "bits that overflow": packed.container(json.dumps(relu(bits={"w": [2**40] * 2})), {"w": np.zeros(1, np.uint64)}),
    "a truth value of 2": packed.container(json.dumps(relu()), {"w": np.array([2], np.uint8).view(np.bool_)}),
    "a tensor with the name of an input": packed.container(json.dumps(relu()), {"x": np.ones(4, np.float32)}),
    "nine axes": packed.container(json.dumps(relu()), {"w": np.ones([1] * 9, np.float32)}),
}


@pytest.mark.parametrize("name", BROKEN_CONTAINERS)
def test_a_broken_container_is_refused(read, name):
    with pytest.raises(ValueError, match=r"."):
        read(BROKEN_CONTAINERS[name])


def vector(size: int) -> np.ndarray:
    """Ones."""
    return np.ones(size, np.float32)


FORBIDDEN = {
    "channels that do not fit": packed.one_node("conv", IMAGE, {"w": WEIGHT[..., :3]}),
    "groups that do not divide the outputs": packed.one_node(
        "conv", IMAGE, {"w": np.ones((3, 1, 1, 2), np.float32)}, {"groups": 2}
    ),
    "a window larger than the map": packed.one_node("conv", IMAGE, {"w": np.ones((2, 7, 7, 4), np.float32)}),
    "a stride of 0": packed.one_node("conv", IMAGE, {"w": WEIGHT}, {"stride": [0, 1]}),
    "negative padding": packed.one_node("conv", IMAGE, {"w": WEIGHT}, {"padding": [0, 0, 0, -1]}),
    "a pad value of 2": packed.one_node("conv", IMAGE, {"w": WEIGHT}, {"pad_value": 2}),
    "bytes padded with 1": packed.one_node(
        "conv", {"x": ("int8", ["batch", 5, 5, 4])}, {"w": SIGNS}, {"pad_value": 1}
    ),
    "bits with float weights": packed.one_node("conv", BITS, {"w": WEIGHT}),
    "a weight of bytes without sign": packed.one_node("conv", BITS, {"w": SIGNS.astype(np.uint8)}),
    "an empty weight": packed.one_node("linear", X, {"w": np.ones((0, 4), np.float32)}),
    "a weight that is computed": packed.one_node("linear", {**X, "w": ("float32", [3, 4])}),
    "sums that leave int32": packed.one_node(
        "linear", {"x": ("uint8", ["batch", 70000])}, {"w": np.ones((1, 70000), np.int8)}
    ),
    "an affine of another width": packed.one_node("affine", X, {"scale": vector(4), "shift": vector(5)}),
    "an affine of bytes": packed.one_node("affine", {"x": ("int8", [4])}, {"scale": vector(4), "shift": vector(4)}),
    "codes out of range": packed.one_node("quantize", X, {"s": vector(1)}, {"dtype": "uint8"}),
    "a zero point outside": packed.one_node("quantize", X, {"s": vector(1)}, {"zero_point": 5, "high": 4}),
    "two dtypes": packed.one_node("add", {**X, "z": ("int32", ["batch", 4])}),
    "a sum of bytes": packed.one_node("add", {"x": ("int8", [4]), "z": ("int8", [4])}),
    "a quotient of integers": packed.one_node("div", {"x": ("int32", [4]), "z": ("int32", [4])}),
    "shapes that do not broadcast": packed.one_node("add", {**X, "z": ("float32", ["batch", 3])}),
    "a narrowing cast": packed.one_node("cast", {"x": ("int32", [4])}, attributes={"dtype": "int8"}),
    "a cast to bits": packed.one_node("cast", X, attributes={"dtype": "bit"}),
    "a clip upside down": packed.one_node("clip", X, attributes={"low": 1, "high": 0}),
    "an unknown comparison": packed.one_node("compare", {**X, "z": ("float32", [4])}, attributes={"op": "approx"}),
    "logic of floats": packed.one_node("logical_and", {**X, "z": ("float32", [4])}),
    "a reduction of nothing": packed.one_node("reduce", {"x": ("float32", [3, 0])}, attributes={"op": "sum"}),
    "a softmax of a scalar": packed.one_node("softmax", {"x": ("float32", [])}),
    "a window in the padding": packed.one_node(
        "max_pool", IMAGE, attributes={"kernel": [2, 2], "stride": [1, 1], "padding": [2, 0, 0, 0]}
    ),
    "an average of nothing": packed.one_node(
        "avg_pool",
        IMAGE,
        attributes={"kernel": [2, 2], "stride": [1, 1], "padding": [0, 2, 0, 0], "count_include_pad": False},
    ),
    "another number of elements": packed.one_node("reshape", X, attributes={"shape": ["batch", 5]}),
    "a dimension to be guessed": packed.one_node("reshape", X, attributes={"shape": ["batch", -1]}),
    "no permutation": packed.one_node("transpose", X, attributes={"perm": [0, 0]}),
    "an axis that is not there": packed.one_node("concat", {**X, "z": X["x"]}, attributes={"axis": 2}),
    "one input of concat": packed.one_node("concat", X, attributes={"axis": 0}),
    "a slice beyond the end": packed.one_node("slice", X, attributes={"axis": 1, "stop": 5}),
    "a slice of a symbol": packed.one_node("slice", X, attributes={"axis": 0, "start": 1}),
    "padding of a symbol": packed.one_node("pad", X, attributes={"pads": [[1, 0], [0, 0]], "value": 0}),
    "bits padded with 0": packed.one_node("pad", {"x": ("bit", [4])}, attributes={"pads": [[1, 0]], "value": 0}),
    "a broadcast that shrinks": packed.one_node("broadcast_to", X, attributes={"shape": ["batch", 1]}),
    "an index of floats": packed.one_node("embedding", X, {"w": WEIGHT[0, 0]}, order=["w", "x"]),
    "an axis of 2^50": packed.one_node("concat", {"x": ("int8", [2**48])}, attributes={"axis": 0}, order=["x", "x"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_a_kind_forbids_is_refused(read, name):
    with pytest.raises(ValueError, match=r"node 0 \(\w+\): "):
        read(FORBIDDEN[name])


ALLOWED = {
    "a convolution of bits": packed.one_node("conv", BITS, {}, {"pad_value": -1, "padding": [1] * 4}, {"w": SIGNS}),
    "bits with weights of bytes": packed.one_node("conv", BITS, {"w": SIGNS}),
    "the largest sums": packed.one_node(
        "linear", {"x": ("uint8", ["batch", 65793])}, {"w": np.ones((1, 65793), np.int8)}
    ),
    "a scalar": packed.one_node("relu", {"x": ("float32", [])}),
    "an empty axis": packed.one_node("relu", {"x": ("float32", [0, 3])}),
    "a symbolic width": packed.one_node(
        "conv", {"x": ("float32", ["batch", "h", "2*w", 4])}, {"w": WEIGHT}, {"padding": [1, 1, 1, 1]}
    ),
    "attributes of other spellings": packed.one_node("clip", X, attributes={"low": -1, "high": 2.5e0}),
    "a slice to the end": packed.one_node("slice", X, attributes={"axis": 1, "start": 1, "stop": None, "step": 2}),
    "a name in Unicode": packed.one_node("relu", {"Größe 😀": ("float32", [1])}),
    "an escaped name": packed.container(
        '{"format":1,"inputs":[["\\u0078\\ud83d\\ude00","float32",[1]]],"outputs":["y"],'
        '"nodes":[["relu",["x😀"],["y"]]]}',
        {},
    ),
    "a tensor that nobody reads": packed.packed_file(relu(), TENSOR),
    "an input that is the output": packed.packed_file(relu(nodes=[], outputs=["x"]), {}),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_a_kind_allows_is_taken(read, name):
    assert read(ALLOWED[name]).outputs


@pytest.mark.parametrize("scale", [0.0, -0.0, -2.0, 1e-45, np.inf, -np.inf, np.nan])
def test_every_scale_of_quantize_has_a_result(scale):
    data = packed.one_node("quantize", X, {"s": np.array([scale], np.float32)}, {"zero_point": 3})
    x = np.array([[0, -0.0, 1.5, -1e30], [np.inf, -np.inf, np.nan, 2.5]], np.float32)
    results = [reader(data).run(x).tolist() for reader in READERS.values()]
    assert results[0] == results[1]


def test_an_error_names_the_node_and_what_does_not_fit():
    with pytest.raises(ValueError, match=r"node 0 \(conv\): weight has 3 input channels per group, x has 4 / 1$"):
        runtime.Model(FORBIDDEN["channels that do not fit"])


def test_an_error_of_load_names_the_file(tmp_path):
    path = tmp_path / "cut.onebit"
    path.write_bytes(packed.recurrent()[:100])
    with pytest.raises(ValueError, match=r"cut\.onebit is no packed network: the header says it has \d+ bytes"):
        runtime.load(path)
