"""The hardware track: packed files in the engine against their float twins in other engines, taking turns."""

from __future__ import annotations

import functools
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from onebit import deploy, runtime
from onebit.evidence.engine import layers, peers
from onebit.evidence.engine.balance import balance
from onebit.evidence.engine.shape import FORMS, Shape
from onebit.evidence.engine.timing import latency
from onebit.evidence.sweep import Row
from onebit.evidence.tracks.accuracy import figures
from onebit.evidence.tracks.network import PUBLISHED, Network, OfNetworks, Results, inputs, networks
from onebit.evidence.tracks.overall import UNVERIFIED, overall, speedup_ratio
from onebit.evidence.tracks.track import Phase, Plan, Summary, register

VERSION = "hardware 1"
#: Timed runs of a network, of one of a published size, of a layer.
REPEATS = {"small": 300, "published": 30, "layer": 60}
#: Height and width, and channels, of the single layers.
LAYERS = tuple((14, channels) for channels in (16, 32, 64, 128, 256))


def built(network: Network) -> nn.Module:
    """A network, untrained; where it reads images, the signs of its layers of bits are balanced as after training."""
    model, given = network.build(), inputs(network.examples())
    if given.ndim == 4:
        balance(model, given)
    return model


def twin(network: Network) -> tuple[nn.Module, bytes]:
    """The float twin of a network of bits, and its ONNX file."""
    return _exported(json.dumps(network.twin.settings(), sort_keys=True))


@functools.lru_cache(maxsize=16)
def _exported(settings: str) -> tuple[nn.Module, bytes]:
    """Kept, since every method has the same twin and its export takes seconds."""
    network = Network.of(json.loads(settings))
    model = built(network)
    with tempfile.TemporaryDirectory() as folder:
        path = deploy.float_onnx(model, inputs(network.examples())[:1].contiguous(), Path(folder) / "twin.onnx")
        return model, path.read_bytes()


def measure(given: dict[str, Any], root: str) -> dict[str, Any]:
    """One network of bits, packed, in the engine, and its float twin in PyTorch and ONNX Runtime: a batch of one
    example on one thread, taking turns.

    Returns:
        ``seconds``: medians, minima and number of runs, by engine; ``bytes`` of the packed file and ``float_bytes`` of
        the twin's ONNX file; ``isa`` of the engine; ``versions`` of its peers.

    Raises:
        Skipped: a peer cannot run the twin.
    """
    network = Network.of(given)
    module, exported = twin(network)
    example = inputs(network.examples())[:1].contiguous()
    with tempfile.TemporaryDirectory() as folder:
        packed, onnx = Path(folder) / "network.onebit", Path(folder) / "twin.onnx"
        deploy.pack(built(network), example, packed)
        onnx.write_bytes(exported)
        size = packed.stat().st_size
        with peers.torch_threads(1):
            opened, skipped = peers.open_all(
                peers.Workload(lambda: module, onnx, example.numpy()), (peers.TORCH, peers.ORT)
            )
            if skipped:
                raise peers.Skipped("; ".join(f"{peers.LABELS[name]}: {reason}" for name, reason in skipped.items()))
            engine = runtime.load(packed, threads=1)
            x, out = example.numpy(), engine.run(example.numpy())
            calls = {layers.ENGINE: lambda: engine.run(x, out=out)} | {name: o.call for name, o in opened.items()}
            found = latency(calls, given["repeats"], block=3)
    return {
        "seconds": {name: asdict(timing) for name, timing in found.items()},
        "bytes": size,
        "float_bytes": len(exported),
        "isa": engine.isa,
        "versions": {name: metadata.version(name) for name in ("torch", "onnxruntime")},
    }


def measure_layer(given: dict[str, Any], root: str) -> dict[str, Any]:
    """One convolution 3x3 of bits and the same in float in every peer, see :mod:`onebit.evidence.engine.layers`."""
    return asdict(layers.measure(Shape(*given["layer"]), repeats=given["repeats"], seconds=0.01))


