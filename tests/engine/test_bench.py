"""The benchmark measures what it says: what is timed is right, and the tables say what was found."""

from __future__ import annotations

import dataclasses
import json
import sys
import types

import numpy as np
import pytest
from tests.engine.build import check, same

from onebit import deploy, ir, runtime
from onebit.cli.main import main
from onebit.core import journal
from onebit.evidence import engine
from onebit.evidence.engine import ceiling, layers, memory, networks, parts, peers, record, table
from onebit.evidence.engine.balance import binary_layers
from onebit.evidence.engine.shape import SHAPES, FloatLayers, Shape
from onebit.evidence.site import bench as page

SMALL = [Shape(10, 64), Shape(10, 64, 2), Shape(7, 32, 1, 1), Shape.linear(96, 3)]
TINY = networks.Network("tiny", "vgg-small", "bnn", 16, {"width": 8, "image_size": 16, "num_classes": 10})


@pytest.fixture(scope="module")
def found() -> engine.Bench:
    """A whole benchmark of tiny layers and a tiny network."""
    pytest.importorskip("onnxruntime")
    rows = layers.measure_all([Shape(7, 32), Shape(7, 32, 2), Shape.linear(32, 2)], repeats=1, seconds=0.01)
    with pytest.MonkeyPatch.context() as patch:  # a process a peer takes seconds; there is a test of its own
        patch.setattr(networks, "memory", lambda *_: memory.Memory(3 << 20, 4096))
        measured = networks.measure(TINY, (1, 2), (1, 2), 2)
    made = ceiling.ceilings(ceiling.isas()[:1], 0.004)
    return engine.Bench.now(
        "onebit bench engine", ceilings=made, copying=ceiling.copying(0.001), layers=rows, networks=[measured]
    )


# Layers


@pytest.mark.parametrize("form", engine.FORMS)
@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_the_layers_that_are_timed_give_the_bits_of_the_interpreter(shape, form):
    check(engine.binary_layers(shape, form, depth=2), [], threads=(1, 2))


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_the_graph_of_a_layer_has_the_multiply_accumulates_that_its_rate_counts(shape):
    for form in engine.FORMS:
        operations = ir.cost.total(ir.cost.table(engine.binary_layers(shape, form, depth=3))).operations
        assert operations["bit_macs"] == 3 * shape.macs


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_the_float_layers_are_the_same_in_pytorch_and_onnx_runtime(shape, tmp_path):
    pytest.importorskip("onnxruntime")
    twin = FloatLayers.random(shape, depth=2)
    workload = peers.Workload(twin.module, twin.write(tmp_path / "layers.onnx"), twin.input())
    with peers.torch_threads(1):
        ours = peers.pytorch(workload).call()
        theirs = peers.onnxruntime_float(workload).call()
    ours = ours if isinstance(ours, list) else [ours]
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a.shape == b.shape == shape_of(shape)
        assert np.allclose(a.numpy(), b, atol=1e-4)


def shape_of(shape: Shape) -> tuple[int, ...]:
    spatial = () if shape.is_linear else (shape.out_size, shape.out_size)
    return (shape.batch, shape.out_channels, *spatial)


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_the_int8_peer_runs_every_product_in_integers(shape, tmp_path):
    pytest.importorskip("onnxruntime")
    twin = FloatLayers.random(shape, depth=2)
    opened = peers.onnxruntime_int8(peers.Workload(twin.module, twin.write(tmp_path / "layers.onnx"), twin.input()))
    assert opened.nodes["QGemm" if shape.is_linear else "QLinearConv"] == 2
    assert not {"Conv", "Gemm", "MatMul", "FusedConv"} & set(opened.nodes)


