"""Layers of bits in reuse order: the same bits as the plain layer; what it costs; files that are really smaller."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onebit import deploy, ir, runtime
from onebit.core.spanning import Tree, prim
from onebit.deploy import compression
from onebit.deploy.compression import ReuseOrder, chance_ratio, hamming_matrix, layer_cost
from onebit.ir.graph import Graph
from onebit.ir.types import TensorType

from ..graphs import random_graph

SIGNS = np.array([-1, 1], np.int8)


def draw(dtype: str, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    if dtype == "bit":
        return rng.choice(SIGNS, shape)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape, dtype)


def random_layer(rng: np.random.Generator) -> tuple[Graph, np.ndarray]:
    """A linear layer or convolution of bits on integers, of any shape, stride, padding, dilation and groups."""
    dtype = str(rng.choice(["bit", "int8", "uint8"]))
    batch, groups = int(rng.integers(0, 3)), int(rng.integers(1, 4))
    if rng.random() < 0.3:
        channels, outputs = (int(rng.integers(1, 40)) for _ in range(2))
        graph = Graph({"x": TensorType(dtype, ("batch", channels))})
        weight = graph.constant(rng.choice(SIGNS, (outputs, channels)), bit=True)
        graph.outputs = [graph.add("linear", "x", weight)]
        return graph, draw(dtype, rng, (batch, channels))
    kernel, padding = rng.integers(1, 4, 2), rng.integers(0, 3, 4)
    channels, outputs = (groups * int(rng.integers(1, 6)) for _ in range(2))
    graph = Graph({"x": TensorType(dtype, ("batch", 7, 8, channels))})
    weight = graph.constant(rng.choice(SIGNS, (outputs, *kernel, channels // groups)), bit=True)
    attributes = {
        "stride": tuple(map(int, rng.integers(1, 4, 2))),
        "padding": tuple(map(int, padding)),
        "dilation": tuple(map(int, rng.integers(1, 3, 2))),
        "groups": groups,
        "pad_value": int(rng.integers(-1, 2)) if dtype == "bit" else 0,
    }
    graph.outputs = [graph.add("conv", "x", weight, **attributes)]
    return graph, draw(dtype, rng, (batch, 7, 8, channels))


@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_random_layers_give_the_same_bits_in_reuse_order(seed):
    rng = np.random.default_rng(seed)
    for _ in range(250):
        graph, x = random_layer(rng)
        [plain], [reused] = graph.run(x)[0], compression.run(graph, x)[0]
        assert reused.dtype == plain.dtype
        assert np.array_equal(reused, plain)


@pytest.mark.parametrize("seed", range(20))
def test_whole_networks_give_the_same_bits(seed):
    graph, inputs = random_graph(np.random.default_rng([3, seed]), batch_norm=False)
    plain, state = graph.run(*inputs)
    reused, state_after = compression.run(graph, *inputs)
    for one, other in zip([*plain, *state.values()], [*reused, *state_after.values()], strict=True):
        assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def test_any_tree_is_exact():
    rng = np.random.default_rng(0)
    weight, x = rng.choice(SIGNS, (9, 30)), rng.integers(-99, 99, (5, 30), np.int8)
    chain = Tree(np.arange(9) - 1, np.array([0, *(hamming_matrix(weight)[i, i + 1] for i in range(8))]))
    for tree in (chain, *prim(hamming_matrix(weight), range(9), 1)):
        assert np.array_equal(ReuseOrder(weight, (tree,)).linear(x), x.astype(np.int32) @ weight.T)


def test_distances_are_those_of_a_count_and_know_no_position():
    rng = np.random.default_rng(1)
    kernels = rng.normal(size=(12, 3, 3, 5))
    kernels[0, 0] = 0
    signs = (kernels >= 0).reshape(12, -1)
    distances = hamming_matrix(kernels)
    assert np.array_equal(distances, (signs[:, None] != signs[None]).sum(-1))
    assert (distances[:, None] <= distances[:, :, None] + distances[None]).all()
    moved = signs[:, rng.permutation(45)] * 2 - 1
    assert np.array_equal(hamming_matrix(moved * rng.choice(SIGNS, 45)), distances)
    with pytest.raises(ValueError, match="NaN"):
        hamming_matrix(np.array([[np.nan]]))


def test_the_ratio_of_equal_kernels_is_their_number_and_of_two_opposites_is_half_of_it():
    same = layer_cost(ReuseOrder.of(np.ones((8, 16), np.int8)), samples=0)
    assert (same.ratio, same.depth, same.distance, same.entropy_bits) == (8.0, 1, 0, 16)
    opposite = np.int8([[1] * 16] * 4 + [[-1] * 16] * 4)
    assert layer_cost(ReuseOrder.of(opposite), samples=0).ratio == 4.0
    assert layer_cost(ReuseOrder.of(np.ones((1, 16), np.int8)), samples=0).ratio == 1.0


def test_random_kernels_have_the_ratio_of_chance_and_no_smaller_file():
    rng = np.random.default_rng(5)
    cost = layer_cost(ReuseOrder.of(rng.choice(SIGNS, (64, 576))))
    assert cost.ratio == pytest.approx(cost.chance, rel=0.02)
    assert cost.stored_bits == cost.parameters < cost.index_bits
    assert cost.chance == chance_ratio(64, 576)


def test_operations_are_counted_as_the_graph_s_cost_counts_them():
    rng = np.random.default_rng(6)
    graph = Graph({"x": TensorType("bit", ("batch", 8, 8, 4))})
    weight = graph.constant(rng.choice(SIGNS, (6, 3, 3, 2)), bit=True)
    graph.outputs = [graph.add("conv", "x", weight, groups=2)]
    [layer] = compression.report(graph)
    row = ir.cost.table(graph)[0]
    assert layer.operations == row.operations["bit_macs"]
    assert layer.parameters == row.parameters
    assert layer.operations_reused == layer.positions * layer.used == 36 * (2 * 18 + layer.distance)
    assert layer.additions == 36 * 4


def alike(seed: int = 0, share: float = 0.08) -> Graph:
    """A layer whose kernels differ little."""
    rng = np.random.default_rng(seed)
    weight = rng.choice(SIGNS, 256) * np.where(rng.random((48, 256)) < share, -1, 1)
    graph = Graph({"x": TensorType("bit", ("batch", 256))})
    graph.outputs = [graph.add("linear", "x", graph.constant(weight.astype(np.int8), bit=True))]
    return graph


def test_a_compressed_file_is_smaller_and_the_engine_gives_the_same_bits(tmp_path):
    graph = alike()
    report = deploy.compress(graph, tmp_path / "small.onebit")
    x = draw("bit", np.random.default_rng(1), (7, 256))
    assert np.array_equal(runtime.load(tmp_path / "small.onebit").run(x), graph.run(x)[0][0])
    assert report.size == (tmp_path / "small.onebit").stat().st_size < report.plain_size == len(ir.dumps(graph))
    assert (report.trees, report.tensors) == (1, 1)
    [layer] = report.layers
    assert layer.entropy_bits < layer.stored_bits < 1.05 * layer.entropy_bits + 48 * 6 + 128 + 64
    assert "1 of 1 tensors" in str(report)


def test_a_file_that_would_not_be_smaller_stays_as_it_is(tmp_path):
    rng = np.random.default_rng(2)
    graph = Graph({"x": TensorType("bit", ("batch", 64))})
    graph.outputs = [graph.add("linear", "x", graph.constant(rng.choice(SIGNS, (64, 64)), bit=True))]
    report = deploy.compress(graph, tmp_path / "same.onebit")
    assert (tmp_path / "same.onebit").read_bytes() == ir.dumps(graph)
    assert (report.trees, report.times_smaller) == (0, 1.0)


def test_the_command_writes_the_file_and_says_what_it_saves(tmp_path, capsys, monkeypatch):
    from onebit.cli.main import main

    monkeypatch.chdir(tmp_path)
    ir.save(alike(), "net.onebit")
    assert main(["compress", "net.onebit", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == "net.tree.onebit"
    assert found["times_smaller"] > 1.5
    assert found["layers"][0]["operations"] > 5 * found["layers"][0]["operations_reused"]
    assert main(["compress", "net.onebit", "-o", "again.onebit", "--max-depth", "1"]) == 0
    assert (tmp_path / "again.onebit").read_bytes() == (tmp_path / "net.tree.onebit").read_bytes()
    for wrong in (["net.onebit", "-o", "net.onebit"], ["none.onebit"], ["net.onebit", "--max-depth", "0"]):
        assert main(["compress", *wrong]) == 2
