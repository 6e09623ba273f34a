"""Mutants of packed files, by the grammar of the file: mutant ``i`` of a checkout depends on ``i`` alone."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tests.graphs import random_graph

from onebit import ir
from onebit.core.errors import Unsupported

from . import packed

RANDOM_GRAPHS = 24


class Raw(str):
    """Text that goes into the JSON as it is."""


class Pairs(list):
    """An object as a list of (key, value), so that keys can be there twice."""


def parse(text: str | bytes) -> Any:
    """JSON with objects as :class:`Pairs`."""
    return json.loads(text, object_pairs_hook=Pairs)


def write(tree: Any) -> str:
    """The JSON of what :func:`parse` gave, mutated or not."""
    if isinstance(tree, Raw):
        return str(tree)
    if isinstance(tree, Pairs):
        return "{" + ",".join(f"{write(key)}:{write(value)}" for key, value in tree) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(map(write, tree)) + "]"
    return json.dumps(tree, ensure_ascii=False)


SCALARS: list[Any] = [
    0, 1, -1, 2, 3, 4, 7, 8, 64, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**40, 2**48, 2**62,
    2**63 - 1, 2**63, -(2**63), 10**30, 0.5, -1.5, 1e-300, 1e300, True, False, None, "", "x", "y", "w0", "v0", "batch",
    "12*batch", "2*n", "0*batch", "batch*batch", "*", "n" * 255, "n" * 256, "float32", "int8", "uint8", "int32",
    "int64", "bit", "bool", "float16", "sum", "mean", "eq", [], [0], [1, 1], [2, 2], [0, 0, 0, 0], [1, 1, 1, 1],
    [[0, 0]], ["batch", 1], [[]], Pairs(), Pairs([("low", 0)]), Raw("NaN"), Raw("-Infinity"), Raw("1e999"), Raw("01"),
    Raw("1.0"), Raw("-0"), Raw("1."), Raw(".5"), Raw("+1"), Raw('"\\ud800"'), Raw('"\\u0000"'), Raw('"\\x"'),
    Raw("'x'"), Raw("["), Raw("]"), Raw("}"), Raw(""), Raw("[" * 100 + "]" * 100), Raw("[" * 5000), Raw("nul"),
    Raw("//"), "ternary",
]  # fmt: skip
KINDS = [
    "conv", "linear", "matmul", "affine", "threshold", "sign", "quantize", "cast", "add", "sub", "mul", "div",
    "max", "min", "neg", "abs", "sqrt", "exp", "tanh", "erf", "sigmoid", "relu", "clip", "prelu", "compare",
    "logical_and", "logical_or", "logical_not", "where", "max_pool", "avg_pool", "reduce", "softmax", "layer_norm",
    "batch_norm", "embedding", "reshape", "transpose", "concat", "slice", "pad", "broadcast_to", "nothing",
]  # fmt: skip
KEYS = [
    "format", "inputs", "outputs", "states", "nodes", "bits", "meta", "stride", "padding", "dilation", "groups",
    "pad_value", "low", "high", "zero_point", "dtype", "axis", "shape", "perm", "kernel", "op", "keepdims", "eps",
    "value", "pads", "start", "stop", "step", "class_names", "mean", "std", "producer", "trits", "reuse",
    "__metadata__",
    "data_offsets", "z",
]  # fmt: skip


def places(tree: Any) -> list[tuple[Any, int]]:
    """Every (container, position) below ``tree``; the item of :class:`Pairs` is a (key, value)."""
    found: list[tuple[Any, int]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            for position, item in enumerate(node):
                found.append((node, position))
                waiting.append(item[1] if isinstance(node, Pairs) else item)
    return found


def change_tree(rng: random.Random, tree: Any) -> None:
    """One change somewhere in a JSON tree, in place: of a value, a key, an order, a number of items."""
    found = places(tree)
    if not found:
        return
    node, position = rng.choice(found)
    if rng.random() < 0.5:  # numbers and names are where graphs go wrong quietly
        leaves = [(n, p) for n, p in found if not isinstance(n[p][1] if isinstance(n, Pairs) else n[p], list)]
        node, position = rng.choice(leaves or found)
    is_pair = isinstance(node, Pairs)
    value = node[position][1] if is_pair else node[position]

    def put(new: Any) -> None:
        node[position] = (node[position][0], new) if is_pair else new

    action = rng.randrange(16)
    if action == 0:
        del node[position]
    elif action == 1:
        node.insert(position, node[position])
    elif action == 2:
        other, there = rng.choice(found)
        put(copy.deepcopy(other[there][1] if isinstance(other, Pairs) else other[there]))
    elif action == 3:
        put(copy.deepcopy(rng.choice(SCALARS)))
    elif action == 4 and is_pair:
        node[position] = (rng.choice(KEYS), value)
    elif action == 5 and is_pair:
        node.append((rng.choice(KEYS), copy.deepcopy(rng.choice(SCALARS))))
    elif action == 6:
        other = rng.randrange(len(node))
        node[position], node[other] = node[other], node[position]
    elif isinstance(value, int) and not isinstance(value, bool):
        put(value + rng.choice((-1, 1, -2, 2, 63, 64)) if rng.random() < 0.8 else copy.deepcopy(rng.choice(SCALARS)))
    elif isinstance(value, str) and value in KINDS:
        put(rng.choice(KINDS))
    elif isinstance(value, str):
        strings = [(n[p][1] if isinstance(n, Pairs) else n[p]) for n, p in found]
        put(rng.choice([text for text in strings if isinstance(text, str)]))
    else:
        put(copy.deepcopy(rng.choice(SCALARS)))


ATTRIBUTES: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "cast": lambda rng: {"dtype": rng.choice(("float32", "int8", "uint8", "int32", "int64", "bool", "bit"))},
    "clip": lambda rng: {"low": rng.choice((-1, 0, 0.5)), "high": rng.choice((0, 0.25, 2.5))},
    "compare": lambda rng: {"op": rng.choice(("eq", "ne", "lt", "le", "gt", "ge"))},
    "reduce": lambda rng: {"op": rng.choice(("sum", "mean", "max", "min")), "keepdims": rng.random() < 0.5},
    "transpose": lambda rng: {"perm": rng.sample(range(n := rng.randint(2, 4)), n)},
    "concat": lambda rng: {"axis": rng.randrange(4)},
    "slice": lambda rng: {"axis": rng.randrange(4), "start": rng.randrange(3), "step": rng.randint(1, 3)},
    "pad": lambda rng: {
        "pads": [[rng.randrange(3), rng.randrange(2)] for _ in range(rng.randint(1, 4))],
        "value": rng.choice((-1, 1, 0, 0.5)),
    },
    "max_pool": lambda rng: {
        "kernel": [rng.randint(1, 3), rng.randint(1, 3)],
        "stride": [rng.randint(1, 3), rng.randint(1, 3)],
        "padding": [rng.randrange(3) for _ in range(4)],
        "dilation": [rng.randint(1, 2), rng.randint(1, 2)],
    },
    "avg_pool": lambda rng: {
        "kernel": [rng.randint(1, 3), rng.randint(1, 3)],
        "stride": [rng.randint(1, 3), rng.randint(1, 3)],
        "padding": [rng.randrange(3) for _ in range(4)],
        "count_include_pad": rng.random() < 0.5,
    },
    "conv": lambda rng: {
        "stride": [rng.randint(1, 3), rng.randint(1, 3)],
        "padding": [rng.randrange(3) for _ in range(4)],
        "dilation": [rng.randint(1, 2), rng.randint(1, 2)],
        "pad_value": rng.choice((0, 1, -1)),
    },
    "quantize": lambda rng: {"low": rng.choice((-128, -1, 0)), "high": rng.choice((0, 1, 127)), "zero_point": 0},
    "layer_norm": lambda rng: {"eps": rng.choice((0, 1e-5, 0.5))},
    "broadcast_to": lambda rng: {"shape": [rng.choice(("batch", 3, 4)), rng.randint(1, 4), 4]},
    "reshape": lambda rng: {
        "shape": [rng.choice(("batch", "2*batch", 1)), rng.choice((4, 2, 20, 64)), rng.randint(1, 4)]
    },
}
ARITY = {
    "conv": 2, "linear": 2, "matmul": 2, "affine": 3, "threshold": 3, "quantize": 2, "add": 2, "sub": 2, "mul": 2,
    "div": 2, "max": 2, "min": 2, "prelu": 2, "compare": 2, "logical_and": 2, "logical_or": 2, "where": 3,
    "layer_norm": 3, "embedding": 2, "concat": 2,
}  # fmt: skip


def add_node(rng: random.Random, graph: Any, constants: list[str]) -> None:
    """Put a new node into the graph, in place: it reads what was there before, and its result is an output."""
    fields = dict(graph)
    nodes = fields["nodes"]
    at = rng.randint(0, len(nodes))
    names = [entry[0] for entry in fields["inputs"]] + [name for node in nodes[:at] for name in node[2]] * 2 + constants
    kind = rng.choice(KINDS)
    node: list[Any] = [kind, [rng.choice(names) for _ in range(ARITY.get(kind, 1))], [f"new{len(nodes)}"]]
    if kind in ATTRIBUTES:
        node.append(Pairs(ATTRIBUTES[kind](rng).items()))
    nodes.insert(at, node)
    fields["outputs"].append(node[2][0])


def change_bytes(rng: random.Random, data: bytes) -> bytes:
    """One change of bytes: a bit, a byte, a cut, a piece twice, a piece gone, an extreme 64-bit number."""
    action, at = rng.randrange(6), rng.randrange(len(data) + 1)
    until = min(len(data), at + rng.randrange(1, 40))
    if action == 0 and at < len(data):
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if action == 1:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if action == 2:
        return data[:at]
    if action == 3:
        return data[:until] + data[at:]
    if action == 4:
        return data[:at] + data[until:]
    number = rng.choice((0, 1, 7, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1))
    at = rng.choice((0, at))
    return data[:at] + struct.pack("<Q", number) + data[at + 8 :]


def change_edges(rng: random.Random, graph: Any) -> None:
    """One change of what reads what, in place: cycles, use before definition, names twice, nodes out of order."""
    fields = dict(graph)
    nodes = fields["nodes"]
    if not nodes:
        return
    action, one, other = rng.randrange(7), rng.choice(nodes), rng.choice(nodes)
    if action == 0 and one[1]:  # its own result, or that of any node: a cycle or a forward reference
        one[1][rng.randrange(len(one[1]))] = other[2][0]
    elif action == 1:
        one[2][0] = other[2][0]
    elif action == 2:
        one[2][0] = rng.choice([entry[0] for entry in fields["inputs"]] or ["x"])
    elif action == 3:
        nodes.insert(rng.randint(0, len(nodes)), nodes.pop(rng.randrange(len(nodes))))
    elif action == 4:
        nodes.reverse()
    elif action == 5:
        fields["outputs"].extend([other[2][0]] * rng.choice((1, 2, 5000)))
    elif fields.get("states"):
        rng.choice(fields["states"])[1] = other[2][0]
    else:
        graph.append(("states", [[name, other[2][0]] for name in one[1][:1]]))


def change_layout(rng: random.Random, header: Any, data: bytes) -> bytes:
    """One change of where the tensors lie and what they are, in place; the data that go with it."""
    entries = [entry for name, entry in header if name != "__metadata__"]
    if not entries:
        return data + b"\0"
    position = rng.randrange(len(entries))
    fields = dict(entries[position])
    offsets, shape = fields["data_offsets"], fields["shape"]

    def put(key: str, value: Any) -> None:
        entries[position][[k for k, _ in entries[position]].index(key)] = (key, value)

    action = rng.randrange(10)
    if action == 0:  # overlap, gap, or both
        shift = rng.choice((-8, -1, 1, 8, 64))
        put("data_offsets", [offsets[0] + shift, offsets[1] + shift])
    elif action == 1:
        put("data_offsets", dict(rng.choice(entries))["data_offsets"])
    elif action == 2:
        put("data_offsets", [offsets[1], offsets[0]])
    elif action == 3:  # another dtype, perhaps of the same size
        put("dtype", rng.choice(("F32", "I8", "U8", "I32", "I64", "U64", "BOOL", "F64", "BF16", "f32", "", "F32 ")))
    elif action == 4:  # the same number of elements
        put("shape", [1, *shape] if rng.random() < 0.5 else [*shape[::-1]])
    elif action == 5:
        put("shape", [*shape, *rng.choice(([0], [2**62], [2**32, 2**32], [-1], [2**63]))])
    elif action == 6:  # a name that is there, or that no file may have
        name = rng.choice((header[rng.randrange(len(header))][0], "", "é" * 128, "\n", "\x1b[2J", "x", "__metadata__"))
        header[rng.randrange(len(header))] = (name, entries[position])
    elif action == 7:  # bytes that no tensor claims, before and after
        return rng.choice((b"\0" * 8 + data, data + b"\0" * 8, data[8:], data[:-8]))
    elif action == 8:
        header.append((f"t{rng.randrange(9)}", Pairs([*fields.items()])))
    else:
        until = len(data)
        header.append(("more", Pairs([("dtype", "I8"), ("shape", [8]), ("data_offsets", [until, until + 8])])))
        return data + bytes(8)
    return data


def good_files() -> dict[str, bytes]:
    """The files that mutants are made of: small ones of every kind, a trained network, random graphs."""
    files = {name: make() for name, make in packed.CORPUS.items()}
    files["trees"] = packed.trees()
    files["digits"] = (Path(__file__).parent / "digits.onebit").read_bytes()
    for seed in range(RANDOM_GRAPHS):
        graph, _ = random_graph(np.random.default_rng([21, seed]), batch_norm=False)
        with contextlib.suppress(Unsupported):  # a computed weight, which a file cannot hold
            files[f"random {seed}"] = ir.dumps(graph)
    return files


@cache
def seeds() -> dict[str, tuple[str, str, bytes]]:
    """Name to (header without metadata, graph, data) of the good files."""
    found = {}
    for name, file in good_files().items():
        (length,) = struct.unpack_from("<Q", file)
        header = json.loads(file[8 : 8 + length])
        text = header.pop("__metadata__")["onebit"]
        found[name] = (json.dumps(header), text, file[8 + length :])
    return found


def mutant(index: int) -> bytes:
    """The bytes of mutant ``index``."""
    rng = random.Random(index)
    name = rng.choice(list(seeds()))
    header_text, graph_text, data = seeds()[name]
    header, graph = parse(header_text), parse(graph_text)
    where = rng.random()
    if rng.random() < 0.5:
        for _ in range(rng.randint(1, 4)):
            add_node(rng, graph, [name for name, _ in header])
    if where < 0.1:
        data = change_layout(rng, header, data)
    elif where < 0.25:
        change_edges(rng, graph)
    else:
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            change_tree(rng, header if where < 0.35 else graph)
    if data and (0.85 < where < 0.9 or (name == "trees" and rng.random() < 0.5)):
        data = change_bytes(rng, data)
    header.insert(rng.choice((0, len(header))), ("__metadata__", Pairs([("onebit", write(graph))])))
    file = packed.raw_file(write(header).encode(errors="surrogatepass"), data)
    if where > 0.9:
        file = change_bytes(rng, file)
    return file
