"""What random graphs cover, as a table: ``python -m tests.graphs.coverage --count 2000``.

A fact is a group and what was met in it: ``("cast", "bit to int8")``. :data:`WANTED` lists those that must be met;
the table counts the graphs that have each of them, and exit status 1 says that one is missing.
"""

from __future__ import annotations

import argparse
import collections
import sys
from collections.abc import Iterable, Iterator

import numpy as np
from tests.graphs.case import Case, random_case
from tests.graphs.checks import changed

from onebit.cli.output import print_table, progress
from onebit.ir import Graph, Node, TensorType, passes, registry
from onebit.ir import dim as dims
from onebit.ir.kinds.arithmetic import TWO_OPERANDS
from onebit.ir.kinds.convolution import MAGNITUDE
from onebit.ir.kinds.logic import COMPARISONS
from onebit.ir.kinds.quantization import CASTS
from onebit.ir.kinds.reduction import OPERATIONS
from onebit.ir.types import NUMPY

Fact = tuple[str, str]
MOVES = ("reshape", "transpose", "slice", "concat", "broadcast_to")
NUMBERS = ("NaN", "infinity", "-0.0", "denormal")
FORMS = ("equal", "scalar", "vector", "ones inside", "fewer axes", "both spread", "symbol with 1")


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


def _wanted() -> Iterator[Fact]:
    yield from (("kind", name) for name in registry)
    for kind in ("conv", "linear"):
        yield from ((kind, f"float32 x {weight}") for weight in ("float32", "bit"))
        yield from ((kind, f"{x} x {weight}") for x in MAGNITUDE for weight in ("int8", "bit"))
    windows = ("1x1", "a kernel that is not square", "stride", "a stride beyond the kernel", "padding")
    windows += ("asymmetric padding", "a symbolic height or width")
    for kind in ("conv", "max_pool", "avg_pool"):
        yield from ((kind, form) for form in windows)
    yield from ((kind, "dilation") for kind in ("conv", "max_pool"))
    yield from (("conv", form) for form in ("groups", "depthwise", "groups of several channels"))
    yield from (("conv", f"pad_value {value} of {dtype}") for value in (1, -1) for dtype in ("bit", "float32"))
    yield from (("avg_pool", f"count_include_pad {value}") for value in (True, False))
    yield from (("max_pool", dtype) for dtype in ("float32", "bit"))
    yield from (("reduce", f"{op}, keepdims {keep}") for op in OPERATIONS for keep in (True, False))
    yield from (("compare", f"{op} of {dtype}") for op in COMPARISONS for dtype in NUMPY)
    yield from (("cast", f"{x} to {y}") for x, others in CASTS.items() for y in (x, *others))
    yield from ((kind, dtype) for kind in TWO_OPERANDS for dtype in ("float32", "int32", "int64"))
    yield from (("broadcasting", form) for form in FORMS)
    yield from ((kind, dtype) for kind in (*MOVES, "where") for dtype in NUMPY)
    yield from (("pad", dtype) for dtype in ("float32", "bit"))
    yield from (("slice", form) for form in ("start", "stop", "step", "empty", "some"))
    yield from (("quantize", form) for form in ("int8", "uint8", "a scale a channel", "one scale", "zero_point"))
    yield from (("prelu", form) for form in ("a slope a channel", "one slope"))
    yield from (("embedding", dtype) for dtype in ("int32", "int64"))
    yield from (("affine", dtype) for dtype in ("float32", "int32"))
    yield from (("matmul", f"{rank} axes") for rank in (2, 3, 4))
    yield "clip", "low = high"
    yield from (("reading", form) for form in ("one value twice by one node", "one value by several nodes"))
    ways = ("as the first input", "constants alone", "a weight that is computed", "a weight that is a value as well")
    yield from (("constant", form) for form in (*ways, "shared"))
    yield from (("integers hold", form) for form in ("the least int32", "the least int64"))
    yield from (("input", dtype) for dtype in NUMPY)
    yield from (("output", form) for form in (*NUMPY, "an input", "a constant", "a state"))
    yield from (("state", form) for form in (*NUMPY, "that stays", "that takes another's place"))
    yield from (("several", noun) for noun in ("inputs", "outputs", "states", "outputs that are one value"))
    yield from (("symbols", form) for form in ("none", "with a coefficient", "a product of two", "a square"))
    yield from (("rank", str(rank)) for rank in range(1, 9))
    yield from ((where, number) for where in ("inputs hold", "constants hold") for number in NUMBERS)
    yield from (("a symbol is", str(size)) for size in range(4))
    yield from (("pass", one.__name__) for one in passes.PASSES)
    yield from (("fold_batch_norm", form) for form in ("batch norm", "a chain of others", "into weights"))
    ways = ("of a product", "of any integer", "a falling function", "a sign that stays")
    yield from (("thresholds", form) for form in ways)
    yield from (("permute_linear", dtype) for dtype in ("float32", "bit", "int8", "uint8"))
    yield from (("bits_through_max_pool", form) for form in ("a function between", "nothing between"))
    yield from (("sign_before_moves", kind) for kind in ("transpose", "reshape", "slice", "broadcast_to"))
    done = ("transpose", "reshape", "cast", "slice", "pad", "broadcast_to")
    yield from (("remove_identities", form) for form in done)
    others = ("a transpose that moves no data", "a sign past a clip", "a node that repeats another")
    yield from (("remove_identities", form) for form in others)


#: Every fact that random graphs must show.
WANTED: tuple[Fact, ...] = tuple(dict.fromkeys(_wanted()))


def count(cases: Iterable[Case]) -> collections.Counter[Fact]:
    """In how many of the cases each fact is met."""
    found: collections.Counter[Fact] = collections.Counter()
    for case in cases:
        found.update(set(facts(case)))
    return found


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="how many graphs (2000)")
    options = parser.parse_args()
    with progress("graphs", options.count) as advance:

        def cases() -> Iterator[Case]:
            for seed in range(options.count):
                yield random_case(seed)
                advance()

        found = count(cases())
    rows = [(group, what, found[group, what]) for group, what in dict.fromkeys((*WANTED, *found))]
    print_table(f"What {options.count} random graphs cover", ["in", "<what>", "graphs"], rows)
    missing = [" ".join(fact) for fact in WANTED if not found[fact]]
    print(
        f"{len(WANTED) - len(missing)} of {len(WANTED)} are met"
        + (f"; missing: {', '.join(missing)}" if missing else "")
    )
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
