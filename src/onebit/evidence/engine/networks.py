"""Whole networks of bits in the engine, against their float twins in other engines, taking turns in one process.

The weights are random: what a network has learned does not change its speed. Batch norms are set on random images so
that about half of all signs are +1. First and last layer are 8-bit integers, and the 1x1 convolutions of a ResNet's
shortcuts.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from onebit import ir, runtime
from onebit.core.errors import require
from onebit.evidence.engine import peers
from onebit.evidence.engine.layers import ENGINE
from onebit.evidence.engine.memory import Memory, memory
from onebit.evidence.engine.timing import Timing, latency
from onebit.ir import cost
from onebit.ir.types import stored_bits

BATCHES = (1, 8)


class Network(NamedTuple):
    """A network of the benchmark.

    Args:
        name: as it is printed.
        model: name in ``onebit.nn.models.registry``.
        scheme: how its layers become bits.
        size: height and width of its images.
        settings: further arguments of the model.
        integers: the same, of the network of bits alone: which other layers are 8-bit integers.
    """

    name: str
    model: str
    scheme: str
    size: int
    settings: dict[str, Any] = {}  # noqa: RUF012
    integers: dict[str, Any] = {}  # noqa: RUF012

    def build(self, seed: int = 0) -> tuple[Any, Any]:
        """The network of bits and its float twin, in evaluation mode."""
        torch = require("torch", "train", "timing networks")
        from onebit.evidence.engine.balance import balance
        from onebit.nn import models

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            integers = {"stem": "int8", "head": "int8", **self.integers}
            bits = models.build(self.model, scheme=self.scheme, **integers, **self.settings)
            twin = models.build(self.model, **self.settings)
            images = torch.randn(4, *self.shape(1)[1:])
            for model in (bits, twin):
                balance(model, images)
        return bits, twin

    def shape(self, batch: int) -> tuple[int, ...]:
        """The shape of the input."""
        return (batch, 3, self.size, self.size)


#: ResNet-18 with a shortcut around every convolution [Liu2018], VGG-small [Zhang2018], QuickNet [Bannink2021].
NETWORKS = (
    Network("ResNet-18", "resnet18", "bireal", 224, {"block": "bireal"}, {"projection": "int8"}),
    Network("QuickNet", "quicknet", "bnn", 224),
    Network("VGG-small", "vgg-small", "bnn", 32),
)


@dataclass(frozen=True)
class Run:
    """One network measured at one batch and number of threads.

    Args:
        batch: images of a run.
        threads: of the engine and its peers.
        engine: seconds of a run.
        peers: seconds of a run of the float twin.
    """

    batch: int
    threads: int
    engine: Timing
    peers: dict[str, Timing]

    def ratio(self, peer: str) -> float | None:
        """How many times as fast as the peer, by medians; None where it did not run."""
        return self.peers[peer].median / self.engine.median if peer in self.peers else None


@dataclass(frozen=True)
class Measured:
    """One network.

    Args:
        name: of the network.
        size: height and width of its images.
        operations: of one image, by number system.
        file_bytes: of the packed file.
        needed_bytes: of its numbers: bits, 8-bit integers, floats.
        load: seconds from the path to a model that runs, the file being in memory; of the engine and the peers.
        first: seconds of the first run, in which the engine lays out weights and memory.
        memory: of a process that loads the network and runs one image.
        time: share of the time of a run on one thread by what it is spent on, largest first; ``"rest"``: what no
            operation explains.
        runs: latencies.
        nodes: of the twin as each peer runs it, where it tells.
        skipped: peers that did not run, with the reason.
        isa: instruction set of the engine.
    """

    name: str
    size: int
    operations: dict[str, int]
    file_bytes: int
    needed_bytes: int
    load: dict[str, Timing]
    first: dict[str, Timing]
    memory: dict[str, Memory]
    time: dict[str, float]
    runs: list[Run]
    nodes: dict[str, dict[str, int]]
    skipped: dict[str, str]
    isa: str

    def run(self, batch: int, threads: int) -> Run | None:
        """The run of that batch and number of threads, where there is one."""
        return next((run for run in self.runs if (run.batch, run.threads) == (batch, threads)), None)


def measure(
    network: Network,
    batches: Sequence[int] = BATCHES,
    threads: Sequence[int] = (1, 2),
    repeats: int = 20,
    isa: str | None = None,
    advance: Callable[[], object] = lambda: None,
) -> Measured:
    """One network in the engine and its float twin in every peer.

    Args:
        network: which.
        batches, threads: a run is timed for every pair; ``advance`` is called after each.
        repeats: timed runs of each, a quarter of them at batches above 1.
        isa: instruction set of the engine; the fastest by default.
    """
    from onebit import deploy
    from onebit.nn import models

    torch = require("torch", "train", "timing networks")
    bits, twin = network.build()
    example = torch.zeros(network.shape(1))
    with tempfile.TemporaryDirectory() as folder, peers.torch_threads(1):
        path, onnx = Path(folder) / "network.onebit", Path(folder) / "twin.onnx"
        with torch.inference_mode(False):
            deploy.pack(bits, example, path)
            deploy.float_onnx(twin, example, onnx)
        runs: list[Run] = []
        nodes: dict[str, dict[str, int]] = {}
        skipped: dict[str, str] = {}
        for batch in batches:
            x = np.random.default_rng(batch).standard_normal(network.shape(batch)).astype(np.float32)
            for count in threads:
                with peers.torch_threads(count):
                    opened, skipped = peers.open_all(peers.Workload(lambda: twin, onnx, x, count))
                    calls = {ENGINE: _run(path, x, count, isa)} | {name: peer.call for name, peer in opened.items()}
                    times = repeats if batch == 1 else max(3, repeats // 4)
                    found = latency(calls, times, warmup=1, block=2, pause=0.002 if count > 1 else 0.0)
                nodes = {name: peer.nodes for name, peer in opened.items() if peer.nodes}
                engine = found.pop(ENGINE)
                runs.append(Run(batch, count, engine, found))
                advance()
        x = np.random.default_rng(0).standard_normal(network.shape(1)).astype(np.float32)
        files = {name: peer.path for name, peer in opened.items() if peer.path is not None and "onnxruntime" in name}
        load, first = loading(path, files, x, isa)
        graph = ir.load(path)
        sources = {ENGINE: ("engine", str(path)), peers.TORCH: ("pytorch", models.description(twin))}
        sources |= {name: ("onnxruntime", str(file)) for name, file in files.items()}
        taken = {name: memory(*source, network.shape(1)) for name, source in sources.items()}
        profile = runtime.load(path, 1, isa).profile(x, repeats=max(repeats, 3))
        return Measured(
            network.name,
            network.size,
            cost.total(cost.table(graph)).operations,
            path.stat().st_size,
            needed_bytes(graph),
            load,
            first,
            {name: found for name, found in taken.items() if found is not None},
            shares(profile),
            runs,
            nodes,
            skipped,
            profile.isa,
        )


def needed_bytes(graph: ir.Graph) -> int:
    """Bytes of the numbers of a graph as dense as their types allow: a bit is an eighth of a byte."""
    types = graph.types()
    return sum(-(-stored_bits(types[name].dtype, array.size) // 8) for name, array in graph.tensors.items())


def shares(profile: runtime.Profile) -> dict[str, float]:
    """Share of the time of a run by what it is spent on, largest first, and what is left as ``"rest"``."""
    found: dict[str, float] = {}
    for operation in profile.operations:
        found[operation.what] = found.get(operation.what, 0.0) + operation.share
    return dict(sorted(found.items(), key=lambda pair: -pair[1])) | {"rest": 1 - sum(found.values())}


def loading(
    path: Path, files: dict[str, Path], x: np.ndarray, isa: str | None, repeats: int = 5
) -> tuple[dict[str, Timing], dict[str, Timing]]:
    """Seconds of loading the packed file and the peers' files, and of the first run after it."""
    opens: dict[str, Callable[[], Callable[[], object]]] = {ENGINE: lambda: _loaded(path, x, isa)}
    opens |= {name: (lambda file=file: _session(file, x)) for name, file in files.items()}  # type: ignore[misc]
    load: dict[str, list[float]] = {name: [] for name in opens}
    first: dict[str, list[float]] = {name: [] for name in opens}
    for _ in range(repeats):
        for name, open_one in opens.items():
            start = time.perf_counter()
            run = open_one()
            between = time.perf_counter()
            run()
            load[name].append(between - start)
            first[name].append(time.perf_counter() - between)
    return {n: Timing.of(times) for n, times in load.items()}, {n: Timing.of(times) for n, times in first.items()}


def default_threads(threads: int | None) -> tuple[int, ...]:
    """One thread, and those that were asked for: two where nobody asked and the machine has them."""
    wanted = min(2, os.cpu_count() or 1) if threads is None else threads
    return tuple(sorted({1, wanted}))


def _run(path: Path, x: np.ndarray, threads: int, isa: str | None) -> Callable[[], object]:
    model = runtime.load(path, threads, isa)
    out = model.run(x)
    return lambda: model.run(x, out=out)


def _loaded(path: Path, x: np.ndarray, isa: str | None) -> Callable[[], object]:
    model = runtime.load(path, isa=isa)
    return lambda: model.run(x)


def _session(path: Path, x: np.ndarray) -> Callable[[], object]:
    onnxruntime = require("onnxruntime", "train", "timing ONNX Runtime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})
