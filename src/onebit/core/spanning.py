"""Minimum spanning trees of complete graphs, and the order in which a tree is walked from its root."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: The most vertices: distance, depth and number of a parent share one 64-bit integer.
MOST = 2**15
LARGEST = 2**32


@dataclass(frozen=True)
class Tree:
    """A rooted tree on the vertices ``0..C-1``.

    Args:
        parents: of each vertex, ``(C,)`` int64; -1 for the root.
        distances: length of the edge to the parent, ``(C,)`` int64; 0 for the root.

    Raises:
        ValueError: no vertex; not one root; a parent that is no vertex; a cycle.

    Example:
        >>> tree = Tree(np.array([1, -1, 1]), np.array([1, 0, 1]))
        >>> tree.root, tree.total, tree.depth, tree.order.tolist()
        (1, 2, 1, [1, 0, 2])
    """

    parents: np.ndarray
    distances: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.parents)
        if not count or self.parents.shape != (count,) or self.distances.shape != (count,):
            raise ValueError(
                f"parents and distances must be one number a vertex, got {self.parents.shape}, {self.distances.shape}"
            )
        roots = np.flatnonzero(self.parents == -1)
        if len(roots) != 1:
            raise ValueError(f"a tree has one root, whose parent is -1, got {len(roots)}")
        if self.parents.min() < -1 or self.parents.max() >= count:
            raise ValueError(f"parents must be -1..{count - 1}, got {self.parents.min()}..{self.parents.max()}")
        self.depths  # noqa: B018 - refuses cycles

    @functools.cached_property
    def depths(self) -> np.ndarray:
        """Edges from each vertex to the root."""
        return depths(np.where(self.parents < 0, np.arange(len(self.parents)), self.parents))

    @property
    def root(self) -> int:
        """The vertex without a parent."""
        return int(np.flatnonzero(self.parents == -1)[0])

    @property
    def total(self) -> int:
        """Sum of the lengths of all edges."""
        return int(self.distances.sum())

    @property
    def depth(self) -> int:
        """Edges between the root and the vertex farthest from it."""
        return int(self.depths.max())

    @property
    def order(self) -> np.ndarray:
        """Every vertex, each after its parent: by depth, then by number."""
        return np.argsort(self.depths, kind="stable")

    def centred(self) -> Tree:
        """The same tree with a centre for its root: its depth is half the longest path, rounded up."""
        count = len(self.parents)
        inner = np.flatnonzero(self.parents >= 0)
        neighbours: list[list[int]] = [[] for _ in range(count)]
        length = np.zeros(count, np.int64)
        for child in inner:
            neighbours[child].append(int(self.parents[child]))
            neighbours[self.parents[child]].append(int(child))
        end = int(_walk(neighbours, self.root)[0][-1])
        order, before = _walk(neighbours, end)
        path = [order[-1]]
        while path[-1] != end:
            path.append(before[path[-1]])
        middle = path[len(path) // 2], path[(len(path) - 1) // 2]
        _, before = _walk(neighbours, min(middle))
        parents = np.array(before, np.int64)
        for child in inner:  # an edge keeps its length, whichever of its ends is the child now
            parent = self.parents[child]
            length[child if parents[child] == parent else parent] = self.distances[child]
        return Tree(parents, length)


def depths(parents: np.ndarray) -> np.ndarray:
    """Edges from each vertex to the root, whose parent is itself; in ``O(C log C)``.

    Args:
        parents: integers ``0..C-1``, ``(C,)``, one of them its own.

    Raises:
        ValueError: the parents are no tree: some vertex never reaches the root.

    Example:
        >>> depths(np.array([0, 0, 1, 1])).tolist()
        [0, 1, 2, 2]
    """
    ancestors = parents.astype(np.int64)
    found = (ancestors != np.arange(len(ancestors))).astype(np.int64)
    for _ in range(len(parents).bit_length()):
        found += found[ancestors]
        ancestors = ancestors[ancestors]
    roots = np.flatnonzero(parents == np.arange(len(parents)))
    if len(roots) != 1 or (ancestors != roots[0]).any():
        raise ValueError("parents must lead every vertex to one root: they have a cycle, or more than one root")
    return found


def check_distances(distances: np.ndarray) -> np.ndarray:
    """``distances`` as int64; ``ValueError`` unless they are a square of integers, symmetric, at least 0, 0 on the
    diagonal, below 2^32, of at most 2^15 vertices."""
    given = np.asarray(distances)
    if given.ndim != 2 or given.shape[0] != given.shape[1] or not 1 <= len(given) <= MOST:
        raise ValueError(f"distances must be (C, C) with C in 1..{MOST}, got {given.shape}")
    if given.dtype.kind not in "iu":
        raise ValueError(f"distances must be integers, got {given.dtype}")
    if given.min() < 0 or given.max() >= LARGEST or np.diagonal(given).any() or not np.array_equal(given, given.T):
        raise ValueError(f"distances must be symmetric, 0 on the diagonal, and 0..{LARGEST - 1}")
    return given.astype(np.int64)


def prim(distances: np.ndarray, roots: Sequence[int], max_depth: int | None = None) -> list[Tree]:
    """Trees that Prim's algorithm grows from each of ``roots``: one edge at a time, always the shortest that leads out.

    Among equally short edges it takes the one whose parent is nearest to the root, then the parent of the smallest
    number, then the child of the smallest number. Without ``max_depth`` all trees have the smallest total there is.

    Args:
        distances: as :func:`check_distances` wants them.
        roots: vertices.
        max_depth: no vertex is farther from the root, 1 or more; the result is then a good tree, not the best.

    Example:
        >>> [tree] = prim(np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]]), [0])
        >>> tree.parents.tolist(), tree.total
        ([-1, 0, 1], 2)
    """
    lengths = check_distances(distances)
    count, starts = len(lengths), np.asarray(roots, np.int64)
    if max_depth is not None and max_depth < 1:
        raise ValueError(f"max_depth must be 1 or more, got {max_depth}")
    if starts.size and not 0 <= starts.min() <= starts.max() < count:
        raise ValueError(f"roots must be 0..{count - 1}, got {list(roots)}")
    rows, unreachable, never = np.arange(len(starts)), np.int64(2**62), np.int64(2**63 - 1)
    depth = np.zeros((len(starts), count), np.int64)
    parents = np.full((len(starts), count), -1, np.int64)
    # (length, depth of the parent, parent) of the best edge to each vertex as one number; `never` for those in the tree
    keys = lengths[starts] * MOST * MOST + starts[:, None]
    keys[rows, starts] = never
    for _ in range(count - 1):
        nearest = keys.argmin(1)
        parents[rows, nearest] = keys[rows, nearest] % MOST
        depth[rows, nearest] = depth[rows, parents[rows, nearest]] + 1
        keys[rows, nearest] = never
        offered = (lengths[nearest] * MOST + depth[rows, nearest, None]) * MOST + nearest[:, None]
        if max_depth is not None:
            offered[depth[rows, nearest] >= max_depth] = unreachable
        np.copyto(keys, offered, where=(offered < keys) & (keys != never))
    vertices = np.arange(count)
    return [Tree(found, np.where(found < 0, 0, lengths[vertices, found])) for found in parents]


def minimum_spanning_tree(distances: np.ndarray, *, roots: int = 32, max_depth: int | None = None) -> Tree:
    """A spanning tree of the complete graph with the smallest total, and among those that are tried the flattest.

    Prim's algorithm from several roots; each tree is hung up at its centre, and the one of least depth is taken. That
    depth is a heuristic's: equal distances leave many trees of the same total, and the flattest of all is hard to find.
    With ``max_depth`` the total is a heuristic's too, but for ``max_depth=1``, where it is that of the best star.

    Args:
        distances: integers ``(C, C)``, symmetric, 0 on the diagonal, 0..2^32 - 1; C is 1..2^15.
        roots: how many vertices Prim's algorithm starts from, evenly spread, and the one nearest to all others.
        max_depth: the most edges between the root and any vertex, 1 or more.

    Raises:
        ValueError: anything else.

    Example:
        >>> tree = minimum_spanning_tree(np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]]))
        >>> tree.root, tree.total, tree.depth
        (1, 2, 1)

    Reference: [Vo2023], the tie-break and the choice of the root are ours.
    """
    lengths = check_distances(distances)
    if roots < 1:
        raise ValueError(f"roots must be 1 or more, got {roots}")
    central = int(lengths.sum(1).argmin())
    if max_depth == 1:
        return prim(lengths, [central], 1)[0]
    spread = np.linspace(0, len(lengths) - 1, min(roots, len(lengths))).astype(int)
    starts = list(dict.fromkeys([central, *map(int, spread)]))
    trees = prim(lengths, starts, max_depth)
    if max_depth is not None:
        return min(trees, key=lambda tree: (tree.total, tree.depth, tree.root))
    return min((tree.centred() for tree in trees), key=lambda tree: (tree.depth, tree.root))


def _walk(neighbours: Sequence[Sequence[int]], start: int) -> tuple[list[int], list[int]]:
    """Vertices in the order of breadth-first search, and which one each was reached from (-1 for the start)."""
    order, before, seen = [start], [-1] * len(neighbours), [False] * len(neighbours)
    seen[start] = True
    for vertex in order:
        for other in neighbours[vertex]:
            if not seen[other]:
                seen[other], before[other] = True, vertex
                order.append(other)
    return order, before
