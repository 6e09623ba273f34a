"""The sign is taken before a max-pool, not after it, so that the pool works on bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onebit.ir.graph import Graph, Node
from onebit.ir.passes.rewrite import Names, operand, read_once
from onebit.ir.types import TensorType


def bits_through_max_pool(graph: Graph) -> Graph:
    """``sign(max_pool(x))`` becomes ``max_pool(sign(x))``, also with nondecreasing functions between pool and sign.

    Those are: ``affine`` and ``prelu`` with every scale and slope above 0, ``mul`` and ``div`` by positive constants
    per channel, ``add`` and ``sub`` of a constant per channel, ``relu``, ``clip``. Where no value is NaN the result is
    the same to the bit: a rounded nondecreasing function takes the maximum to the maximum.
    """
    while (result := _once(graph)) is not graph:
        graph = result
    return graph


def _once(graph: Graph) -> Graph:
    types = graph.types()
    once = read_once(graph)
    producers = graph.producers()
    moves: dict[str, tuple[Node, list[Node]]] = {}  # output of the sign -> pool, functions between
    for node in graph.nodes:
        if node.kind != "sign":
            continue
        between: list[Node] = []
        name = node.inputs[0]
        while (
            name in once
            and name in producers
            and (position := _nondecreasing(graph, producers[name], types)) is not None
        ):
            between.insert(0, producers[name])
            name = producers[name].inputs[position]
        if name in once and name in producers and producers[name].kind == "max_pool":
            moves[node.output] = (producers[name], between)
    if not moves:
        return graph
    names = Names(graph)
    gone = {name for pool, between in moves.values() for step in (pool, *between) for name in step.outputs}
    result = graph.copy()
    result.nodes = []
    for node in graph.nodes:
        if node.output in gone:
            continue
        if node.output not in moves:
            result.nodes.append(node)
            continue
        pool, between = moves[node.output]
        old, new = pool.output, pool.inputs[0]
        for step in (*between, node):
            made = names.new(step.kind)
            inputs = tuple(new if name == old else name for name in step.inputs)
            result.nodes.append(replace(step, inputs=inputs, outputs=(made,)))
            old, new = step.output, made
        result.nodes.append(replace(pool, inputs=(new,), outputs=node.outputs))
    return result


def _nondecreasing(graph: Graph, node: Node, types: dict[str, TensorType]) -> int | None:
    """The position of the input that the node's result never falls with, or None."""
    position = operand(graph, node, types)
    if position is None or types[node.inputs[position]].dtype != "float32":
        return None
    constants = [graph.tensors[name] for other, name in enumerate(node.inputs) if other != position]
    if not all(np.all(np.isfinite(array)) for array in constants):
        return None
    if node.kind in ("relu", "clip", "add") or (node.kind == "sub" and position == 0):
        return position
    factor = node.kind in ("affine", "prelu", "mul") or (node.kind == "div" and position == 0)
    return position if factor and bool(np.all(constants[0] > 0)) else None
