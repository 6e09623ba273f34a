"""The sign of a function of an integer becomes a comparison of that integer with a threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from onebit.ir.graph import Graph, Node
from onebit.ir.passes.rewrite import Names, channel_vector, operand, read_once, run_node
from onebit.ir.types import TensorType

MOST_EVALUATIONS = 2**23  # integers x channels that are tried one by one
INT32_LOW, INT32_HIGH = -(2**31), 2**31 - 1


def thresholds(graph: Graph) -> Graph:
    """``sign(f(x))`` of an int32 ``x`` becomes ``threshold(x)`` where the sign changes once at most.

    ``f`` is any chain of pointwise functions with constants per channel (affine, PReLU, clip, ...) whose intermediate
    results nothing else reads. The chain is run, as the graph defines it, at every integer that ``x`` can be (from the
    weights of the convolution that makes it); so the bits are the same at each of them, also for zero, negative and
    huge scales. Where there are too many integers to try, a chain of monotone functions is searched by bisection.
    Where the sign changes more than once in some channel, the float path stays.
    """
    types = graph.types()
    once = read_once(graph)
    producers = graph.producers()
    names = Names(graph)
    result = graph.copy()
    result.nodes = []
    for node in graph.nodes:
        found = _chain(graph, node, types, once, producers) if node.kind == "sign" else None
        limits = _limits(graph, *found, types, producers) if found else None
        if found is None or limits is None:
            result.nodes.append(node)
            continue
        limit, sense = names.new("limit"), names.new("sense")
        result.tensors[limit], result.tensors[sense] = limits
        result.bits.add(sense)
        result.nodes.append(Node("threshold", (found[0], limit, sense), node.outputs, {}, node.path))
    return result


def _chain(
    graph: Graph, node: Node, types: dict[str, TensorType], once: set[str], producers: dict[str, Node]
) -> tuple[str, list[Node]] | None:
    """The int32 value that a sign depends on, and the nodes from it to the sign; None if there is no such value."""
    chain = [node]
    name = node.inputs[0]
    while types[name].dtype != "int32":
        before = producers.get(name)
        if before is None or name not in once or (position := operand(graph, before, types)) is None:
            return None
        chain.insert(0, before)
        name = before.inputs[position]
    shape = types[name].shape
    return (name, chain) if shape and isinstance(shape[-1], int) and shape[-1] > 0 else None


def _limits(
    graph: Graph, source: str, chain: list[Node], types: dict[str, TensorType], producers: dict[str, Node]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Threshold and sense per channel; None where the sign is no comparison with a threshold."""
    channels = types[source].shape[-1]
    assert isinstance(channels, int)
    low, high = reachable(graph, producers.get(source), types, channels)
    constants = _constants(graph, chain, types)

    def steps(x: np.ndarray) -> Iterator[np.ndarray]:
        """The results of the chain for integers x: (R, C), one after another."""
        for node, (position, vectors) in zip(chain, constants):
            inputs = [*vectors]
            inputs.insert(position, x)
            x = run_node(node, x.shape, *inputs)
            yield x

    def bits(x: np.ndarray) -> np.ndarray:
        """Whether the chain gives +1 for integers x: (R, C)."""
        for result in steps(x):
            x = result
        return x > 0

    first, last = int(low.min()), int(high.max())
    if (last - first + 1) * channels <= MOST_EVALUATIONS:
        return _by_trial(bits, low, high)
    # A chain of monotone functions that is finite at both ends is finite between them, and monotone.
    ends = np.stack([low, high]).astype(np.int32)
    monotone = all(_is_monotone(node, vectors) for node, (_, vectors) in zip(chain, constants))
    if monotone and all(np.all(np.isfinite(result)) for result in steps(ends)):
        return _by_bisection(bits, low, high)
    return None


def _constants(graph: Graph, chain: list[Node], types: dict[str, TensorType]) -> list[tuple[int, list[np.ndarray]]]:
    """For each node of the chain: where the value stands among its inputs, and its constants per channel."""
    found = []
    for node in chain:
        position = operand(graph, node, types)
        assert position is not None
        x = types[node.inputs[position]]
        vectors = [channel_vector(graph, name, x) for other, name in enumerate(node.inputs) if other != position]
        found.append((position, [vector for vector in vectors if vector is not None]))
    return found


def reachable(
    graph: Graph, producer: Node | None, types: dict[str, TensorType], channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest integer that each channel of an int32 value can be: two int64 vectors ``(C)``."""
    if producer is not None and producer.kind in ("conv", "linear") and graph.is_constant(producer.inputs[1]):
        weight = graph.tensors[producer.inputs[1]].reshape(channels, -1).astype(np.int64)
        least, most = {"bit": (-1, 1), "int8": (-128, 127), "uint8": (0, 255)}[types[producer.inputs[0]].dtype]
        ends = np.stack([weight * least, weight * most])
        if producer.attributes.get("pad_value", 0) == 0:  # a tap in the padding adds nothing
            return np.minimum(ends.min(0), 0).sum(1), np.maximum(ends.max(0), 0).sum(1)
        return ends.min(0).sum(1), ends.max(0).sum(1)
    return np.full(channels, INT32_LOW, np.int64), np.full(channels, INT32_HIGH, np.int64)


def _by_trial(
    bits: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Every integer is tried in every channel; those that a channel cannot be repeat its nearest end."""
    integers = np.arange(low.min(), high.max() + 1)[:, None]
    values = bits(np.clip(integers, low, high).astype(np.int32))
    changes = (values[1:] != values[:-1]).sum(0)
    if np.any(changes > 1):
        return None
    sense = np.where(values[-1] | (values[0] == values[-1]), 1, -1).astype(np.int8)
    rising = integers[0] + (~values).sum(0)  # the first integer with +1; past the end if there is none
    falling = integers[0] + values.sum(0) - 1  # the last integer with +1
    return _as_int32(np.where(sense > 0, rising, falling), sense)


def _by_bisection(
    bits: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """The place of the one change between the ends of each channel, for a sign that changes once at most."""

    def at(x: np.ndarray) -> np.ndarray:
        return bits(x.astype(np.int32)[None])[0]

    start, end = at(low), at(high)
    left, right = low.copy(), high.copy()  # where start != end: the bit at left is start, at right it is end
    while np.any(right - left > 1):
        middle = (left + right) // 2
        same = at(middle) == start
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    sense = np.where(end | (start == end), 1, -1).astype(np.int8)
    limit = np.where(sense > 0, np.where(start, low, np.where(end, right, high + 1)), left)
    return _as_int32(limit, sense)


def _as_int32(limit: np.ndarray, sense: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    if np.any(limit > INT32_HIGH) or np.any(limit < INT32_LOW):
        return None
    return limit.astype(np.int32), sense


def _is_monotone(node: Node, vectors: list[np.ndarray]) -> bool:
    """Whether the node never falls, or never rises, in each channel."""
    if not all(np.all(np.isfinite(vector)) for vector in vectors):
        return False
    if node.kind == "prelu":
        return bool(np.all(vectors[0] >= 0))
    return node.kind in ("affine", "cast", "add", "sub", "mul", "neg", "relu", "clip", "max", "min", "sign")
