"""The cost track: counts by formulas of their own, and what the summary makes of rows."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from onebit.data import Dataset, Split
from onebit.evidence import sweep, tracks
from onebit.evidence.tracks import cost, network
from onebit.evidence.tracks.complexity import complexity
from onebit.evidence.tracks.overall import compression_ratio, overall, speedup_ratio
from onebit.learn import ModelSpec

METHODS = ("bnn", "xnor")
TRACK = tracks.registry["cost"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The track at scale smoke."""
    return tracks.run(TRACK, tracks.Plan("smoke", METHODS), tmp_path_factory.mktemp("cost"))


def flat(features: int, classes: int) -> Dataset:
    split = Split(torch.zeros(4, features), torch.zeros(4, dtype=torch.int64))
    return Dataset("flat", split, split, classes, tuple("abcdefgh"[:classes]))


def test_the_formulas_give_the_numbers_that_are_known():
    compression, speedup = compression_ratio(1000, 100), speedup_ratio(1_000_000, 50_000)
    assert compression == pytest.approx(7.804878, abs=5e-7)
    assert speedup == pytest.approx(15.421687, abs=5e-7)
    found = overall({"parameters": [compression], "operations": [speedup]})
    assert found.metric == pytest.approx(12.221795, abs=5e-7)


@pytest.mark.parametrize(("width", "depth"), [(8, 1), (24, 2), (40, 3)])
def test_the_counts_of_an_mlp_follow_from_its_layers(width, depth):
    data = flat(20, 5)
    found = complexity(ModelSpec("mlp", {"width": width, "depth": depth}, "bnn").fitted(data).build(0).eval(), data)
    layers = [module for module in ModelSpec("mlp", {"width": width, "depth": depth}).fitted(data).build(0).modules()
              if isinstance(module, torch.nn.Linear)]  # fmt: skip
    first, *hidden, last = layers
    assert found["bit_macs"] == found["bit_parameters"] == len(hidden) * width**2
    assert found["real_macs"] == first.weight.numel() + last.weight.numel() == 20 * width + width * 5


def test_bits_and_the_rest_are_the_parameters_of_the_float_network_where_a_method_adds_none(rows):
    found = {row.settings["method"]: row.result for row in rows}
    whole = found["float"]["real_parameters"]
    assert found["float"]["bit_parameters"] == found["float"]["bit_macs"] == 0
    assert found["bnn"]["bit_parameters"] + found["bnn"]["real_parameters"] == whole
    for method in METHODS:
        assert found[method]["bit_macs"] + found[method]["real_macs"] == found["float"]["real_macs"]
    # One scale an output channel of three convolutions of bits, and nothing else.
    assert found["xnor"]["real_parameters"] - found["bnn"]["real_parameters"] == 3 * 16


def test_counts_do_not_depend_on_the_weights():
    [given] = [n for n in network.networks(tracks.Plan("smoke", ("react",)), ("react",))]
    assert complexity(given.build(0), given.examples()) == complexity(given.build(1), given.examples())


def test_the_overall_metric_follows_from_the_counts(rows):
    found = TRACK.summary(rows)
    for row in rows:
        counts = row.result
        bits, real = counts["bit_parameters"], counts["real_parameters"]
        words = (bits + real) / (bits / 32 + real)
        products = (counts["bit_macs"] + counts["real_macs"]) / (counts["bit_macs"] / 64 + counts["real_macs"])
        metric = found.overall[row.settings["method"]]
        assert metric.metric == pytest.approx(math.sqrt((words**2 + products**2) / 2), rel=1e-12)
        assert metric.parts == pytest.approx({"parameters": words, "operations": products}, rel=1e-12)
    assert found.overall["float"].metric == 1
    assert [line[0] for line in found.rows] == ["float", *METHODS]
    assert all(len(line) == len(found.columns) for line in found.rows)


@pytest.mark.parametrize("lost", ["float", "bnn"])
def test_a_failed_cell_leaves_a_gap_and_its_method_without_a_metric(rows, lost):
    failed = [
        dataclasses.replace(row, result=None, error="it failed") if row.settings["method"] == lost else row
        for row in rows
    ]
    found = TRACK.summary(failed)
    lines = {line[0]: line[1:] for line in found.rows}
    assert set(found.overall) == {"float", *METHODS} - {lost}
    assert set(lines[lost]) == {"-"}
    # What is compared with the float network is unknown without it; the other ratios are a network's own.
    assert [text == "-" for text in lines["xnor"]] == [False] * 3 + [lost == "float"] * 2 + [False] * 2


def test_a_network_that_one_method_lacks_takes_its_metric_away(rows):
    more = [
        sweep.Row("k", "cell", row.settings | {"network": "another"}, row.version, row.result, None, 1.0)
        for row in rows
        if row.settings["method"] != "xnor"
    ]
    assert set(TRACK.summary([*rows, *more]).overall) == {"float", "bnn"}


def test_element_wise_operations_lower_the_speed_up_and_folding_the_bytes(rows):
    for row in rows:
        assert cost.every_operation(row.result) <= cost.operations(row.result)
        bits, real = row.result["bit_parameters"], row.result["real_parameters"]
        # Passes fold scales and norms into one another: the packed file has fewer numbers than the network.
        assert bits / 8 < row.result["bytes"] < bits / 8 + 4 * real


def test_plans_choose_tasks_architectures_and_published_sizes():
    def names(**chosen):
        return list(dict.fromkeys(n.name for n in network.networks(tracks.Plan("small", ("bnn",), **chosen), ("bnn",))))

    assert names(tasks=("digits",)) == ["digits"]
    assert names(architectures=("mlp", "convnet")) == ["mlp", "convnet"]
    assert names(tasks=("digits", "mnist"), architectures=("mlp",)) == ["digits mlp", "mnist mlp"]


def test_a_network_of_published_size_is_described_without_data():
    for name, (model, sizes, shape, classes) in network.PUBLISHED.items():
        given = network.Network(name, "float", ModelSpec(model, sizes).to_dict(), name)
        assert given.examples().input_shape == shape
        assert given.examples().num_classes == classes
        assert network.Network.of(given.settings()) == given == given._replace(method="bnn").twin