def test_an_int8_peer_with_a_float_product_is_left_out_and_says_so(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    twin = FloatLayers.random(Shape(7, 32), depth=2)
    monkeypatch.setattr(peers, "quantized", lambda path, x: path)  # nothing was prepared
    opened, skipped = peers.open_all(
        peers.Workload(twin.module, twin.write(tmp_path / "layers.onnx"), twin.input()), [peers.ORT_INT8]
    )
    assert opened == {}
    assert skipped[peers.ORT_INT8].startswith("2 of 2 Conv nodes still run in float")


def test_the_layers_are_those_of_resnet_18_1x1_and_linear():
    assert [str(s) for s in SHAPES if s.kernel == 3] == [
        *("56x56x64", "28x28x128", "14x14x256", "7x7x512"),
        *("56x56x64 /2", "28x28x128 /2", "14x14x256 /2"),
    ]
    assert {s.macs for s in SHAPES if s.kernel == 3 and s.stride == 1} == {115_605_504}
    assert [(s.channels, s.batch) for s in SHAPES if s.is_linear] == [
        (f, n) for f in (1024, 4096) for n in (1, 16, 256)
    ]


def test_bytes_of_a_layer_are_bits_and_floats_read_and_written_once():
    shape = Shape(4, 32, 2)  # 4x4x32 bits in, 64x3x3x32 weights, 2x2x64 out
    assert shape.bytes("bits") == (512 + 18432 + 256) / 8
    assert shape.bytes("float") == shape.bytes("bits") + 2 * 4 * 256


# Peers


def test_an_engine_that_is_installed_is_a_row_and_one_that_is_not_is_named(tmp_path, monkeypatch):
    twin = FloatLayers.random(Shape(7, 32), depth=1)
    workload = peers.Workload(twin.module, tmp_path / "layers.onnx", twin.input(), threads=2)
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert peers.open_all(workload, ["openvino_float32"])[1] == {
        "openvino_float32": "the package openvino is not installed"
    }
    asked = []

    class Core:
        def compile_model(self, path, device, settings):
            asked.append((path, device, settings["INFERENCE_NUM_THREADS"]))
            return lambda inputs: inputs[0].sum()

    monkeypatch.setitem(sys.modules, "openvino", types.SimpleNamespace(Core=Core))
    opened, _ = peers.open_all(workload, ["openvino_float32"])
    assert opened["openvino_float32"].call() == workload.input.sum()
    assert asked == [(str(workload.onnx), "CPU", 2)]


def test_threads_of_pytorch_are_those_asked_for_and_put_back():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    with peers.torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        assert torch.is_inference_mode_enabled()
    assert torch.get_num_threads() == before


# Timing


def test_the_shares_of_a_profile_and_the_rest_are_all_of_a_run():
    operation = runtime.Operation((0,), ("relu",), (), runtime.Port("y", "float32", (1,)), {}, 0, 0, 1.0, 1.0, 0.25)
    other = dataclasses.replace(operation, kinds=("conv",), dtypes=("bit", "bit"), share=0.5)
    profile = runtime.Profile([operation, other, operation], 0.0, 9.0, 9.0, 1, "portable", 1)
    assert networks.shares(profile) == {"relu": 0.5, "conv, bit": 0.5, "rest": 0.0}


def test_latency_calls_in_turn():
    called: list[str] = []
    calls = {"a": lambda: called.append("a"), "b": lambda: called.append("b")}
    timings = engine.latency(calls, repeats=3, warmup=1)
    assert called == ["a", "b"] * 4
    assert timings["a"].repeats == 3


def test_a_block_starts_with_a_run_that_is_not_timed_and_no_run_is_timed_too_often():
    called: list[str] = []
    calls = {"a": lambda: called.append("a"), "b": lambda: called.append("b")}
    timings = engine.latency(calls, repeats=3, warmup=0, block=2)
    assert "".join(called) == "aaabbb" + "aabb"
    assert timings["b"].repeats == 3


def test_a_part_of_a_timing_is_its_share():
    assert engine.Timing(8.0, 4.0, 3) / 4 == engine.Timing(2.0, 1.0, 3)


# Networks


def small(network: networks.Network) -> networks.Network:
    vgg = network.model == "vgg-small"
    sizes = {"width": 8, "num_classes": 10} | ({"image_size": 16} if vgg else {})
    return network._replace(size=16 if vgg else 64, settings=network.settings | sizes)


@pytest.mark.parametrize("network", networks.NETWORKS, ids=lambda network: network.name)
def test_the_networks_that_are_timed_give_the_bits_of_the_interpreter(network, tmp_path):
    torch = pytest.importorskip("torch")
    bits, _ = small(network).build()
    deploy.pack(bits, torch.zeros(small(network).shape(1)), tmp_path / "network.onebit")
    x = np.random.default_rng(0).standard_normal(small(network).shape(2)).astype(np.float32)
    expected = ir.load(tmp_path / "network.onebit").run(x)[0][0]
    for threads in (1, 2):
        assert same(runtime.load(tmp_path / "network.onebit", threads).run(x), expected)


@pytest.mark.parametrize("network", networks.NETWORKS, ids=lambda network: network.name)
def test_signs_of_the_networks_are_balanced(network):
    torch = pytest.importorskip("torch")
    bits, _ = small(network).build()
    shares = []
    for layer in binary_layers(bits):
        layer.register_forward_pre_hook(lambda _, x: shares.append((x[0] >= 0).float().mean().item()))
    with torch.no_grad():
        bits(torch.randn(4, *small(network).shape(1)[1:]))
    assert len(shares) == {"ResNet-18": 16, "QuickNet": 16, "VGG-small": 5}[network.name]
    assert all(0.3 < share < 0.7 for share in shares), shares


def test_resnet_18_has_a_shortcut_around_every_binary_convolution():
    pytest.importorskip("torch")
    from onebit.nn.models.parts import Residual

    [network] = [n for n in networks.NETWORKS if n.name == "ResNet-18"]
    bits, twin = network._replace(settings=network.settings | {"width": 8}).build()
    blocks = [m for m in bits.modules() if isinstance(m, Residual)]
    assert len(blocks) == 16
    assert sum(type(m.shortcut).__name__ == "Sequential" for m in blocks) == 3  # average pooling, 1x1, batch norm
    assert sum(p.numel() for p in bits.parameters()) >= sum(p.numel() for p in twin.parameters())


def test_a_file_needs_at_least_its_numbers(found):
    [row] = found.networks
    assert row.needed_bytes <= row.file_bytes
    graph = ir.Graph({"x": ir.TensorType("bit", (1, 64))})
    graph.outputs = [graph.add("linear", "x", graph.constant(np.ones((10, 64), np.int8), bit=True))]
    assert networks.needed_bytes(graph) == 80


def test_shares_of_the_time_sum_to_the_whole(found):
    [row] = found.networks
    assert sum(row.time.values()) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in row.time.values())
    assert {"conv, bit", "conv, int8", "linear, int8"} <= set(row.time)


