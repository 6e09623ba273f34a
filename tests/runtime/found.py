"""Cases that once hung, crashed, took too much memory or said nothing useful, and the sentence that they end with now.

``FOUND`` is name -> (bytes, what the engine says, what the interpreter says); None where the file is good.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from . import hostile, packed

LINE = [["x", "float32", [4]]]


def graph(**more: Any) -> dict[str, Any]:
    """The smallest graph, with entries replaced."""
    return {**packed.graph(LINE, [["relu", ["x"], ["y"]]], ["y"]), **more}


def file(**more: Any) -> bytes:
    """The file of :func:`graph`."""
    return packed.container(json.dumps(graph(**more)), {})


def pool(kind: str = "max_pool", **attributes: Any) -> bytes:
    """A pool of one image of 2 x 2 pixels."""
    settings = {"kernel": [2, 2], "stride": [1, 1], **attributes}
    return packed.one_node(kind, {"x": ("float32", [1, 2, 2, 1])}, attributes=settings)


NEWER = "it has format version 2, this version of onebit reads 1: update onebit, or pack the network again with this "
NO_TAP = "node 0 (max_pool): a window along the "
FOUND: dict[str, tuple[bytes, str | None, str | None]] = {
    # What a later version has more is not judged: its version is what is wrong.
    "a later version with other parts": (
        file(format=2, kernels={}),
        f"{NEWER}version",
        f"{NEWER}version",
    ),
    # One loop over 2^48 rows of no columns.
    "bits of 2^48 rows without a column": (hostile.FILES["bits without a column"](1), None, None),
    "a constant of 2^48 rows without a column": (
        packed.container(
            json.dumps(packed.graph([], [["softmax", ["w"], ["y"]], ["sign", ["w"], ["z"]]], ["z"])),
            {},
            w={"dtype": "F32", "shape": [2**48, 0], "data_offsets": [0, 0]},
        ),
        "node 0 (softmax): the last axis of x is empty: float32 (281474976710656, 0)",
        "node 0 (softmax): x must have a last axis that is not empty, got float32 (281474976710656, 0)",
    ),
    # The square of the number of keys.
    "the last of many keys twice": (
        hostile.FILES["many keys, the last one twice"](300),
        "the graph, byte 2515: the key 'v12b' occurs twice",
        "the graph is not valid JSON: the key 'v12b' is given twice",
    ),
    # The square of the number of quotes, in a regular expression.
    "escaped quotes without an end": (
        hostile.FILES["escaped quotes without an end"](50),
        "the graph, byte 101: a string without its end",
        "the graph is not valid JSON: Unterminated string starting at: line 1 column 1 (char 0)",
    ),
    "a bracket in a string without an end": (
        packed.container('{"a":"' + "[" * 50, {}),
        "the graph, byte 56: a string without its end",
        "the graph is not valid JSON: Unterminated string starting at: line 1 column 6 (char 5)",
    ),
    # Outputs times outputs, and memory that no limit counted.
    "more outputs than a graph may have": (
        file(outputs=["y"] * 4097),
        "a graph has at most 4096 outputs, got 4097",
        "a graph has at most 4096 outputs, got 4097",
    ),
    # States times nodes.
    "more states than a graph may have": (
        hostile.states(4097),
        "a graph has at most 4096 states, got 4097",
        "a graph has at most 4096 states, got 4097",
    ),
    # 65535 starts tried one by one, for each node.
    "a window between dilated taps": (
        pool(kernel=[2, 1], dilation=[65535, 1], padding=[10, 65535, 0, 0]),
        f"{NO_TAP}height has no tap inside the map",
        "node 0 (max_pool): a window along the height of x has no tap inside the map: use less padding",
    ),
    "dilated taps that meet the map": (pool(kernel=[3, 1], dilation=[2, 1], padding=[2, 2, 0, 0]), None, None),
    # 2^32 taps in the padding, each looked at.
    "a kernel of 65535 x 65535": (
        pool("avg_pool", kernel=[65535, 65535], padding=[65534, 65534, 65534, 65534], stride=[65535, 65535]),
        None,
        None,
    ),
    # Text of a file in an error: more than a line, or commands for the terminal.
    "a name of two lines": (
        file(outputs=["a\nb\x1b[2J\x7f\x85"]),
        "output 'a\\x0ab\\x1b[2J\\x7f\\x85' is not defined before it is used",
        "output 'a\\nb\\x1b[2J\\x7f\\x85' is defined nowhere",
    ),
    "a kind of two lines": (
        file(nodes=[["re\nlu", ["x"], ["y"]]]),
        "node 0 (?): unknown kind 're\\x0alu'",
        "node 0 (re\\nlu): unknown kind 're\\nlu' (did you mean 'relu'?); known: ",
    ),
    "attributes of a megabyte": (
        packed.one_node("transpose", {"x": ("float32", [4])}, attributes={"perm": list(range(1000))}),
        "node 0 (transpose): attribute perm must have at most 8 entries, got 1000",
        "node 0 (transpose): perm must hold each of 0..0 once for float32 (4,), got [0, 1, 2, 3, 4, 5, ...]",
    ),
    "a meta of a megabyte": (
        file(meta=[0] * 500_000),
        "meta must be an object",
        "meta must be an object, got [0, 0, 0, 0, 0, 0, ...]",
    ),
    "a tensor with a name for the terminal": (
        packed.container(json.dumps(graph()), {"\x1b[2J": np.ones(1, np.float32)}, **{"\x1b[2J": {
            "dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}),
        "tensor '\\x1b[2J': data_offsets [4, 8] lie outside the 4 bytes of data",
        "not a valid safetensors file: Error while deserializing: invalid offset for tensor `\\x1b[2J`",
    ),
    # Products that leave int64, in shapes and in weights.
    "a shape of 2^62 rows": (
        packed.container(json.dumps(graph()), {}, w={"dtype": "I8", "shape": [2**62, 4], "data_offsets": [0, 0]}),
        "a size is too large: 4611686018427387904 * 4 leaves int64",
        "not a valid safetensors file: Error while deserializing: overflow computing buffer size from shape and/or ",
    ),
    # One reader's limit that the other did not have.
    "a symbol of 256 letters": (
        file(inputs=[["x", "float32", ["n" * 256]]]),
        "input 'x': a dimension must be an integer of at least 0, or symbols such as 'batch' or '12*batch', got 'nnn",
        "input 'x': a dimension must be an integer or a string such as '12*batch', got 'nnn",
    ),
    "a symbol of 255 letters": (file(inputs=[["x", "float32", ["n" * 255]]]), None, None),
    "a cycle": (
        file(nodes=[["relu", ["z"], ["y"]], ["relu", ["y"], ["z"]]]),
        "node 0 (relu): input 'z' is not defined before it is used",
        "node 0 (relu): input 'z' is not defined before it",
    ),
    "a name for two values": (
        file(nodes=[["relu", ["x"], ["y"]], ["abs", ["x"], ["y"]]]),
        "node 1 (abs): the name 'y' is defined twice",
        "node 1 (abs): the name 'y' is given twice",
    ),
}  # fmt: skip
