"""The hardware track: what is timed computes the right thing, and what the summary makes of rows."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from onebit import deploy, ir, runtime
from onebit.evidence import tracks
from onebit.evidence.demo import differing_bits
from onebit.evidence.engine import Shape, binary_layers, peers
from onebit.evidence.engine.balance import binary_layers as layers_of_bits
from onebit.evidence.tracks import hardware, network
from onebit.ir import cost

METHODS = ("bnn", "xnor++")
TRACK = tracks.registry["hardware"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The track at scale smoke."""
    pytest.importorskip("onnxruntime")
    return tracks.run(TRACK, tracks.Plan("smoke", METHODS), tmp_path_factory.mktemp("hardware"))


def smoke(methods=METHODS):
    return network.networks(tracks.Plan("smoke", methods), methods)


@pytest.mark.parametrize("given", smoke(("bnn", "xnor", "xnor++", "react")), ids=lambda given: given.method)
def test_what_is_timed_gives_the_bits_of_the_interpreter(given, tmp_path):
    bits = hardware.built(given)
    example = network.inputs(given.examples())
    deploy.pack(bits, example[:1], tmp_path / "network.onebit")
    found = runtime.load(tmp_path / "network.onebit", threads=1).run(example.numpy())
    expected = ir.load(tmp_path / "network.onebit").run(example.numpy())[0][0]
    assert differing_bits(found, expected) == 0
    assert np.ptp(found, axis=0).min() > 0, "every output depends on the example"


def test_the_peers_run_the_float_twin_of_the_network(tmp_path):
    pytest.importorskip("onnxruntime")
    [given] = smoke(("bnn",))
    twin, exported = hardware.twin(given)
    assert layers_of_bits(hardware.built(given))
    assert not layers_of_bits(twin)
    example = network.inputs(given.examples())[:1].contiguous()
    path = tmp_path / "twin.onnx"
    path.write_bytes(exported)
    with peers.torch_threads(1):
        opened, _ = peers.open_all(peers.Workload(lambda: twin, path, example.numpy()), (peers.TORCH, peers.ORT))
        results = [np.asarray(one.call()).reshape(-1) for one in opened.values()]
    with torch.no_grad():
        expected = twin(example).numpy().reshape(-1)
    for result in results:
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_signs_are_balanced_as_after_training():
    [given] = smoke(("bnn",))
    bits = hardware.built(given)
    shares = []
    for layer in layers_of_bits(bits):
        layer.register_forward_pre_hook(lambda _, x: shares.append((x[0] >= 0).float().mean().item()))
    with torch.no_grad():
        bits(network.inputs(given.examples()))
    assert shares
    assert all(0.3 < share < 0.7 for share in shares), shares


def test_the_overall_metric_follows_from_the_rows(rows):
    found = TRACK.summary(rows)
    for row in rows:
        if "network" not in row.settings:
            continue
        seconds = {name: timing["median"] for name, timing in row.result["seconds"].items()}
        fast = seconds["onnxruntime_float32"] / seconds["engine"]
        small = row.result["float_bytes"] / row.result["bytes"]
        metric = found.overall[row.settings["method"]]
        # One network: means over the networks are its own ratios.
        assert metric.metric == pytest.approx(math.sqrt((fast**2 + small**2) / 2), rel=1e-12)
        assert small > 1
        assert all(timing["minimum"] <= timing["median"] for timing in row.result["seconds"].values())
    assert [line[0] for line in found.rows] == list(METHODS)
    assert all(len(line) == len(found.columns) for line in found.rows)
    assert TRACK.summary([row for row in rows if "network" in row.settings]).overall == found.overall


def test_a_failed_cell_leaves_a_gap_and_its_method_without_a_metric(rows):
    failed = [
        dataclasses.replace(row, result=None, error="it failed") if row.settings.get("method") == "bnn" else row
        for row in rows
    ]
    found = TRACK.summary(failed)
    lines = {line[0]: line[1:] for line in found.rows}
    assert set(found.overall) == {"xnor++"}
    assert set(lines["bnn"]) == {"-"}
    assert "-" not in lines["xnor++"]


def test_a_layer_that_failed_is_said_to_be_unmeasured(rows):
    [layer] = [row for row in rows if "layer" in row.settings]
    lost = dataclasses.replace(layer, result=None, error="it failed")

    def said(row):
        [note] = [note for note in TRACK.summary([row]).notes if "in theory" in note]
        return note

    assert "- measured" not in said(layer)
    assert "- measured" in said(lost)


@pytest.mark.parametrize(("size", "channels"), hardware.LAYERS)
def test_the_theory_of_a_layer_is_counted_on_its_graph(size, channels):
    graph = binary_layers(Shape(size, channels), "bits", depth=1)
    counts = cost.total(cost.table(graph)).operations
    every = counts["bit_macs"] + size * size * channels
    # 64 products of bits are one; one comparison an output stays.
    expected = every / (counts["bit_macs"] / 64 + size * size * channels)
    assert hardware.theory(Shape(size, channels)) == pytest.approx(expected, rel=1e-12)
    assert hardware.theory(Shape(size, channels)) < 64


def test_cells_are_timed_alone():
    phases = TRACK.phases(tracks.Plan("small", ("bnn",), tasks=("digits",)))
    assert all(phase.alone for phase in phases)
    assert [len(phase.cells) for phase in phases] == [1, len(hardware.LAYERS)]
