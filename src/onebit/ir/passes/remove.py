"""Nodes that do nothing, nodes that repeat another, and what nothing reads."""

from __future__ import annotations

from dataclasses import replace

from onebit.ir.graph import Graph, Node
from onebit.ir.kind import registry
from onebit.ir.passes.rewrite import substitute
from onebit.ir.types import TensorType


def remove_identities(graph: Graph) -> Graph:
    """The graph without nodes that do nothing.

    Transposes that follow each other become one; a transpose that moves no data becomes a reshape; reshapes that follow
    each other become one; what gives its input back (a transpose, reshape, cast, slice, pad or broadcast to the same)
    is taken out, and so is a node that repeats an earlier one. A sign reads past a clip that does not change it.
    """
    while (result := _once(graph)).nodes != graph.nodes:
        graph = result
    return result


def _once(graph: Graph) -> Graph:
    types = graph.types()
    names: dict[str, str] = {}
    made: dict[str, Node] = {}
    known: dict[tuple, str] = {}
    nodes = []
    for node in graph.nodes:
        node = replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))
        node = _merge(node, made.get(node.inputs[0]), types)
        node = _sign_through_clip(node, made.get(node.inputs[0]))
        key = (node.kind, node.inputs, repr(registry[node.kind].complete(node.attributes)))  # repr: -0.0 is not 0.0
        if _does_nothing(node, types):
            names[node.output] = node.inputs[0]
        elif key in known:
            names[node.output] = known[key]
        else:
            known[key] = node.output
            made[node.output] = node
            nodes.append(node)
    result = graph.copy()
    result.nodes = nodes
    return substitute(result, names)


def _merge(node: Node, before: Node | None, types: dict[str, TensorType]) -> Node:
    """``node`` together with the one that makes its input, where one node can do both."""
    if node.kind == "transpose":
        perm = list(node.attributes["perm"])
        if before is not None and before.kind == "transpose":
            perm = [before.attributes["perm"][axis] for axis in perm]
            node = replace(node, inputs=before.inputs, attributes={"perm": perm})
        shape = types[node.inputs[0]].shape
        moved = [axis for axis in perm if shape[axis] != 1]
        if moved == sorted(moved) and perm != sorted(perm):
            node = replace(node, kind="reshape", attributes={"shape": [shape[axis] for axis in perm]})
    if node.kind == "reshape" and before is not None and node.inputs == (before.output,) and before.kind == "reshape":
        node = replace(node, inputs=before.inputs)
    return node


def _sign_through_clip(node: Node, before: Node | None) -> Node:
    """The sign of a value, where it is the sign of that value clipped to an interval with low < 0 <= high."""
    if node.kind == "sign" and before is not None and before.kind == "clip":
        limits = registry["clip"].complete(before.attributes)
        if limits["low"] < 0 <= limits["high"]:
            return replace(node, inputs=before.inputs)
    return node


def _does_nothing(node: Node, types: dict[str, TensorType]) -> bool:
    if types[node.inputs[0]] != types[node.output]:
        return False
    if node.kind == "transpose":
        return list(node.attributes["perm"]) == sorted(node.attributes["perm"])
    return node.kind in ("reshape", "cast", "slice", "pad", "broadcast_to")


def remove_dead(graph: Graph) -> Graph:
    """The graph without nodes and constants that no output and no state needs. Inputs and states stay."""
    needed = {*graph.outputs, *graph.states, *graph.states.values()}
    nodes = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            nodes.append(node)
    result = graph.copy()
    result.nodes = nodes[::-1]
    result.tensors = {name: array for name, array in graph.tensors.items() if name in needed}
    result.bits = graph.bits & result.tensors.keys()
    result.trits = graph.trits & result.tensors.keys()
    return result
