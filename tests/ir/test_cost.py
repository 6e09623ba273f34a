"""Cost and support of graphs."""

import itertools

import numpy as np
import pytest

from onebit import ir
from onebit.core.errors import Unsupported
from onebit.ir import Graph, Node, Rules, TensorType, cost
from onebit.ir.widths import needed, widths


def network() -> Graph:
    graph = Graph({"x": TensorType("float32", ("batch", 8, 8, 3))})
    weight = np.ones((16, 3, 3, 3), np.float32)
    y = graph.add("conv", "x", graph.constant(weight), stride=[2, 2], padding=[1, 1, 1, 1], path="stem")
    y = graph.add("conv", graph.add("sign", y), graph.constant(np.ones((16, 3, 3, 8), np.int8), bit=True), groups=2)
    y = graph.add("quantize", graph.add("cast", y, dtype="float32"), graph.constant(np.ones(1, np.float32)))
    weight = np.linspace(-127, 127, 128).astype(np.int8).reshape(2, 2, 2, 16)
    graph.outputs = [graph.add("conv", y, graph.constant(weight))]
    return graph


def test_operations_are_counted_by_number_system():
    rows = cost.table(network(), batch=2)
    by_row = {row.kind + row.path: row for row in rows}
    assert by_row["convstem"].operations == {"float_macs": 2 * 4 * 4 * 16 * 27}
    assert rows[2].operations == {"bit_macs": 2 * 2 * 2 * 16 * 9 * 8}
    assert rows[-1].operations == {"int8_macs": 2 * 2 * 64}
    assert by_row["sign"].operations == {"float_ops": 2 * 4 * 4 * 16}


def test_parameters_bits_memory_and_effort_of_each_node():
    rows = cost.table(network())
    assert [row.parameters for row in rows] == [432, 0, 16 * 72, 0, 1, 128]
    assert [row.bits for row in rows] == [432 * 32, 0, 16 * 72, 0, 32, 128 * 8]
    assert [row.memory for row in rows] == [4 * 4 * 16 * 4, 32, 256, 256, 64, 8]
    assert rows[0].ace == rows[0].operations["float_macs"] * 1024
    assert rows[2].ace == rows[2].operations["bit_macs"]
    assert rows[-1].ace == rows[-1].operations["int8_macs"] * 64
    assert [row.cpu64 for row in rows if row.ace] == [rows[0].ace / 2048, rows[2].ace / 64, rows[-1].ace / 512]
    assert (cost.ace(network()), cost.cpu64(network())) == (sum(r.ace for r in rows), sum(r.cpu64 for r in rows))


def linear(low: int, high: int, dtype: str, weights: np.ndarray) -> Graph:
    graph = Graph({"x": TensorType("float32", ("batch", 4))})
    codes = graph.add("quantize", "x", graph.constant(np.ones(1, np.float32)), low=low, high=high, dtype=dtype)
    codes = graph.add("reshape", graph.add("reshape", codes, shape=["batch", 2, 2]), shape=["batch", 4])
    graph.outputs = [graph.add("linear", codes, graph.constant(weights))]
    return graph


@pytest.mark.parametrize(
    ("low", "high", "dtype", "bits"),
    [(-127, 127, "int8", 8), (-7, 7, "int8", 4), (0, 15, "uint8", 4), (0, 1, "uint8", 1)],
)
@pytest.mark.parametrize(("largest", "weight_bits"), [(127, 8), (7, 4), (1, 2)])
def test_codes_held_in_a_wider_type_count_with_the_bits_that_they_need(low, high, dtype, bits, largest, weight_bits):
    weights = np.array([[-largest, 0, 0, largest]], np.int8)
    row = cost.table(linear(low, high, dtype, weights))[-1]
    assert row.ace == 4 * bits * weight_bits
    assert row.cpu64 == 4 * max(bits, weight_bits) / 64


def test_the_needed_bits_are_those_of_the_smallest_type_that_holds_both_ends():
    for low, high in itertools.product(range(-20, 1), range(20)):
        bits = next(
            b for b in range(1, 9) if (0 if low >= 0 else -(2 ** (b - 1))) <= low and high <= 2 ** (b - (low < 0)) - 1
        )
        assert needed(low, high) == bits


def test_float32_and_wide_integers_count_with_their_type():
    graph = Graph({"x": TensorType("float32", ("batch", 3)), "b": TensorType("bit", ("batch", 3))})
    graph.outputs = [graph.add("cast", "b", dtype="int32")]
    found = widths(graph)
    assert (found["x"], found["b"], found[graph.outputs[0]]) == (32, 1, 32)


def test_a_total_adds_rows_and_takes_the_largest_memory():
    rows = cost.table(network())
    total = cost.total(rows)
    assert total.parameters == sum(row.parameters for row in rows)
    assert total.memory == 1024
    assert total.operations["bit_macs"] == rows[2].operations["bit_macs"]
    assert cost.total([]).operations == {}


def test_a_shared_weight_is_counted_once():
    graph = Graph({"x": TensorType("bit", ("batch", 4))})
    weight = graph.constant(np.ones((4, 4), np.int8), bit=True)
    graph.outputs = [graph.add("linear", "x", weight), graph.add("linear", "x", weight)]
    assert [row.parameters for row in cost.table(graph)] == [16, 0]


def test_support_lists_every_kind_for_every_reader():
    matrix = ir.support()
    assert matrix.keys() == set(ir.registry)
    assert all(row["interpreter"] for row in matrix.values())
    assert [kind for kind, row in matrix.items() if not row["engine"]] == ["batch_norm"]


def test_a_reader_without_a_rule_names_the_kind_the_module_and_what_to_do():
    rules = Rules("example", "replace it", register=False)
    rules("relu", "neg")(str.upper)
    assert list(rules) == ["relu", "neg"]
    assert "relu" in rules
    assert rules.find(Node("neg", ("x",), ("y",))) is str.upper
    with pytest.raises(Unsupported, match=r"example has no rule for erf \(from gelu\): replace it"):
        rules.find(Node("erf", ("x",), ("y",), {}, "gelu"))
    with pytest.raises(KeyError, match="unknown kind 'rely'"):
        rules("rely")(str.upper)
