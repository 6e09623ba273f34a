"""Cost and support of graphs."""

import numpy as np
import pytest

from onebit import ir
from onebit.core.errors import Unsupported
from onebit.ir import Graph, Node, Rules, TensorType, cost


def network() -> Graph:
    graph = Graph({"x": TensorType("float32", ("batch", 8, 8, 3))})
    weight = np.ones((16, 3, 3, 3), np.float32)
    y = graph.add("conv", "x", graph.constant(weight), stride=[2, 2], padding=[1, 1, 1, 1], path="stem")
    y = graph.add("conv", graph.add("sign", y), graph.constant(np.ones((16, 3, 3, 8), np.int8), bit=True), groups=2)
    y = graph.add("quantize", graph.add("cast", y, dtype="float32"), graph.constant(np.ones(1, np.float32)))
    graph.outputs = [graph.add("conv", y, graph.constant(np.ones((2, 2, 2, 16), np.int8)))]
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
