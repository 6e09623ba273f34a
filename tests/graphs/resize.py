"""A case with an axis of one array cut, and what no longer fits it cut as well."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.graphs.case import Case

from onebit.ir import Graph, Node, TensorType, registry
from onebit.ir import dim as dims

PER_CHANNEL = ("affine", "threshold", "prelu", "quantize", "layer_norm", "batch_norm")


def resized(case: Case, places: list[tuple[str, int]], size: int) -> Case | None:
    """The case with at most ``size`` entries along these axes of inputs and constants; None where no graph comes of
    it."""
    graph, runs = case.graph.copy(), [list(inputs) for inputs in case.runs]
    for name, axis in places:
        part = (slice(None),) * axis + (slice(size),)
        if name in graph.tensors:
            graph.tensors[name] = graph.tensors[name][part]
            continue
        position = list(graph.inputs).index(name)
        given = graph.inputs[name]
        for inputs in runs:
            inputs[position] = inputs[position][part]
        if isinstance(given.shape[axis], int):
            shape = (*given.shape[:axis], min(size, given.shape[axis]), *given.shape[axis + 1 :])
            graph.inputs[name] = TensorType(given.dtype, shape)
        elif not _same_symbol(case, name, axis, runs):
            return None
    types = {name: TensorType(*given) for name, given in graph.inputs.items()}
    try:
        types |= {name: graph._tensor_type(name, array) for name, array in graph.tensors.items()}
        for index, node in enumerate(graph.nodes):
            kind = registry[node.kind]
            try:
                found = kind.infer(kind.complete(node.attributes), *[types[name] for name in node.inputs])
            except ValueError:
                node = graph.nodes[index] = _fitted(graph, node, types)
                found = kind.infer(kind.complete(node.attributes), *[types[name] for name in node.inputs])
            types[node.output] = found
    except (ValueError, TypeError, IndexError, ZeroDivisionError):
        return None
    return Case(graph, runs)


def _same_symbol(case: Case, name: str, axis: int, runs: list[list[np.ndarray]]) -> bool:
    """Whether the sizes of the inputs still agree; other inputs of that symbol are cut in place."""
    coefficient, symbols = dims.parse(case.graph.inputs[name].shape[axis])
    position = list(case.graph.inputs).index(name)
    for inputs in runs:
        count, rest = divmod(inputs[position].shape[axis], coefficient)
        if rest:
            return False
        for other, (_, shape) in enumerate(case.graph.inputs.values()):
            for place, dim in enumerate(shape):
                factor, names = dims.parse(dim)
                if names == symbols:
                    inputs[other] = inputs[other][(slice(None),) * place + (slice(factor * count),)]
    return True


def _fitted(graph: Graph, node: Node, types: dict[str, TensorType]) -> Node:
    """The node with constants and attributes that fit its inputs; what cannot be helped stays as it is."""
    shapes = [types[name].shape for name in node.inputs]
    attributes = dict(node.attributes)
    wanted: dict[int, tuple] = {}  # position of a constant -> its sizes from the last axis on
    if node.kind in ("conv", "linear"):
        wanted[1] = (shapes[0][-1] // attributes.get("groups", 1),)
    elif node.kind in PER_CHANNEL:
        wanted = {position: (shapes[0][-1],) for position in range(1, len(shapes))}
    elif node.kind == "matmul":
        wanted[1] = (shapes[1][-1], shapes[0][-1])
    elif node.kind == "reshape":
        first, *_ = shapes[0] or (1,)
        attributes["shape"] = [first, dims.product(shapes[0][1:])] if len(attributes["shape"]) == 2 else list(shapes[0])
    elif node.kind == "broadcast_to":
        old = attributes["shape"]
        attributes["shape"] = [
            *old[: len(old) - len(shapes[0])],
            *(size if size != 1 else full for size, full in zip(shapes[0], old[len(old) - len(shapes[0]) :])),
        ]
    elif node.kind == "slice":
        attributes = {"axis": attributes["axis"]}
    else:
        largest = max(shapes, key=len)
        wanted = {position: tuple(reversed(largest)) for position in range(len(shapes))}
        for position, shape in enumerate(shapes):
            for place, size in enumerate(reversed(shape)):
                if isinstance(size, int) and size != 1 and not graph.is_constant(node.inputs[position]):
                    wanted = {p: (*w[:place], size, *w[place + 1 :]) for p, w in wanted.items()}
    inputs = list(node.inputs)
    for position, sizes in wanted.items():
        if graph.is_constant(inputs[position]):
            inputs[position] = _cut(graph, inputs[position], sizes, types)
    return replace(node, inputs=tuple(inputs), attributes=attributes)


def _cut(graph: Graph, name: str, sizes: tuple, types: dict[str, TensorType]) -> str:
    """A constant with at most these sizes from its last axis on; axes of size 1 stay."""
    array = graph.tensors[name]
    for place, size in enumerate(sizes[: array.ndim], 1):
        axis = array.ndim - place
        if isinstance(size, int) and array.shape[axis] != 1:
            array = array[(slice(None),) * axis + (slice(size),)]
    made = graph.constant(array, bit=name in graph.bits, ternary=name in graph.trits)
    types[made] = TensorType(types[name].dtype, array.shape)
    return made
