"""Batch normalisations and chains of per-channel scales and shifts become one affine function, or go into weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from onebit.ir.graph import Graph, Node
from onebit.ir.kind import registry
from onebit.ir.passes.rewrite import Names, channel_vector, operand, read_once
from onebit.ir.types import TensorType

SMALLEST_NORMAL = np.finfo(np.float32).smallest_normal


@dataclass(frozen=True)
class Link:
    """``source * scale + shift`` per channel, in float64, and the nodes that it stands for."""

    source: str
    scale: np.ndarray
    shift: np.ndarray
    nodes: tuple[Node, ...]


def fold_batch_norm(graph: Graph) -> Graph:
    """The graph with one ``affine`` in place of every batch normalisation and of every chain of per-channel functions.

    ``batch_norm`` is ``affine`` with ``scale = weight / sqrt(var + eps)``, ``shift = bias - mean * scale``. A chain of
    ``batch_norm``, ``affine``, ``cast`` from int32, ``neg``, and ``mul``, ``div``, ``add``, ``sub`` with constants per
    channel becomes one ``affine`` where it has two nodes or more. All is composed in float64 and rounded once, so
    floats may change in their last bits. An ``affine`` on a float ``conv`` or ``linear`` with float weights then
    scales the weights, and only its shift stays, as an ``add``. What would overflow, or lose bits because a factor
    becomes subnormal, stays as it is; a ``batch_norm`` alone is folded wherever that is finite.
    """
    with np.errstate(all="ignore"):  # what leaves float32 on the way is seen afterwards, and left as it is
        return _into_weights(_chains(graph))


def _chains(graph: Graph) -> Graph:
    types = graph.types()
    once = read_once(graph)
    links: dict[str, Link] = {}
    for node in graph.nodes:
        link = _link(graph, node, types)
        if link is None:
            continue
        before = links.get(link.source)
        if before is not None and link.source in once:
            joined = Link(
                before.source,
                before.scale * link.scale,
                before.shift * link.scale + link.shift,
                (*before.nodes, *link.nodes),
            )
            if _is_finite(joined) and _keeps_its_bits(joined.scale):
                link = joined
                del links[before.nodes[-1].output]  # it is inside now
        links[node.output] = link
    folded = {name: link for name, link in links.items() if _pays(link) and _is_finite(link)}
    inner = {node.output for link in folded.values() for node in link.nodes[:-1]}
    names = Names(graph)
    result = graph.copy()
    result.nodes = []
    for node in graph.nodes:
        if node.output in inner:
            continue
        if node.output not in folded:
            result.nodes.append(node)
            continue
        link = folded[node.output]
        scale, shift = names.new("scale"), names.new("shift")
        result.tensors[scale] = link.scale.astype(np.float32)
        result.tensors[shift] = link.shift.astype(np.float32)
        result.nodes.append(Node("affine", (link.source, scale, shift), node.outputs, {}, node.path))
    return result


def _pays(link: Link) -> bool:
    return len(link.nodes) > 1 or link.nodes[0].kind == "batch_norm"


def _keeps_its_bits(factors: np.ndarray) -> bool:
    """Whether these float64 factors are rounded to float32 with a small relative error: finite, zero or normal."""
    rounded = factors.astype(np.float32)
    return bool(np.all(np.isfinite(rounded) & ((factors == 0) | (np.abs(rounded) >= SMALLEST_NORMAL))))


def _is_finite(link: Link) -> bool:
    return all(np.all(np.isfinite(vector.astype(np.float32))) for vector in (link.scale, link.shift))


def _link(graph: Graph, node: Node, types: dict[str, TensorType]) -> Link | None:
    """What one node does, if it is a scale and shift per channel."""
    if node.kind == "batch_norm":
        if not all(map(graph.is_constant, node.inputs[1:])):
            return None
        weight, bias, mean, var = (graph.tensors[name].astype(np.float64) for name in node.inputs[1:])
        scale = weight / np.sqrt(var + registry["batch_norm"].complete(node.attributes)["eps"])
        return Link(node.inputs[0], scale, bias - mean * scale, (node,))
    position = operand(graph, node, types)
    if position is None:
        return None
    x = types[node.inputs[position]]
    if not x.shape or not isinstance(x.shape[-1], int) or types[node.output].dtype != "float32":
        return None
    if x.dtype not in ("float32", "int32") or (x.dtype == "int32" and node.kind not in ("cast", "affine")):
        return None
    one, zero = np.ones(x.shape[-1]), np.zeros(x.shape[-1])
    vectors = [
        vector.astype(np.float64)
        for other, name in enumerate(node.inputs)
        if other != position and (vector := channel_vector(graph, name, x)) is not None
    ]
    forms = {
        "cast": lambda: (one, zero),
        "affine": lambda: (vectors[0], vectors[1]),
        "neg": lambda: (-one, zero),
        "mul": lambda: (vectors[0], zero),
        "add": lambda: (one, vectors[0]),
        "sub": lambda: (one, -vectors[0]) if position == 0 else (-one, vectors[0]),
        "div": lambda: (1.0 / vectors[0], zero) if position == 0 else None,
    }
    form = forms[node.kind]() if node.kind in forms else None
    return None if form is None else Link(node.inputs[position], *form, (node,))


def _into_weights(graph: Graph) -> Graph:
    once = read_once(graph)
    producers = graph.producers()
    names = Names(graph)
    result = graph.copy()
    result.nodes = []
    weights: dict[str, str] = {}  # output of a conv or linear -> its new weight
    for node in graph.nodes:
        x = node.inputs[0]
        product = producers.get(x)
        if (
            node.kind != "affine"
            or x not in once
            or product is None
            or product.kind not in ("conv", "linear")
            or product.inputs[1] in graph.bits
            or not graph.is_constant(product.inputs[1])
            or not graph.is_constant(node.inputs[1])
            or graph.tensors[product.inputs[1]].dtype != np.float32
        ):
            result.nodes.append(node)
            continue
        weight, scale = graph.tensors[product.inputs[1]], graph.tensors[node.inputs[1]]
        scaled = weight.astype(np.float64) * scale.astype(np.float64).reshape(-1, *[1] * (weight.ndim - 1))
        if not _keeps_its_bits(scaled):
            result.nodes.append(node)
            continue
        weights[x] = names.new("weight")
        result.tensors[weights[x]] = scaled.astype(np.float32)
        result.nodes.append(Node("add", (x, node.inputs[2]), node.outputs, {}, node.path))
    result.nodes = [
        replace(node, inputs=(node.inputs[0], weights[node.output])) if node.output in weights else node
        for node in result.nodes
    ]
    return result