def speed(found: Mapping[str, Any], peer: str) -> float:
    """How many times as fast as a peer, by medians."""
    return found["seconds"][peer]["median"] / found["seconds"][layers.ENGINE]["median"]


def smaller(found: Mapping[str, Any]) -> float:
    """How many times smaller the packed file is than the float twin's."""
    return found["float_bytes"] / found["bytes"]


def theory(shape: Shape) -> float:
    """r_s of one layer of bits that scales its outputs: 64 multiply-accumulates are one, a scale is one."""
    return speedup_ratio(shape.macs + shape.outputs, shape.outputs)


@register
class Hardware(OfNetworks):
    """Time of inference and size of the file, against the float twin."""

    name = "hardware"
    title = "Inference on hardware"
    question = "How much faster and smaller is what is deployed, here, by measurement?"
    parts = "time and size"

    def phases(self, plan: Plan) -> list[Phase]:
        smoke = plan.scale == "smoke"
        repeats = dict.fromkeys(REPEATS, 3) if smoke else REPEATS
        cells = [
            network.settings() | {"repeats": repeats["published" if network.data in PUBLISHED else "small"]}
            for network in networks(plan, plan.methods)
        ]
        single = [{"layer": list(each), "repeats": repeats["layer"]} for each in (LAYERS[:1] if smoke else LAYERS)]
        return [Phase(measure, cells, VERSION, alone=True), Phase(measure_layer, single, VERSION, alone=True)]

    def field(self, results: Sequence[Mapping[str, Any]]) -> str:
        made = [f"{speed(each, peers.ORT):.2f} x" for each in results if "bytes" in each and "seconds" in each]
        return ", ".join(made) or f"{len(results)} done"

    def summary(self, rows: Sequence[Row]) -> Summary:
        found = Results([row for row in rows if "network" in row.settings])
        table, metrics = [], {}
        for method in found.methods:
            made = found.of(method)
            line = [method, *["-"] * 4]
            if made is not None:
                fast, small = [speed(each, peers.ORT) for each in made], [smaller(each) for each in made]
                metrics[method] = overall({"time": fast, "size": small})
                line[1:] = (
                    _mean(fast),
                    f"{min(fast):.2f} to {max(fast):.2f}",
                    _mean([speed(each, peers.TORCH) for each in made]),
                    _mean(small),
                )
            table.append([*line, *figures(metrics.get(method))])
        return Summary(
            ("method", "x ONNX Runtime", "lowest to highest", "x PyTorch", "x smaller", "overall", "mean ratio"),
            table,
            metrics,
            (
                "Times as fast as the float twin, one example, one thread, in turns; overall: against ONNX Runtime.",
                "Networks are untrained: speed and size do not follow from the weights. Means over the networks.",
                *(_about(found, name) for name in found.networks),
                *(_layer(row) for row in rows if "layer" in row.settings),
                UNVERIFIED,
            ),
        )


def _about(found: Results, name: str) -> str:
    seconds = found.range(name, lambda made: 1e3 * made["seconds"][layers.ENGINE]["median"], ".3g")
    fast = found.range(name, lambda made: speed(made, peers.ORT), ".2f")
    return f"{name}: {seconds} ms; {fast} times as fast, {found.range(name, smaller)} times smaller."


def _layer(row: Row) -> str:
    shape = Shape(*row.settings["layer"])
    about = f"{shape.kind}, {shape}: {theory(shape):.1f} times in theory"
    if row.result is None or peers.ORT not in row.result["peers"]:
        return f"{about}, - measured."
    float_one = row.result["peers"][peers.ORT]["median"]
    measured = (f"{float_one / row.result['engine'][form]['median']:.2f} with {form} out" for form in FORMS)
    return f"{about}, measured {', '.join(measured)}."


def _mean(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.2f}"
