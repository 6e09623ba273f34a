"""Layers of bits against the same layers in other engines, taking turns in one process.

Each layer is timed in the two forms in which networks of bits use it:

- ``bits``: bits in, bits out: product, integer threshold;
- ``float``: bits in, float32 for the shortcut and bits for the next layer out: product, affine, sum with the shortcut,
  sign.

A run is :data:`DEPTH` such layers with weights of their own, as much weight as a network of them holds at once, so
that what a call costs is divided by them: a chain where the shape stays, readers of one input where a stride of 2
halves the map and doubles the channels (their shortcuts are a chain then). What goes in and the shortcut lie in memory
before the run, and of what comes out one row is handed over. The peers run as many float32 layers of the same shapes in
the same arrangement and nothing else: no affine, no shortcut, no activation. Their inputs and outputs lie where they
lay before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from onebit import ir
from onebit.core.errors import check_range
from onebit.evidence.engine import ceiling, peers
from onebit.evidence.engine.shape import DEPTH, FORMS, SHAPES, FloatLayers, Shape, binary_layers
from onebit.evidence.engine.timing import Calls, Timing, latency
from onebit.runtime.model import Model

ENGINE = "engine"


@dataclass(frozen=True)
class Layer:
    """One layer of bits measured.

    Args:
        shape: of the layer, see :class:`Shape`.
        kind: ``"conv 3x3"``, ``"conv 1x1"``, ``"linear"``.
        macs: multiply-accumulates of one layer.
        bytes: that one layer must move at least, by form.
        engine: seconds of one layer in the engine, by form.
        peers: seconds of one layer in each peer.
        nodes: of the network as each peer runs it, by kind, where it tells.
        skipped: peers that did not run, with the reason.
        ceiling: multiply-accumulates per second of the bare micro-kernel on one thread, measured beside it.
        isa: instruction set of the engine.
        threads: of engine and peers.
    """

    shape: str
    kind: str
    macs: int
    bytes: dict[str, float]
    engine: dict[str, Timing]
    peers: dict[str, Timing]
    nodes: dict[str, dict[str, int]]
    skipped: dict[str, str]
    ceiling: float
    isa: str
    threads: int

    def rate(self, form: str) -> float:
        """Multiply-accumulates per second of the engine, by the median."""
        return self.macs / self.engine[form].median

    def share(self, form: str) -> float:
        """Of the ceiling of all threads."""
        return self.rate(form) / self.ceiling / self.threads

    def ratio(self, form: str, peer: str) -> float | None:
        """How many times as fast as the peer, by medians; None where it did not run."""
        return self.peers[peer].median / self.engine[form].median if peer in self.peers else None


def measure(
    shape: Shape, threads: int = 1, repeats: int = 30, isa: str | None = None, seconds: float = 0.1, depth: int = DEPTH
) -> Layer:
    """One layer in both forms in the engine and in every peer, taking turns.

    Args:
        shape: of the layer.
        threads: of the engine and its peers.
        repeats: timed runs of each, a quarter of them where a run is billions of multiply-accumulates.
        isa: instruction set of the engine; the fastest by default.
        seconds: spent on finding the ceiling beside it.
        depth: layers in a run.
    """
    check_range("repeats", repeats, 1)
    calls: dict[str, Callable[[], object]] = {}
    for form in FORMS:
        model = Model(ir.dumps(binary_layers(shape, form, depth)), threads, isa)
        calls[form] = _run(model)
    twin = FloatLayers.random(shape, depth)
    with tempfile.TemporaryDirectory() as folder, peers.torch_threads(threads):
        path = twin.write(Path(folder) / "layers.onnx")
        opened, skipped = peers.open_all(peers.Workload(twin.module, path, twin.input(), threads))
        calls |= {name: peer.call for name, peer in opened.items()}
        times = repeats if shape.macs * depth < 1 << 31 else max(repeats // 4, 3)
        found = _paced(calls, times, threads)
    return Layer(
        str(shape),
        shape.kind,
        shape.macs,
        {form: shape.bytes(form) for form in FORMS},
        {form: found[form] / depth for form in FORMS},
        {name: found[name] / depth for name in opened},
        {name: peer.nodes for name, peer in opened.items() if peer.nodes},
        skipped,
        ceiling.rate(model.isa, "bits", seconds),
        model.isa,
        model.threads,
    )


def measure_all(
    shapes: Sequence[Shape] = SHAPES, advance: Callable[[], object] = lambda: None, **settings
) -> list[Layer]:
    """:func:`measure` of every shape; ``advance`` is called after each."""
    rows = []
    for shape in shapes:
        depth = DEPTH if shape.weights < 1 << 24 else DEPTH // 2  # float weights of 128 MiB are enough
        rows.append(measure(shape, **{"depth": depth} | settings))
        advance()
    return rows


def _run(model: Model) -> Callable[[], object]:
    out = model.run()
    return lambda: model.run(out=out)


def _paced(calls: Calls, repeats: int, threads: int) -> dict[str, Timing]:
    return latency(calls, repeats, warmup=1, block=3, pause=0.002 if threads > 1 else 0.0)