def test_peak_memory_counts_what_a_run_takes(tmp_path):
    if not sys.platform.startswith("linux"):
        assert memory.memory("engine", "", (1,)) is None
        return
    graph = ir.Graph({"x": ir.TensorType("float32", (1, 8))})
    big = graph.add("broadcast_to", graph.add("reshape", "x", shape=[1, 1, 8]), shape=[1, 1 << 20, 8])
    graph.outputs = [graph.add("slice", graph.add("relu", big), axis=1, stop=1)]
    ir.save(graph, tmp_path / "big.onebit")
    taken = memory.memory("engine", str(tmp_path / "big.onebit"), (1, 8))
    assert taken is None or 32 << 20 <= taken.peak < 256 << 20


# The whole


def test_every_row_of_every_part_is_in_the_tables(found):
    said = str(found)
    for row in found.layers:
        assert row.engine["bits"].minimum > 0
        assert set(row.peers) >= {peers.TORCH, peers.ORT, peers.ORT_INT8}
        assert f"{row.kind}" in said
        assert row.shape in said
        assert f"{row.share('bits'):.0%}" in said
    [network] = found.networks
    assert [(run.batch, run.threads) for run in network.runs] == [(b, t) for b in (1, 2) for t in (1, 2)]
    assert set(network.load) == {"engine", peers.ORT, peers.ORT_INT8}
    assert "tiny 16x16" in said
    assert found.made_on["cpu"] in said
    assert "Left out: OpenVINO float32" in said or "openvino" in found.versions


