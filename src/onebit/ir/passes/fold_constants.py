"""Nodes whose inputs are all constants become constants."""

from __future__ import annotations

from onebit.ir.graph import Graph
from onebit.ir.passes.rewrite import run_node
from onebit.ir.types import BITS

MOST_BYTES = 64 * 2**20


def fold_constants(graph: Graph) -> Graph:
    """The graph with every node run whose inputs are all constants and whose result is not larger than 64 MiB."""
    types = graph.types()
    result = graph.copy()
    result.nodes = []
    for node in graph.nodes:
        output = types[node.output]
        sizes = [size for size in output.shape if isinstance(size, int)]
        bytes_needed = BITS[output.dtype] // 8 or 1
        for size in sizes:
            bytes_needed *= size
        if len(sizes) < len(output.shape) or bytes_needed > MOST_BYTES or not all(map(result.is_constant, node.inputs)):
            result.nodes.append(node)
            continue
        try:
            found = run_node(node, tuple(sizes), *[result.tensors[name] for name in node.inputs])
        except ValueError:  # an index outside its table: an error of the run, if anything needs the result
            result.nodes.append(node)
            continue
        result.tensors[node.output] = found
        if output.dtype == "bit":
            result.bits.add(node.output)
    return result
