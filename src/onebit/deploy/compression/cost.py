"""What the reuse order of a layer of bits costs: weights, operations and stored bits, before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onebit.core.spanning import minimum_spanning_tree
from onebit.core.tables import plain_table
from onebit.deploy.compression.order import ReuseOrder, orders
from onebit.ir import cost, reuse
from onebit.ir.graph import Graph
from onebit.ir.reuse import hamming_matrix


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer of bits, plainly and in reuse order.

    Args:
        path: module that it came from, or its kind and index.
        channels: output channels C.
        entries: bits of one kernel, n.
        distance: sum of the distances along all edges of the trees, D.
        depth: steps that follow one another after the roots.
        positions: places P of one example at which the layer is computed.
        groups: of a convolution; each has a tree of its own.
        index_bits: of lists of the places of all differences, ``ceil(log2 n)`` each, and the roots' kernels.
        entropy_bits: ``sum n H(d / n)`` over the edges, and the roots' kernels: what no code of independent places is
            below.
        stored_bits: of the weight in a packed file as a tree; of its plain bits where that is not smaller.
        chance: the ratio of random kernels of this shape.
    """

    path: str
    channels: int
    entries: int
    distance: int
    depth: int
    positions: int
    groups: int
    index_bits: int
    entropy_bits: float
    stored_bits: int
    chance: float

    @property
    def parameters(self) -> int:
        """Weight bits: ``C n``."""
        return self.channels * self.entries

    @property
    def used(self) -> int:
        """Weight bits that the reuse order multiplies by: ``n + D``, with one n a group. Their places come on top."""
        return self.groups * self.entries + self.distance

    @property
    def ratio(self) -> float:
        """The reuse ratio ``C n / (n + D)``; that of random kernels, about 2, is :attr:`chance`."""
        return self.parameters / self.used

    @property
    def operations(self) -> int:
        """Products of bits for one example, plainly: ``P C n``."""
        return self.positions * self.parameters

    @property
    def operations_reused(self) -> int:
        """In reuse order: ``P (n + D)``."""
        return self.positions * self.used

    @property
    def additions(self) -> int:
        """Further additions of the reuse order: ``P (C - 1)``."""
        return self.positions * (self.channels - self.groups)


def layer_cost(order: ReuseOrder, positions: int = 1, path: str = "", samples: int = 3) -> LayerCost:
    """The cost of one layer.

    Args:
        order: of the layer.
        positions: of one example.
        path: name of the layer.
        samples: random kernels for the ratio of chance are drawn as often; 0 for none (NaN).

    Example:
        >>> made = layer_cost(ReuseOrder.of(np.int8([[1, 1, 1, 1], [1, 1, -1, 1], [-1, 1, -1, 1]])))
        >>> made.parameters, made.used, made.ratio, made.depth
        (12, 6, 2.0, 1)
    """
    channels, entries = len(order.weight), math.prod(order.weight.shape[1:])
    groups = len(order.trees)
    edges = np.concatenate([tree.distances[tree.parents >= 0] for tree in order.trees])
    packed = reuse.pack(order.weight)
    return LayerCost(
        path,
        channels,
        entries,
        sum(tree.total for tree in order.trees),
        order.depth,
        positions,
        groups,
        groups * entries + int(edges.sum()) * max(1, math.ceil(math.log2(entries))),
        groups * entries + entries * float(binary_entropy(edges / entries).sum()),
        order.weight.size if packed is None else 64 * packed.size,
        chance_ratio(channels // groups, entries, samples) if samples else math.nan,
    )


def report(graph: Graph, *, max_depth: int | None = None, batch: int = 1, samples: int = 3) -> list[LayerCost]:
    """The cost of every layer of bits of a graph whose input is integers: ``conv`` and ``linear`` with int32 sums.

    Args:
        graph: of a packed file or a captured model.
        max_depth: of the trees.
        batch: what every symbol of a shape is taken to be.
        samples: as for :func:`layer_cost`.
    """
    rows = cost.table(graph, batch)
    found = []
    for index, order in orders(graph, max_depth=max_depth).items():
        output = rows[index].output
        assert output is not None
        positions = math.prod(int(size) for size in output.shape[:-1])
        found.append(layer_cost(order, positions, rows[index].path or f"{rows[index].kind} {index}", samples))
    return found


def table(layers: Sequence[LayerCost]) -> str:
    """The layers and their sum as a table."""
    head = ["layer", "kernels", "bits each", "weight bits", "used", "ratio", "chance", "depth", "operations", "reused"]
    rows = [
        [
            layer.path,
            f"{layer.channels}",
            f"{layer.entries}",
            f"{layer.parameters:,}",
            f"{layer.used:,}",
            f"{layer.ratio:.2f}",
            f"{layer.chance:.2f}",
            f"{layer.depth}",
            f"{layer.operations:,}",
            f"{layer.operations_reused:,}",
        ]
        for layer in layers
    ]
    if len(layers) > 1:
        whole = [sum(getattr(layer, name) for layer in layers) for name in SUMS]
        bits, used, operations, reused = whole
        ratio = f"{bits / used:.2f}"
        rows.append(["all", "", "", f"{bits:,}", f"{used:,}", ratio, "", "", f"{operations:,}", f"{reused:,}"])
    return plain_table(head, rows, range(1, len(head)))


SUMS = ("parameters", "used", "operations", "operations_reused")


def chance_ratio(channels: int, entries: int, samples: int = 3, seed: int = 0) -> float:
    """The mean reuse ratio of random kernels, each bit a fair coin.

    Args:
        channels, entries: C and n.
        samples: so many matrices are drawn, 1 or more.
        seed: of them.

    Example:
        >>> 2.6 < chance_ratio(64, 64) < 2.8
        True
    """
    rng = np.random.default_rng([seed, channels, entries])
    ratios = []
    for _ in range(samples):
        kernels = rng.integers(0, 2, (channels, entries), np.int8) * np.int8(2) - np.int8(1)
        ratios.append(channels * entries / (entries + minimum_spanning_tree(hamming_matrix(kernels), roots=1).total))
    return float(np.mean(ratios))


def binary_entropy(share: np.ndarray) -> np.ndarray:
    """``H(p) = -p log2 p - (1 - p) log2 (1 - p)``, 0 at 0 and 1.

    Example:
        >>> binary_entropy(np.array([0.0, 0.5, 1.0])).tolist()
        [0.0, 1.0, 0.0]
    """
    p = np.asarray(share, float)
    inside = (p > 0) & (p < 1)
    q = np.where(inside, p, 0.5)
    return np.where(inside, -q * np.log2(q) - (1 - q) * np.log2(1 - q), 0.0)
