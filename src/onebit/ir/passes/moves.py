"""Bits are moved instead of floats, and a linear layer reads its input in the order in which it lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onebit.ir import dim as dims
from onebit.ir.graph import Graph, Node
from onebit.ir.passes.rewrite import Names, read_once

MOVES = ("reshape", "transpose", "slice", "broadcast_to")


def sign_before_moves(graph: Graph) -> Graph:
    """``sign(move(x))`` becomes ``move(sign(x))`` for reshape, transpose, slice and broadcast_to; exact."""
    once = read_once(graph)
    producers = graph.producers()
    names = Names(graph)
    result = graph.copy()
    result.nodes = []
    for node in graph.nodes:
        moves: list[Node] = []
        name = node.inputs[0]
        while node.kind == "sign" and name in once and name in producers and producers[name].kind in MOVES:
            moves.insert(0, producers[name])
            name = producers[name].inputs[0]
        if not moves:
            result.nodes.append(node)
            continue
        gone = {move.output for move in moves}
        result.nodes = [other for other in result.nodes if other.output not in gone]
        last = names.new("sign")
        result.nodes.append(replace(node, inputs=(name,), outputs=(last,)))
        for move in moves:
            output = node.output if move is moves[-1] else names.new(move.kind)
            result.nodes.append(replace(move, inputs=(last,), outputs=(output,)))
            last = output
    return result


def permute_linear(graph: Graph) -> Graph:
    """``linear(reshape(transpose(x)), weight)`` becomes ``linear(reshape(x), permuted weight)``: the columns move,
    once.

    The reshape must flatten every axis but the first, which the transpose leaves where it is. Float sums are then
    added up in the order in which ``x`` lies.
    """
    types = graph.types()
    once = read_once(graph)
    producers = graph.producers()
    names = Names(graph)
    result = graph.copy()
    changed: dict[str, Node] = {}
    for node in graph.nodes:
        flat = producers.get(node.inputs[0])
        if node.kind != "linear" or flat is None or flat.kind != "reshape" or flat.output not in once:
            continue
        moved = producers.get(flat.inputs[0])
        if moved is None or moved.kind != "transpose" or not graph.is_constant(node.inputs[1]):
            continue
        perm, shape = list(moved.attributes["perm"]), types[moved.output].shape
        if perm[0] != 0 or types[flat.output].shape != (shape[0], dims.product(shape[1:])):
            continue
        weight = graph.tensors[node.inputs[1]]
        back = list(np.argsort(perm))
        columns = weight.reshape(len(weight), *[dims.evaluate(size, {}) for size in shape[1:]]).transpose(back)
        name = names.new("weight")
        result.tensors[name] = np.ascontiguousarray(columns).reshape(weight.shape)
        if node.inputs[1] in graph.bits:
            result.bits.add(name)
        if node.inputs[1] in graph.trits:
            result.trits.add(name)
        changed[flat.output] = replace(flat, inputs=moved.inputs)
        changed[node.output] = replace(node, inputs=(node.inputs[0], name))
    result.nodes = [changed.get(node.output, node) for node in graph.nodes]
    return result
