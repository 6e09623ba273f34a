"""The checks of random graphs find a fault wherever one is made."""

from __future__ import annotations

import importlib
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.products import check_product
from tests.graphs.case import Case, random_case
from tests.graphs.checks import Difference, check, scattered

from onebit.ir import Graph, TensorType, passes, registry

MOST_SEEDS = 400
NO_ENGINE = ("batch_norm",)  # its fault shows where it is folded


def faulty(kind: str):
    """A context in which the interpreter computes something else for ``kind``."""
    right = registry[kind]

    def run(attributes, shape, *inputs):
        y = right.run(attributes, shape, *inputs)
        if y.dtype == np.bool_:
            return ~y
        return (-y if y.dtype == np.int8 else y + y.dtype.type(1)).astype(y.dtype)

    return mock.patch.dict(registry._items, {kind: replace(right, run=run)})


def first_difference(accept=lambda graph: True) -> Difference | None:
    for seed in range(MOST_SEEDS):
        case = random_case(seed)
        if accept(case.graph):
            try:
                check(case, seed)
            except Difference as difference:
                return difference
    return None


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_passes_keep_what_random_graphs_compute_and_the_engine_gives_their_bits(seed):
    for part in range(4):
        check(random_case(4 * seed + part), seed + part)


@pytest.mark.parametrize("kind", registry)
def test_a_fault_in_one_kind_of_the_interpreter_is_found(kind):
    with faulty(kind):
        difference = first_difference(lambda graph: any(node.kind == kind for node in graph.nodes))
    assert difference is not None
    if kind in NO_ENGINE:
        assert difference.stage == "pass fold_batch_norm"


def module(name: str):
    return importlib.import_module(f"onebit.ir.passes.{name}")


FAULTS = {
    "thresholds": lambda: mock.patch.object(module("thresholds"), "_as_int32", lambda a, b: (np.int32(a + 1), b)),
    "bits_through_max_pool": lambda: mock.patch.object(
        module("bits_through_max_pool"), "_nondecreasing", module("rewrite").operand
    ),
    "sign_before_moves": lambda: mock.patch.object(module("moves"), "MOVES", ("reshape", "transpose", "relu", "neg")),
    "remove_identities": lambda: mock.patch.object(module("remove"), "repr", create=True, return_value=""),
    "permute_linear": lambda: mock.patch.object(np, "argsort", lambda perm: np.arange(len(perm))),
    "fold_constants": lambda: mock.patch.object(module("fold_constants"), "run_node", _off_by_a_little),
}


def _off_by_a_little(node, shape, *inputs):
    y = module("rewrite").run_node(node, shape, *inputs)
    return np.nextafter(y, np.float32(9)) if y.dtype == np.float32 else y


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_a_pass_is_found_and_named(name):
    with FAULTS[name]():
        difference = first_difference()
    assert difference is not None
    assert difference.stage == f"pass {name}"


@pytest.mark.parametrize("factor", [1.00001, 0.99999])
def test_a_folded_scale_that_is_off_by_more_than_its_rounding_is_found(factor):
    right = module("fold_affine")._chains

    def wrong(graph):
        result = right(graph)
        for name, array in result.tensors.items():
            if name not in graph.tensors and name.startswith("scale"):
                result.tensors[name] = array * np.float32(factor)
        return result

    with mock.patch.object(module("fold_affine"), "_chains", wrong):
        difference = first_difference()
    assert difference is not None
    assert difference.stage == "pass fold_batch_norm"


def test_a_run_that_must_fail_must_fail_in_the_engine_too():
    graph = Graph({"x": TensorType("float32", ("batch", "length"))})
    graph.outputs = [graph.add("reduce", "x", op="max")]
    check(Case(graph, [[np.zeros((2, 3), np.float32)], [np.zeros((2, 0), np.float32)]]))


def test_scattered_arrays_hold_the_same_and_lie_elsewhere():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert np.array_equal(scattered(x), x)
    assert not scattered(x).flags.c_contiguous


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_products_of_any_size_are_those_of_integers_in_numpy(seed):
    check_product(seed)


def test_folding_what_leaves_float32_says_nothing_and_changes_nothing(recwarn):
    graph = Graph({"x": TensorType("float32", ("batch", 1))})
    y = graph.add("linear", "x", graph.constant(np.float32([[3e38]])))
    y = graph.add("affine", y, graph.constant(np.float32([3e38])), graph.constant(np.float32([0])))
    z = graph.add("div", graph.add("neg", y), graph.constant(np.float32([0])))
    graph.outputs = [z]
    assert [node.kind for node in passes.fold_batch_norm(graph).nodes] == ["linear", "affine", "div"]
    assert not recwarn.list