def test_shares_and_ratios_are_those_of_the_medians(found):
    row = dataclasses.replace(
        found.layers[0],
        macs=600,
        ceiling=100.0,
        threads=2,
        engine={"bits": engine.Timing(4.0, 3.0, 1), "float": engine.Timing(6.0, 3.0, 1)},
        peers={peers.ORT: engine.Timing(12.0, 1.0, 1)},
    )
    assert (row.share("bits"), row.share("float")) == (0.75, 0.5)
    assert (row.ratio("bits", peers.ORT), row.ratio("float", peers.ORT), row.ratio("bits", "none")) == (3.0, 2.0, None)


def test_without_a_clock_the_ceiling_says_so(found):
    blind = [dataclasses.replace(row, clock=None) for row in found.ceilings]
    said = str(dataclasses.replace(found, ceilings=blind))
    assert "clock not known" in said
    assert blind[0].per_cycle is None


def test_a_record_is_read_as_it_was_written(found, tmp_path):
    engine.append(found, tmp_path)
    engine.append(dataclasses.replace(found, date="2000-01-01T00:00:00+00:00", layers=[]), tmp_path)
    assert engine.newest(tmp_path) == found
    assert str(engine.newest(tmp_path)) == str(found)


def test_a_journal_of_something_else_is_one_sentence(tmp_path):
    assert engine.newest(tmp_path) is None
    (tmp_path / "bench").mkdir()
    journal.append(tmp_path / engine.JOURNAL, {"layers": []})
    with pytest.raises(
        ValueError, match=r"engine\.jsonl: this is no record of the engine's benchmark: it has no 'ceilings'"
    ):
        engine.newest(tmp_path)


def test_the_page_draws_every_part_in_the_ink_of_the_page(found, tmp_path):
    engine.append(found, tmp_path)
    shown = page.engine(tmp_path)
    assert next(section["title"] for section in shown["sections"]) == "Ceiling"
    figures = [figure["svg"] for section in shown["sections"] for figure in section["figures"]]
    assert len(figures) == 4
    assert all("currentColor" in figure and "#000000" not in figure for figure in figures)
    alone = page._page(found.only(["layers"]))  # a roofline without ceilings has that of its layers
    assert [section["title"] for section in alone["sections"]] == ["Layers of bits", "GMAC/s of the same layers"]


def test_the_command_prints_the_newest_record(found, tmp_path, capsys):
    assert main(["bench", "engine", "--recorded", "--results", str(tmp_path)]) == 2
    assert "holds no record" in capsys.readouterr().err
    engine.append(found, tmp_path)
    assert main(["bench", "engine", "--recorded", "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert main(["bench", "engine", "--recorded", "--results", str(tmp_path), "--json"]) == 0
    assert record.Bench.read(json.loads(capsys.readouterr().out)) == found


def test_the_command_prints_the_parts_of_a_record_that_are_asked_for(found, tmp_path, capsys):
    engine.append(found, tmp_path)
    assert main(["bench", "engine", "--recorded", "--results", str(tmp_path), "--parts", "layers"]) == 0
    said = capsys.readouterr().out
    assert said == f"{dataclasses.replace(found, ceilings=[], copying=[], networks=[])}\n"
    assert "tiny" not in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--parts", "layers,speed"], "--parts must be of ceiling, layers, networks"),
        (["--threads", "0"], "--threads must be 1..1024, got 0"),
        (["--isa", "interpreter"], "--isa must be one of"),
    ],
)
def test_options_out_of_their_range_are_refused_in_one_sentence(options, said, capsys):
    assert main(["bench", "engine", *options]) == 2
    assert said in capsys.readouterr().err


def test_parts_and_progress_agree(monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(parts, "SHAPES", [Shape(7, 32)])
    monkeypatch.setattr(parts, "QUICK", (1, 1, 0.004))
    told: list[int] = []
    made = engine.bench(["ceiling", "layers"], quick=True, isa="portable", advance=lambda: told.append(1))
    assert len(told) == engine.steps(["ceiling", "layers"], quick=True) == 2
    assert {row.isa for row in made.ceilings} == {row.isa for row in made.layers} == {"portable"}
    assert made.networks == []


def test_the_tables_of_the_notes_name_only_integer_products_that_ran(found):
    assert "QLinearConv" in table.notes(found)[0]
    assert "MatMulIntegerToFloat" not in table.notes(found)[0]
