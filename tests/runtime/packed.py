"""Packed files put together byte by byte, good ones and broken ones, without any reader or writer of the package."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np

STORED = dict(float32="F32", int8="I8", uint8="U8", int32="I32", int64="I64", uint64="U64", bool="BOOL")


def pack_bits(values: np.ndarray) -> np.ndarray:
    """-1/+1 of any shape to the 64-bit words of the file: element i is bit i % 64 of word i // 64, set for +1."""
    flat = np.zeros(-(-values.size // 64) * 64, np.uint8)
    flat[: values.size] = values.reshape(-1) > 0
    return np.packbits(flat, bitorder="little").view("<u8")


def tree_words(kernels: np.ndarray, parents: list[int], low: int = 2, **changed: int) -> np.ndarray:
    """-1/+1 kernels (C, ...) as a tree of differences; ``changed`` replaces the fields ``count`` and ``low_bits``, adds
    ``more`` words, or sets one bit ``dirty`` after the last."""
    rows = kernels.reshape(len(kernels), -1) > 0
    places = np.flatnonzero([row if up == i else row ^ rows[up] for i, (row, up) in enumerate(zip(rows, parents))])
    gaps = [int(here) - int(before) - 1 for before, here in zip([-1, *places], places)]
    number = lambda value, width: format(value, f"0{width}b")[::-1] if width else ""  # noqa: E731
    stream = number(changed.get("count", len(gaps)), 48) + number(changed.get("low_bits", low), 16)
    stream += "".join(number(parent, (len(rows) - 1).bit_length()) for parent in parents)
    stream += "".join(number(gap % 2**low, low) for gap in gaps) + "".join("0" * (gap >> low) + "1" for gap in gaps)
    words = max(math.ceil(len(stream) / 64), math.ceil(math.ceil(rows.size / 64) / 4)) + changed.get("more", 0)
    stream = stream.ljust(64 * words, "0")
    if changed.get("dirty"):
        stream = stream[:-1] + "1"
    return np.array([int(stream[at : at + 64][::-1], 2) for at in range(0, 64 * words, 64)], np.uint64)


def trees(words: np.ndarray | None = None, shape: tuple[int, ...] = (5, 3, 3, 11), **more: Any) -> bytes:
    """A convolution of bits whose five kernels of 99 entries are stored as a tree."""
    if words is None:
        words = tree_words(similar_kernels(), SIMILAR)
    nodes = [["conv", ["x", "w"], ["y"], {"padding": [1, 1, 1, 1], "pad_value": 1}]]
    document = {**graph([["x", "bit", ["batch", 4, 4, 11]]], nodes, ["y"]), "reuse": {"w": list(shape)}, **more}
    return container(json.dumps(document, separators=(",", ":")), {"w": words})


SIMILAR = [1, 3, 3, 3, 0]


def similar_kernels() -> np.ndarray:
    """Five kernels of 99 bits, each a few flips from its parent in ``SIMILAR``."""
    rng = np.random.default_rng(7)
    kernels = np.zeros((5, 99), np.int8)
    kernels[3] = rng.choice(np.array([-1, 1], np.int8), 99)
    for child in (1, 2, 0, 4):
        kernels[child] = kernels[SIMILAR[child]] * np.where(rng.random(99) < 0.1, -1, 1)
    return kernels.reshape(5, 3, 3, 11)


def container(text: str | None, tensors: dict[str, np.ndarray], **more: Any) -> bytes:
    """A safetensors file with ``text`` as the metadata ``onebit``; ``more`` replaces or adds entries of the header."""
    header: dict[str, Any] = {} if text is None else {"__metadata__": {"onebit": text}}
    data = b""
    for name, array in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": STORED[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    header.update(more)
    return raw_file(json.dumps(header, separators=(",", ":")).encode(), data)


def raw_file(header: bytes, data: bytes) -> bytes:
    """Length, header as it is, data as they are."""
    return struct.pack("<Q", len(header)) + header + data


def packed_file(
    graph: dict[str, Any], tensors: dict[str, np.ndarray], bits: dict[str, np.ndarray] | None = None
) -> bytes:
    """A packed file; ``bits`` are -1/+1 arrays that are stored as packed bits."""
    stored = dict(tensors)
    graph = dict(graph)
    if bits:
        graph["bits"] = {name: list(array.shape) for name, array in bits.items()}
        stored.update({name: pack_bits(array) for name, array in bits.items()})
    return container(json.dumps(graph, separators=(",", ":"), allow_nan=False), stored)


def graph(inputs: list, nodes: list, outputs: list[str], **more: Any) -> dict[str, Any]:
    """The JSON object of a graph in format 1."""
    return {"format": 1, "inputs": inputs, "outputs": outputs, "nodes": nodes, **more}


def one_node(
    kind: str,
    inputs: dict[str, tuple[str, list]],
    constants: dict[str, np.ndarray] | None = None,
    attributes: dict[str, Any] | None = None,
    bits: dict[str, np.ndarray] | None = None,
    order: list[str] | None = None,
) -> bytes:
    """A file whose graph is one node ``kind(*inputs, *constants, *bits) -> y`` (or the names in ``order``)."""
    names = order or [*inputs, *(constants or {}), *(bits or {})]
    node = [kind, names, ["y"], *([attributes] if attributes else [])]
    return packed_file(graph([[n, d, s] for n, (d, s) in inputs.items()], [node], ["y"]), constants or {}, bits)


def convolution() -> bytes:
    """A small network of bits as `pack` writes it: float stem, two binary convolutions, pooling, an int8 head."""
    rng = np.random.default_rng(0)
    f32 = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    sign = lambda *shape: rng.choice(np.array([-1, 1], np.int8), shape)  # noqa: E731
    pad = {"padding": [1, 1, 1, 1]}
    nodes = [
        ["transpose", ["x"], ["v0"], {"perm": [0, 2, 3, 1]}],
        ["conv", ["v0", "w0"], ["v1"], {**pad, "stride": [2, 2]}],
        ["affine", ["v1", "s0", "b0"], ["v2"]],
        ["sign", ["v2"], ["v3"]],
        ["conv", ["v3", "w1"], ["v4"], {**pad, "pad_value": -1}],
        ["threshold", ["v4", "t1", "d1"], ["v5"]],
        ["max_pool", ["v5"], ["v6"], {"kernel": [2, 2], "stride": [2, 2]}],
        ["conv", ["v6", "w2"], ["v7"], {**pad, "groups": 2}],
        ["cast", ["v7"], ["v8"], {"dtype": "float32"}],
        ["prelu", ["v8", "p2"], ["v9"]],
        ["avg_pool", ["v9"], ["v10"], {"kernel": [2, 2], "stride": [1, 1], "count_include_pad": False}],
        ["reshape", ["v10"], ["v11"], {"shape": ["batch", 6]}],
        ["quantize", ["v11", "s3"], ["v12"], {"low": -128}],
        ["linear", ["v12", "w3"], ["v13"]],
        ["affine", ["v13", "s4", "b4"], ["y"]],
    ]
    meta = {"class_names": ["a", "b", "c"], "mean": [0.5], "std": [0.25], "producer": "onebit 0.1.0"}
    tensors = {
        "w0": f32(4, 3, 3, 1), "s0": f32(4), "b0": f32(4), "t1": rng.integers(-9, 9, 4).astype(np.int32), "p2": f32(6),
        "s3": np.array([0.1], np.float32), "w3": rng.integers(-127, 128, (3, 6)).astype(np.int8),
        "s4": f32(3), "b4": f32(3),
    }  # fmt: skip
    bits = {"w1": sign(4, 3, 3, 4), "d1": sign(4), "w2": sign(6, 3, 3, 2)}
    return packed_file(graph([["x", "float32", ["batch", 1, 8, 8]]], nodes, ["y"], meta=meta), tensors, bits)


def recurrent() -> bytes:
    """Two inputs, two outputs, a float and a bit state, symbols with coefficients."""
    weight = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    bias = np.array([[0.5, -0.5, 0.25]], np.float32)
    nodes = [
        ["linear", ["x", "w"], ["v0"]],
        ["add", ["v0", "h"], ["v1"]],
        ["tanh", ["v1"], ["v2"]],
        ["reduce", ["v2"], ["v3"], {"op": "mean", "keepdims": True}],
        ["slice", ["z"], ["v4"], {"axis": 0, "step": 2}],
        ["concat", ["v4", "v4"], ["v5"], {"axis": 0}],
        ["mul", ["v5", "bias"], ["v6"]],
        ["sign", ["v2"], ["v7"]],
        ["transpose", ["z"], ["v8"], {"perm": [1, 0]}],
    ]
    inputs = [["x", "float32", [1, 4]], ["z", "float32", ["2*n", 1]]]
    states = [["h", "v2"], ["g", "v7"]]
    tensors = {"w": weight, "h": np.zeros((1, 3), np.float32), "bias": bias}
    bits = {"g": np.array([[1, -1, 1]], np.int8)}
    return packed_file(graph(inputs, nodes, ["v3", "v6"], states=states), tensors, bits)


def everything() -> bytes:
    """One node of every kind that the two others do not have."""
    rng = np.random.default_rng(1)
    f32 = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    nodes: list[list] = [
        ["embedding", ["table", "tokens"], ["e"]],
        ["layer_norm", ["e", "lw", "lb"], ["v0"], {"eps": 1e-5}],
    ]
    last = "v0"
    for kind in ("neg", "abs", "sqrt", "exp", "tanh", "erf", "sigmoid", "relu", "softmax"):
        nodes.append([kind, [last], [f"v_{kind}"]])
        last = f"v_{kind}"
    for kind in ("sub", "div", "max", "min"):
        nodes.append([kind, [last, "v0"], [f"v_{kind}"]])
        last = f"v_{kind}"
    nodes += [
        ["clip", [last], ["c0"], {"low": -1.5, "high": 2}],
        ["compare", ["c0", "zero"], ["c1"], {"op": "gt"}],
        ["logical_not", ["c1"], ["c2"]],
        ["logical_and", ["c1", "c2"], ["c3"]],
        ["logical_or", ["c3", "mask"], ["c4"]],
        ["where", ["c4", "c0", "zero"], ["c5"]],
        ["transpose", ["c5"], ["c6"], {"perm": [0, 2, 1]}],
        ["matmul", ["c5", "c6"], ["c7"]],
        ["slice", ["c7"], ["c8"], {"axis": 2, "start": 1, "stop": 4, "step": 2}],
        ["pad", ["c8"], ["c9"], {"pads": [[0, 0], [1, 0], [0, 2]], "value": 0.5}],
        ["broadcast_to", ["row"], ["c10"], {"shape": ["batch", 6, 4]}],
        ["concat", ["c9", "c10"], ["y"], {"axis": 2}],
        ["add", ["tokens", "tokens"], ["twice"]],
    ]
    tensors = {
        "table": f32(7, 4), "lw": f32(4), "lb": f32(4), "zero": np.zeros(1, np.float32), "row": f32(1, 4),
        "mask": np.array([True, False, True, False]),
    }  # fmt: skip
    return packed_file(graph([["tokens", "int64", ["batch", 5]]], nodes, ["y", "twice"]), tensors)


CORPUS = {"convolution": convolution, "recurrent": recurrent, "everything": everything}
