"""What a case covers, as facts: a group and what was met in it, such as ``("cast", "bit to int8")``."""

from __future__ import annotations

import collections
from collections.abc import Iterator

import numpy as np
from tests.graphs.case import Case
from tests.graphs.checks import changed

from onebit.ir import Graph, Node, TensorType, passes, registry
from onebit.ir import dim as dims
from onebit.ir.kinds.arithmetic import TWO_OPERANDS

Fact = tuple[str, str]
MOVES = ("reshape", "transpose", "slice", "concat", "broadcast_to")
NUMBERS = ("NaN", "infinity", "-0.0", "denormal")


def facts(case: Case) -> Iterator[Fact]:
    """What one case covers, each fact once or more."""
    graph, types = case.graph, case.graph.types()
    for node in graph.nodes:
        yield "kind", node.kind
        yield from _of_node(graph, node, types)
    yield from _of_graph(graph, types)
    yield from _of_numbers(case)
    for one in dict.fromkeys(passes.PASSES):
        result = one(graph)
        if changed(graph, result):
            yield "pass", one.__name__
            yield from _of_pass(one.__name__, graph, result, types)


def _of_node(graph: Graph, node: Node, types: dict[str, TensorType]) -> Iterator[Fact]:
    given = [types[name] for name in node.inputs]
    attributes = registry[node.kind].complete(node.attributes)
    kind, first = node.kind, given[0]
    if len(set(node.inputs)) < len(node.inputs):
        yield "reading", "one value twice by one node"
    if graph.is_constant(node.inputs[0]) and kind != "embedding":
        yield "constant", "as the first input"
    if all(map(graph.is_constant, node.inputs)):
        yield "constant", "constants alone"
    if any(not graph.is_constant(node.inputs[i]) for i in registry[kind].positions):
        yield "constant", "a weight that is computed"
    if kind in ("conv", "linear"):
        yield kind, f"{first.dtype} x {given[1].dtype}"
    if kind in ("conv", "max_pool", "avg_pool"):
        kernel = attributes.get("kernel", given[1].shape[1:3] if kind == "conv" else ())
        yield from ((kind, fact) for fact in _windows(attributes, kernel, first))
    if kind == "conv":
        if attributes["groups"] > 1:
            yield kind, "groups"
            yield kind, "depthwise" if given[1].shape[3] == 1 else "groups of several channels"
        if attributes["pad_value"]:
            yield kind, f"pad_value {attributes['pad_value']} of {first.dtype}"
    if kind == "avg_pool":
        yield kind, f"count_include_pad {attributes['count_include_pad']}"
    if kind == "max_pool":
        yield kind, first.dtype
    if kind == "reduce":
        yield kind, f"{attributes['op']}, keepdims {attributes['keepdims']}"
    if kind == "compare":
        yield kind, f"{attributes['op']} of {first.dtype}"
    if kind == "cast":
        yield kind, f"{first.dtype} to {attributes['dtype']}"
    if kind in (*TWO_OPERANDS, "div"):
        yield kind, first.dtype
    if kind in (*TWO_OPERANDS, "div", "compare", "where", "logical_and"):
        yield from (("broadcasting", form) for form in _forms(given[-2].shape, given[-1].shape))
    if kind in (*MOVES, "where", "pad"):
        yield kind, given[-1].dtype
    if kind == "slice":
        yield from ((kind, name) for name in ("start", "step", "stop") if name in node.attributes)
        yield kind, "empty" if 0 in types[node.output].shape else "some"
    if kind == "quantize":
        yield kind, attributes["dtype"]
        yield kind, "a scale a channel" if given[1].shape != (1,) else "one scale"
        if attributes["zero_point"]:
            yield kind, "zero_point"
    if kind == "prelu":
        yield kind, "a slope a channel" if given[1].shape != (1,) else "one slope"
    if kind == "embedding":
        yield kind, given[1].dtype
    if kind in ("affine", "matmul"):
        yield kind, first.dtype if kind == "affine" else f"{len(given[1].shape)} axes"
    if kind == "clip" and attributes["low"] == attributes["high"]:
        yield kind, "low = high"


def _windows(attributes: dict, kernel: tuple, x: TensorType) -> Iterator[str]:
    padding, stride = attributes["padding"], attributes["stride"]
    if max(kernel) == 1:
        yield "1x1"
    if kernel[0] != kernel[1]:
        yield "a kernel that is not square"
    if stride != (1, 1):
        yield "stride"
    if any(step > taps for step, taps in zip(stride, kernel)):
        yield "a stride beyond the kernel"
    if attributes.get("dilation", (1, 1)) != (1, 1):
        yield "dilation"
    if any(padding):
        yield "padding"
    if padding[0] != padding[1] or padding[2] != padding[3]:
        yield "asymmetric padding"
    if any(isinstance(size, str) for size in x.shape[1:3]):
        yield "a symbolic height or width"


def _forms(a: tuple[dims.Dim, ...], b: tuple[dims.Dim, ...]) -> Iterator[str]:
    out = dims.broadcast(a, b)
    if a == b:
        yield "equal"
    if a != out and b != out:
        yield "both spread"
    if len(a) != len(b):
        yield "fewer axes"
    for shape, other in ((a, b), (b, a)):
        if dims.product(shape) == 1 and dims.product(other) != 1:
            yield "scalar"
        elif len(shape) < len(out) and shape[-1:] == out[-1:]:
            yield "vector"
        for size, full in zip(reversed(shape[:-1]), list(reversed(out))[1:]):
            if size == 1 and full != 1:
                yield "symbol with 1" if isinstance(full, str) else "ones inside"


