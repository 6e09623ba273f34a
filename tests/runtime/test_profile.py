"""The profile of a run: which operations do which nodes, what they cost, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from onebit import ir, runtime
from onebit.core.errors import Unsupported
from onebit.ir import cost

from . import packed

NATIVE = runtime.available_isas()[:-1]
BATCH = 3
INPUTS = {
    "convolution": (np.random.default_rng(0).normal(size=(BATCH, 1, 8, 8)).astype(np.float32),),
    "recurrent": (np.ones((1, 4), np.float32), np.ones((2 * BATCH, 1), np.float32)),
    "everything": (np.arange(5 * BATCH).reshape(BATCH, 5) % 7,),
}

pytestmark = pytest.mark.skipif(not NATIVE, reason="the engine was not built")


@pytest.fixture(params=packed.CORPUS)
def name(request):
    """Each network of the corpus."""
    return request.param


@pytest.fixture(params=NATIVE)
def isa(request):
    """Each instruction set of this machine."""
    return request.param


def test_each_node_is_in_one_operation_except_those_that_rename_memory(name, isa):
    graph = ir.loads(packed.CORPUS[name]())
    profile = runtime.Model(packed.CORPUS[name](), isa=isa).profile(*INPUTS[name], repeats=1)
    done = [node for operation in profile.operations for node in operation.nodes]
    assert len(done) == len(set(done))
    assert {graph.nodes[i].kind for i in set(range(len(graph.nodes))) - set(done)} <= {"reshape"}
    for operation in profile.operations:
        assert operation.kinds == tuple(graph.nodes[i].kind for i in operation.nodes)
        assert operation.output.name == graph.nodes[operation.nodes[-1]].output
    assert set(graph.outputs) <= {graph.nodes[i].output for i in done}


def test_the_operations_counted_are_those_of_the_cost_table(name):
    graph = ir.loads(packed.CORPUS[name]())
    profile = runtime.Model(packed.CORPUS[name]()).profile(*INPUTS[name], repeats=1)
    expected = cost.total(cost.table(graph, batch=BATCH)).operations
    assert cost.summed(operation.operations for operation in profile.operations) == expected


def test_values_that_stay_in_registers_are_neither_read_nor_written():
    graph = packed.graph(
        [["x", "bit", ["batch", 64]]],
        [["linear", ["x", "w"], ["sums"]], ["threshold", ["sums", "limit", "sense"], ["y"]]],
        ["y"],
    )
    bits = {"w": np.ones((32, 64), np.int8), "sense": np.ones(32, np.int8)}
    model = runtime.Model(packed.packed_file(graph, {"limit": np.zeros(32, np.int32)}, bits))
    small, large = (model.profile(np.ones((n, 64), np.int8), repeats=1).operations for n in (1, 101))
    assert [operation.nodes for operation in small] == [(0, 1)]
    assert small[0].bytes_written == 4  # 32 bits a row
    assert large[0].bytes_written == 101 * 4
    assert large[0].bytes_read - small[0].bytes_read == 100 * 8  # the weights are the same for any batch


@pytest.mark.parametrize("weight", ["bit", "ternary", "int8"])
@pytest.mark.parametrize("x", ["bit", "int8"])
def test_a_product_says_what_it_multiplies(x, weight):
    graph = ir.Graph({"x": ir.TensorType(x, ("batch", 64))})
    held = graph.constant(np.ones((8, 64), np.int8), bit=weight == "bit", ternary=weight == "ternary")
    graph.outputs = [graph.add("linear", "x", held)]
    (operation,) = runtime.Model(ir.dumps(graph)).profile(np.ones((2, 64), np.int8), repeats=1).operations
    assert operation.dtypes == (x, weight)
    assert operation.what == (f"linear, {x}" if x == weight else f"linear, {x} x {weight}")
    assert operation.macs == 2 * 8 * 64


def test_results_and_states_are_what_they_were_without_a_profile(name, isa):
    profiled, plain = (runtime.Model(packed.CORPUS[name](), isa=isa) for _ in range(2))
    for _ in range(2):
        profiled.profile(*INPUTS[name], repeats=2)
        found, expected = (model.run(*INPUTS[name]) for model in (profiled, plain))
        if not isinstance(found, tuple):
            found, expected = (found,), (expected,)
        assert [array.tobytes() for array in found] == [array.tobytes() for array in expected]
        assert profiled.state.keys() == plain.state.keys()
        for key, array in plain.state.items():
            assert profiled.state[key].tobytes() == array.tobytes()


def test_times_are_of_the_operations_and_of_the_whole_run(name):
    profile = runtime.Model(packed.CORPUS[name](), threads=2).profile(*INPUTS[name], repeats=5)
    assert (profile.repeats, profile.threads) == (5, 2)
    assert 0 < profile.minimum <= profile.median
    for operation in profile.operations:
        assert 0 <= operation.minimum <= operation.median
    assert sum(operation.minimum for operation in profile.operations) < profile.minimum
    whole = profile.rest + sum(operation.median for operation in profile.operations)
    assert 0 < profile.rest < whole
    assert sum(operation.share for operation in profile.operations) == pytest.approx(1 - profile.rest / whole)


def test_an_empty_batch_has_a_profile():
    profile = runtime.Model(packed.convolution()).profile(np.zeros((0, 1, 8, 8), np.float32), repeats=1)
    assert not any(operation.operations for operation in profile.operations)


def test_the_number_of_runs_is_checked():
    with pytest.raises(ValueError, match="repeats must be an integer of 1 or more, got 0"):
        runtime.Model(packed.convolution()).profile(*INPUTS["convolution"], repeats=0)


def test_an_input_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="input 'x' must be float32"):
        runtime.Model(packed.convolution()).profile(np.zeros((1, 1, 8, 9), np.float32))


def test_the_interpreter_has_no_profile_and_says_what_has():
    with pytest.raises(Unsupported, match=f"native engine.*{NATIVE[0]}"):
        runtime.Model(packed.convolution(), isa="interpreter").profile(*INPUTS["convolution"])
