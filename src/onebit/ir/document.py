"""The JSON of a packed file: the graph without its tensors. ``docs/file-format.md`` is its definition."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from onebit.core.errors import shown
from onebit.core.registry import unknown
from onebit.ir import dim as dims
from onebit.ir.graph import Graph, Node
from onebit.ir.kind import registry
from onebit.ir.types import TensorType

FORMAT = 1
MOST_NESTED = 16
# A string (also one without its end: it hides what follows), or a bracket. Possessive: no text makes it go back.
PIECE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[][{}]', re.DOTALL)
#: Tensors that a file holds packed, each under the key that says how.
PACKED = ("bits", "trits", "reuse")
REQUIRED = ("format", "inputs", "outputs", "nodes")
OPTIONAL = ("states", *PACKED, "meta")
LARGEST = float(np.finfo(np.float64).max)
META = ("class_names", "mean", "std", "producer")


# Writing


def write(graph: Graph, reuse: Collection[str] = ()) -> str:
    """The compact JSON of a graph whose names are those of the file; ``reuse`` names the bits stored as trees."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "inputs": [[name, given[0], list(map(dims.canonical, given[1]))] for name, given in graph.inputs.items()],
        "outputs": graph.outputs,
    }
    if graph.states:
        document["states"] = [[name, value] for name, value in graph.states.items()]
    document["nodes"] = [_write_node(node) for node in graph.nodes]
    for key, names in zip(PACKED, (graph.bits - set(reuse), graph.trits, reuse)):
        if names:
            document[key] = {name: list(graph.tensors[name].shape) for name in graph.tensors if name in names}
    if graph.meta:
        check_meta(graph.meta)
        document["meta"] = graph.meta
    return json.dumps(document, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _write_node(node: Node) -> list[Any]:
    given = registry[node.kind].given(node.attributes)
    return [node.kind, list(node.inputs), list(node.outputs), *([given] if given else [])]


def shorten(graph: Graph) -> Graph:
    """The same graph with short names and without constants that nothing reads.

    Constants are ``w0, w1, ...`` and values ``v0, v1, ...`` in the order of their first use; inputs and states keep
    their names.
    """
    names = {name: name for name in (*graph.inputs, *graph.states)}
    taken = set(names)

    def rename(letter: str, old: list[str]) -> None:
        number = 0
        for name in old:
            while f"{letter}{number}" in taken:
                number += 1
            names[name] = f"{letter}{number}"
            number += 1

    read = [name for node in graph.nodes for name in node.inputs] + graph.outputs + list(graph.states.values())
    constants = [name for name in dict.fromkeys(read) if graph.is_constant(name)]
    rename("w", constants)
    rename("v", [name for node in graph.nodes for name in node.outputs])
    return Graph(
        graph.inputs,
        [names[name] for name in graph.outputs],
        [
            Node(
                node.kind,
                tuple(names[name] for name in node.inputs),
                tuple(names[name] for name in node.outputs),
                node.attributes,
                node.path,
            )
            for node in graph.nodes
        ],
        {names[name]: graph.tensors[name] for name in (*graph.states, *constants)},
        {names[name] for name in graph.bits if name in names},
        {name: names[value] for name, value in graph.states.items()},
        graph.meta,
        {names[name] for name in graph.trits if name in names},
    )


# Reading


def parse(text: str, what: str) -> Any:
    """Strict JSON: no duplicate keys, no NaN, integers of int64, finite numbers, not deep; else ``ValueError``."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise ValueError(f"the key {shown(twice)} is given twice")
        return found

    def finite(number: str) -> float:
        if not math.isfinite(float(number)):
            raise ValueError(f"the number {number[:40]} is not finite")
        return float(number)

    def whole(number: str) -> int:
        if len(number) > 20 or not -(2**63) <= int(number) < 2**63:
            raise ValueError(f"the integer {number[:40]} does not fit int64")
        return int(number)

    try:
        _expect(_depth(text) <= MOST_NESTED, f"{what} is nested deeper than {MOST_NESTED}")
        return json.loads(text, object_pairs_hook=unique, parse_float=finite, parse_int=whole, parse_constant=finite)
    except ValueError as error:
        raise ValueError(f"{what} is not valid JSON: {error}") from None


def _depth(text: str) -> int:
    """How deep lists and objects are nested in a JSON text."""
    depth = deepest = 0
    for piece in PIECE.finditer(text):
        first = text[piece.start()]
        if first != '"':
            depth += 1 if first in "[{" else -1
            deepest = max(deepest, depth)
    return deepest


def read(text: str, tensors: Mapping[str, np.ndarray]) -> tuple[Graph, dict[str, dict[str, tuple[int, ...]]]]:
    """The graph, and by key of :data:`PACKED` the true shapes of what is in ``tensors`` as it is stored.

    Only the form is checked here; :meth:`Graph.types` checks the rest.
    """
    document = parse(text, "the graph")
    _expect(isinstance(document, dict), "the graph must be an object")
    _check_version(document.get("format"))
    for key in document:
        _expect(key in REQUIRED or key in OPTIONAL, unknown("key", key, (*REQUIRED, *OPTIONAL)))
    for key in REQUIRED:
        _expect(key in document, f"the graph has no {key!r}")
    graph = Graph(tensors=dict(tensors))
    for entry in _list(document["inputs"], "inputs"):
        listed = isinstance(entry, list) and len(entry) == 3
        _expect(listed, f"an input must be [name, dtype, shape], got {shown(entry)}")
        _expect(isinstance(entry[0], str), f"the name of an input must be a text, got {shown(entry[0])}")
        _expect(isinstance(entry[2], list), f"the shape of an input must be a list, got {shown(entry[2])}")
        _expect(entry[0] not in graph.inputs, f"the name {shown(entry[0])} is given twice")
        graph.inputs[entry[0]] = TensorType(entry[1], tuple(entry[2]))
    graph.outputs = _names(document["outputs"], "outputs")
    for entry in _list(document["nodes"], "nodes"):
        graph.nodes.append(_read_node(entry))
    for entry in _list(document.get("states", []), "states"):
        names = _names(entry, "a state")
        _expect(len(names) == 2, f"a state must be [name, replacement], got {shown(entry)}")
        _expect(names[0] not in graph.states, f"the state {shown(names[0])} is given twice")
        graph.states[names[0]] = names[1]
    shapes = {key: _shapes(document, key, tensors) for key in PACKED}
    for one, other in itertools.combinations(PACKED, 2):
        for name in shapes[one].keys() & shapes[other].keys():
            raise ValueError(f"tensor {shown(name)} is in {one} and in {other}")
    for name in shapes["reuse"].keys() & graph.states.keys():
        raise ValueError(f"state {shown(name)} must not be in reuse")
    graph.bits, graph.trits = {*shapes["bits"], *shapes["reuse"]}, set(shapes["trits"])
    graph.meta = document.get("meta", {})
    check_meta(graph.meta)
    return graph, shapes


def _shapes(document: Mapping[str, Any], key: str, tensors: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """The true shapes of the tensors that the file holds packed."""
    given = document.get(key, {})
    _expect(isinstance(given, dict), f"{key} must be an object")
    for name, shape in given.items():
        _expect(name in tensors, f"{key} name {shown(name)}, which is no tensor of the file")
        _expect(
            isinstance(shape, list)
            and len(shape) <= 8
            and all(type(size) is int and 0 <= size <= dims.LARGEST for size in shape),
            f"the shape of the {key} {shown(name)} must be a list of at most 8 integers, got {shown(shape)}",
        )
    return {name: tuple(shape) for name, shape in given.items()}


def _check_version(version: Any) -> None:
    """The version comes first: what else a later one has is not ours to judge."""
    _expect(type(version) is int and version >= FORMAT, f"format must be {FORMAT}, got {shown(version)}")
    _expect(
        version == FORMAT,
        f"it has format version {version}, this version of onebit reads {FORMAT}: update onebit, or pack the network "
        "again with this version",
    )


def _read_node(entry: Any) -> Node:
    _expect(
        isinstance(entry, list) and len(entry) in (3, 4) and isinstance(entry[0], str),
        f"a node must be [kind, inputs, outputs] or [kind, inputs, outputs, attributes], got {shown(entry)}",
    )
    attributes = entry[3] if len(entry) == 4 else {}
    _expect(isinstance(attributes, dict), f"attributes must be an object, got {shown(attributes)}")
    return Node(
        entry[0], tuple(_names(entry[1], "inputs of a node")), tuple(_names(entry[2], "outputs of a node")), attributes
    )


def check_meta(meta: Any) -> None:
    """``ValueError`` unless ``meta`` holds what a packed file may hold."""
    _expect(isinstance(meta, dict), f"meta must be an object, got {shown(meta)}")
    for key, value in meta.items():
        _expect(key in META, unknown("key of meta", key, META))
        if key == "producer":
            _expect(isinstance(value, str), f"meta producer must be a text, got {shown(value)}")
        elif key == "class_names":
            _expect(
                isinstance(value, list) and all(isinstance(name, str) for name in value),
                f"meta class_names must be a list of texts, got {shown(value)}",
            )
        else:
            _expect(
                isinstance(value, list)
                and all(type(number) in (int, float) and abs(number) <= LARGEST for number in value),
                f"meta {key} must be a list of finite numbers, got {shown(value)}",
            )
    _expect(
        len(meta.get("mean", [])) == len(meta.get("std", [])), "meta mean and std must have one entry a channel each"
    )
    _expect(all(number > 0 for number in meta.get("std", [])), "meta std must be above 0")


def _list(value: Any, what: str) -> list[Any]:
    _expect(isinstance(value, list), f"{what} must be a list, got {shown(value)}")
    return value


def _names(value: Any, what: str) -> list[str]:
    names = _list(value, what)
    for name in names:
        _expect(isinstance(name, str), f"{what} must be names, got {shown(name)}")
    return names


def _expect(condition: bool, text: str) -> None:
    if not condition:
        raise ValueError(text)