def _of_graph(graph: Graph, types: dict[str, TensorType]) -> Iterator[Fact]:
    weights = [node.inputs[1] for node in graph.nodes if node.kind in ("conv", "linear")]
    if len(set(weights)) < len(weights):
        yield "constant", "shared"
    others = {
        name for node in graph.nodes for name in (node.inputs[:1] if node.kind in ("conv", "linear") else node.inputs)
    }
    if graph.tensors.keys() & set(weights) & others:
        yield "constant", "a weight that is a value as well"
    for given in graph.inputs.values():
        yield "input", given.dtype
    for name in graph.states:
        yield "state", types[name].dtype
        if graph.states[name] == name:
            yield "state", "that stays"
    if len(set(graph.states.values()) & graph.states.keys() - {n for n, v in graph.states.items() if n == v}) > 0:
        yield "state", "that takes another's place"
    for name in graph.outputs:
        yield "output", types[name].dtype
        if name in graph.inputs:
            yield "output", "an input"
        if graph.is_constant(name):
            yield "output", "a constant"
        if name in graph.states:
            yield "output", "a state"
    for noun, count in (("inputs", len(graph.inputs)), ("outputs", len(graph.outputs)), ("states", len(graph.states))):
        if count > 1:
            yield "several", noun
    if len(set(graph.outputs)) < len(graph.outputs):
        yield "several", "outputs that are one value"
    if any(len(readers) > 1 for readers in graph.readers().values()):
        yield "reading", "one value by several nodes"
    parsed = [dims.parse(size) for given in types.values() for size in given.shape]
    if not any(symbols for _, symbols in parsed):
        yield "symbols", "none"
    if any(symbols and coefficient > 1 for coefficient, symbols in parsed):
        yield "symbols", "with a coefficient"
    if any(len(set(symbols)) > 1 for _, symbols in parsed):
        yield "symbols", "a product of two"
    if any(len(symbols) > len(set(symbols)) for _, symbols in parsed):
        yield "symbols", "a square"
    yield from (("rank", str(len(types[node.output].shape))) for node in graph.nodes)


def _of_numbers(case: Case) -> Iterator[Fact]:
    for array in (*case.graph.tensors.values(), *(array for inputs in case.runs for array in inputs)):
        if array.dtype.name in ("int32", "int64") and np.any(array == np.iinfo(array.dtype).min):
            yield "integers hold", f"the least {array.dtype.name}"
    for inputs in case.runs:
        sizes: dict[str, int] = {}
        for given, array in zip(case.graph.inputs.values(), inputs):
            for dim, size in zip(given.shape, array.shape):
                dims.bind(dim, size, sizes)
            yield from (("inputs hold", number) for number in _numbers(array))
        yield from (("a symbol is", str(size)) for size in sizes.values())
    for array in case.graph.tensors.values():
        yield from (("constants hold", number) for number in _numbers(array))


def _numbers(array: np.ndarray) -> Iterator[str]:
    if array.dtype != np.float32:
        return
    size = np.abs(array)
    found = (np.isnan(array), np.isinf(array), (array == 0) & np.signbit(array), (size > 0) & (size < 2.0**-126))
    yield from (name for name, where in zip(NUMBERS, found) if where.any())


def _of_pass(name: str, graph: Graph, result: Graph, types: dict[str, TensorType]) -> Iterator[Fact]:
    """In which of its ways a pass changed the graph."""
    before, after = (collections.Counter(node.kind for node in g.nodes) for g in (graph, result))
    if name == "fold_batch_norm":
        if before["batch_norm"] > after["batch_norm"]:
            yield name, "batch norm"
        if after["affine"] > before["affine"]:
            yield name, "a chain of others"
        if any(node not in graph.nodes and node.kind in ("conv", "linear") for node in result.nodes):
            yield name, "into weights"
    if name == "thresholds":
        made = [node for node in result.nodes if node.kind == "threshold" and node not in graph.nodes]
        producers = graph.producers()
        for node in made:
            source = producers.get(node.inputs[0])
            yield name, "of a product" if source is not None and source.kind in ("conv", "linear") else "of any integer"
            if np.any(result.tensors[node.inputs[2]] < 0):
                yield name, "a falling function"
        if before["sign"] > after["threshold"] - before["threshold"]:
            yield name, "a sign that stays"
    if name == "permute_linear":
        for node in result.nodes:
            if node.kind == "linear" and node not in graph.nodes:
                yield name, types[node.inputs[0]].dtype
    if name == "bits_through_max_pool":
        for node in result.nodes:
            if node.kind == "sign" and node not in graph.nodes:
                source = result.producers().get(node.inputs[0])
                yield (
                    name,
                    "a function between" if source is not None and source not in graph.nodes else "nothing between",
                )
    if name == "sign_before_moves":
        gone = [node.kind for node in graph.nodes if node not in result.nodes]
        yield from ((name, kind) for kind in gone if kind != "sign")
    if name == "remove_identities":
        gone = {node.kind for node in graph.nodes if node.output not in {other.output for other in result.nodes}}
        yield from ((name, kind) for kind in gone & {"transpose", "reshape", "cast", "slice", "pad", "broadcast_to"})
        if before["reshape"] < after["reshape"]:
            yield name, "a transpose that moves no data"
        signs = {node.output: node.inputs for node in graph.nodes if node.kind == "sign"}
        clipped = {node.output for node in graph.nodes if node.kind == "clip"}
        if any(node.kind == "sign" and node.inputs != signs[node.output] and signs[node.output][0] in clipped
               for node in result.nodes):  # fmt: skip
            yield name, "a sign past a clip"
        if gone - {"transpose", "reshape", "cast", "slice", "pad", "broadcast_to"}:
            yield name, "a node that repeats another"
