"""Spanning trees: as short as SciPy's, cut by cut; flat; and refused where they are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import breadth_first_order
from scipy.sparse.csgraph import minimum_spanning_tree as scipy_tree

from onebit.core.spanning import Tree, check_distances, depths, minimum_spanning_tree, prim


def hamming(seed: int, count: int, size: int) -> np.ndarray:
    signs = np.random.default_rng(seed).choice([-1, 1], (count, size))
    return (size - signs @ signs.T) // 2


def eccentricities(tree: Tree) -> list[int]:
    """The longest way from each vertex, by SciPy."""
    count = len(tree.parents)
    matrix = np.zeros((count, count))
    for child, parent in enumerate(tree.parents):
        if parent >= 0:
            matrix[child, parent] = matrix[parent, child] = 1
    found = []
    for start in range(count):
        order, before = breadth_first_order(matrix, start, directed=False)
        length = {start: 0}
        for vertex in order[1:]:
            length[vertex] = length[before[vertex]] + 1
        found.append(max(length.values()))
    return found


CASES = given(seed=st.integers(0, 2**20), count=st.integers(1, 24), size=st.integers(1, 40))


@CASES
def test_the_total_is_that_of_scipy(seed, count, size):
    distances = hamming(seed, count, size)
    tree = minimum_spanning_tree(distances)
    # SciPy takes 0 for no edge: every edge is made one longer
    assert tree.total == scipy_tree(distances + 1 - np.eye(count)).sum() - (count - 1)
    assert {built.total for built in prim(distances, range(count))} == {tree.total}


@CASES
def test_no_edge_across_a_cut_is_shorter_than_the_tree_s(seed, count, size):
    distances = hamming(seed, count, size)
    tree = minimum_spanning_tree(distances)
    for child in np.flatnonzero(tree.parents >= 0):
        below = {int(child)}
        for vertex in tree.order:
            if tree.parents[vertex] in below:
                below.add(int(vertex))
        inside = np.array(sorted(below))
        outside = np.setdiff1d(np.arange(count), inside)
        assert distances[child, tree.parents[child]] == tree.distances[child]
        assert distances[np.ix_(inside, outside)].min() == tree.distances[child]


@CASES
def test_the_root_is_a_centre(seed, count, size):
    tree = minimum_spanning_tree(hamming(seed, count, size))
    ways = eccentricities(tree)
    assert tree.depth == ways[tree.root] == min(ways) == -(-max(ways) // 2)


@CASES
def test_an_order_has_every_vertex_once_after_its_parent(seed, count, size):
    tree = minimum_spanning_tree(hamming(seed, count, size))
    place = np.empty(count, int)
    place[tree.order] = np.arange(count)
    assert sorted(tree.order) == list(range(count))
    assert all(place[up] < place[child] for child, up in enumerate(tree.parents) if up >= 0)


@CASES
def test_renumbering_the_vertices_keeps_the_total(seed, count, size):
    distances = hamming(seed, count, size)
    new = np.random.default_rng(seed).permutation(count)
    assert minimum_spanning_tree(distances[np.ix_(new, new)]).total == minimum_spanning_tree(distances).total


@CASES
def test_a_limit_of_the_depth_is_kept_and_costs_length(seed, count, size):
    distances = hamming(seed, count, size)
    free = minimum_spanning_tree(distances)
    star = minimum_spanning_tree(distances, max_depth=1)
    assert star.total == distances.sum(1).min()
    assert star.depth == min(1, count - 1)
    for most in range(1, 5):
        tree = minimum_spanning_tree(distances, max_depth=most)
        assert tree.depth <= most
        assert free.total <= tree.total


def test_equal_vertices_make_a_star():
    tree = minimum_spanning_tree(np.zeros((9, 9), int))
    assert (tree.total, tree.depth) == (0, 1)


def test_ties_go_to_the_flatter_tree():
    flat = [minimum_spanning_tree(hamming(seed, 64, 27)).depth for seed in range(5)]
    first = [prim(hamming(seed, 64, 27), [0])[0].depth for seed in range(5)]
    assert all(a <= b for a, b in zip(flat, first))
    assert sum(flat) < sum(first)


@pytest.mark.parametrize(
    ("distances", "reason"),
    [
        (np.zeros((2, 3), int), r"\(C, C\)"),
        (np.zeros((0, 0), int), r"\(C, C\)"),
        (np.zeros((2, 2)), "integers"),
        (np.array([[0, -1], [-1, 0]]), "symmetric"),
        (np.array([[0, 1], [2, 0]]), "symmetric"),
        (np.array([[1, 1], [1, 0]]), "diagonal"),
        (np.array([[0, 2**32], [2**32, 0]]), "4294967295"),
    ],
)
def test_what_is_no_distance_is_refused(distances, reason):
    with pytest.raises(ValueError, match=reason):
        check_distances(distances)
    with pytest.raises(ValueError, match=reason):
        minimum_spanning_tree(distances)


def test_the_largest_distance_fits():
    distances = np.full((3, 3), 2**32 - 1) - np.diag([2**32 - 1] * 3)
    assert minimum_spanning_tree(distances).total == 2 * (2**32 - 1)


@pytest.mark.parametrize("parents", [[], [0, 1], [-1, -1], [1, 0], [1, 2, 1, -1], [-1, 2], [-2, -1]])
def test_what_is_no_tree_is_refused(parents):
    with pytest.raises(ValueError, match=r"parent|root"):
        Tree(np.array(parents, int), np.zeros(len(parents), int))


@pytest.mark.parametrize("settings", [{"roots": 0}, {"max_depth": 0}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match="must be 1 or more"):
        minimum_spanning_tree(np.zeros((2, 2), int), **settings)
    with pytest.raises(ValueError, match=r"roots must be 0\.\.1"):
        prim(np.zeros((2, 2), int), [2])


def test_depths_count_the_way_to_the_root():
    chain = np.maximum(np.arange(100) - 1, 0)
    assert depths(chain).tolist() == list(range(100))
