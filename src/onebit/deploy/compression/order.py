"""A binary layer in reuse order: one output channel in full, each other one from its parent in a spanning tree."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onebit.core.spanning import Tree, minimum_spanning_tree
from onebit.ir import interpreter
from onebit.ir.graph import Graph, Node
from onebit.ir.kind import registry
from onebit.ir.reuse import hamming_matrix


@dataclass(frozen=True)
class ReuseOrder:
    """In which order the output channels of a layer of bits are computed, and from which other ones.

    ``y_j = y_i + 2 sum_{k in D_j} w_jk x_k`` with i the parent of j and ``D_j`` the places where their kernels differ:
    exact for every integer x, whatever the tree.

    Args:
        weight: int8 of -1 and +1, ``(O, kH, kW, I / groups)`` or ``(O, I)``.
        trees: one a group, over the group's output channels in their order.

    Reference: [Vo2023]; the identity as written here is ours.

    Example:
        >>> weight = np.int8([[1, 1, 1, 1], [1, 1, -1, 1], [-1, 1, -1, 1]])
        >>> order = ReuseOrder.of(weight)
        >>> order.trees[0].root, [list(map(int, places)) for places in order.places]
        (1, [[2], [0, 1, 2, 3], [0]])
        >>> order.linear(np.int8([[1, -1, -1, 1]])).tolist()
        [[0, 2, 0]]
    """

    weight: np.ndarray
    trees: tuple[Tree, ...]

    def __post_init__(self) -> None:
        per_group = len(self.weight) // len(self.trees)
        if any(len(tree.parents) != per_group for tree in self.trees) or len(self.weight) % len(self.trees):
            raise ValueError(f"trees must have one vertex for each of {len(self.weight)} output channels")

    @functools.cached_property
    def places(self) -> list[np.ndarray]:
        """``D_j`` of each output channel, ascending in the row-major order of its kernel; of a root all."""
        kernels = self.weight.reshape(len(self.weight), -1)
        per_group = len(kernels) // len(self.trees)
        places = []
        for channel, kernel in enumerate(kernels):
            group, own = divmod(channel, per_group)
            parent = int(self.trees[group].parents[own])
            other = -kernel if parent < 0 else kernels[group * per_group + parent]
            places.append(np.flatnonzero(kernel != other))
        return places

    @classmethod
    def of(cls, weight: np.ndarray, groups: int = 1, *, max_depth: int | None = None, roots: int = 32) -> ReuseOrder:
        """The order of the shortest tree of each group; arguments as for
        :func:`~onebit.core.spanning.minimum_spanning_tree`."""
        parts = np.split(weight, groups)
        return cls(
            weight,
            tuple(minimum_spanning_tree(hamming_matrix(part), max_depth=max_depth, roots=roots) for part in parts),
        )

    @property
    def depth(self) -> int:
        """Steps that follow one another after the root."""
        return max(tree.depth for tree in self.trees)

    def sums(self, patches: np.ndarray) -> np.ndarray:
        """What the layer gives for the entries that each kernel meets.

        Args:
            patches: integers ``(M, groups, n)`` with ``n`` the entries of one kernel.

        Returns:
            int32 ``(M, O)``.
        """
        kernels = self.weight.reshape(len(self.weight), -1)
        y = np.zeros((len(patches), len(kernels)), np.int32)
        columns = np.ascontiguousarray(patches.transpose(1, 2, 0), dtype=np.int32)
        per_group = len(kernels) // len(self.trees)
        for group, tree in enumerate(self.trees):
            for own in tree.order:
                channel, parent = group * per_group + int(own), int(tree.parents[own])
                places = self.places[channel]
                found = kernels[channel, places].astype(np.int32) @ columns[group, places]
                y[:, channel] = found if parent < 0 else y[:, group * per_group + parent] + 2 * found
        return y

    def run(
        self, attributes: Mapping[str, Any], shape: tuple[int, ...], x: np.ndarray, weight: np.ndarray
    ) -> np.ndarray:
        """The layer as ``Kind.run`` of its kind computes it."""
        return self.linear(x) if weight.ndim == 2 else self.conv(x, attributes, shape)

    def linear(self, x: np.ndarray) -> np.ndarray:
        """The layer as kind ``linear``: integers ``(..., I)`` to int32 ``(..., O)``."""
        return self.sums(x.reshape(-1, 1, x.shape[-1])).reshape(*x.shape[:-1], len(self.weight))

    def conv(self, x: np.ndarray, attributes: Mapping[str, Any], shape: Sequence[int]) -> np.ndarray:
        """The layer as kind ``conv``: integers ``(N, H, W, I)`` to int32 ``(N, OH, OW, O)``.

        Args:
            x: the input.
            attributes: of the node, complete.
            shape: of the result.
        """
        if 0 in shape:
            return np.zeros(shape, np.int32)
        top, bottom, left, right = attributes["padding"]
        (stride_h, stride_w), (dilation_h, dilation_w) = attributes["stride"], attributes["dilation"]
        _, kernel_h, kernel_w, channels = self.weight.shape
        _, height, width, _ = shape
        pads = ((0, 0), (top, bottom), (left, right), (0, 0))
        x = np.pad(x.astype(np.int32), pads, constant_values=attributes["pad_value"])
        taps = [
            x[
                :,
                row * dilation_h : row * dilation_h + (height - 1) * stride_h + 1 : stride_h,
                column * dilation_w : column * dilation_w + (width - 1) * stride_w + 1 : stride_w,
            ].reshape(-1, len(self.trees), channels)
            for row in range(kernel_h)
            for column in range(kernel_w)
        ]
        return self.sums(np.concatenate(taps, axis=2)).reshape(shape)


def orders(graph: Graph, *, max_depth: int | None = None, roots: int = 32) -> dict[int, ReuseOrder]:
    """The reuse order of each node that multiplies integers by bits and sums them, by the node's index.

    Depthwise convolutions, whose groups have one kernel each, have none.
    """
    types = graph.types()
    found = {}
    for index, node in enumerate(graph.nodes):
        if node.kind in ("conv", "linear") and types[node.output].dtype == "int32" and _is_bits(graph, node):
            groups = int(registry[node.kind].complete(node.attributes).get("groups", 1))
            weight = graph.tensors[node.inputs[1]]
            if len(weight) > groups:
                found[index] = ReuseOrder.of(weight, groups, max_depth=max_depth, roots=roots)
    return found


def _is_bits(graph: Graph, node: Node) -> bool:
    return node.inputs[1] in graph.bits and graph.is_constant(node.inputs[1])


def run(
    graph: Graph, *inputs: np.ndarray, max_depth: int | None = None
) -> tuple[tuple[np.ndarray, ...], dict[str, np.ndarray]]:
    """What :meth:`Graph.run <onebit.ir.Graph.run>` gives, bit for bit, with every layer of bits in reuse order.

    Args:
        graph: of a packed file or a captured model.
        inputs: one array for each input.
        max_depth: of the trees.

    Example:
        >>> from onebit.ir.types import TensorType
        >>> graph = Graph({"x": TensorType("bit", ("batch", 4))})
        >>> graph.outputs = [graph.add("linear", "x", graph.constant(np.int8([[1, 1, -1, 1], [1, 1, 1, 1]]), bit=True))]
        >>> run(graph, np.int8([[1, -1, -1, 1]]))[0][0].tolist()
        [[2, 0]]
    """
    found = orders(graph, max_depth=max_depth)
    return interpreter.run(graph, inputs, None, {index: order.run for index, order in found.items()})
