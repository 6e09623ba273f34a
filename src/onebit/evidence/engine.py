"""The speed of the engine: binary convolutions against ONNX Runtime in float32, taking turns in one process.

Every 3x3 convolution of bits in a ResNet-18 at batch 1 is timed in the two forms in which networks of bits use it:

- ``float``: bits in, float32 for the shortcut and bits for the next layer out: convolution, affine, sum with the
  shortcut, sign;
- ``bits``: bits in, bits out: convolution, integer threshold.

A run is four such layers with weights of their own (as much weight as such a network holds at once), so what it costs
to enter and leave the network is divided by four: a chain where the shape stays, four readers of one input where a
stride of 2 halves the map and doubles the channels (their shortcuts are a chain then). The peer runs four float32
convolutions of the same shapes in the same arrangement and nothing else, graph optimisations on. Both find their inputs
and put their outputs where they lay before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from onebit import ir
from onebit.core import journal
from onebit.core.errors import check_range, require
from onebit.runtime.model import Model


class Shape(NamedTuple):
    """A 3x3 convolution with padding 1: height (and width) and channels of its input; with stride 2 channels double."""

    size: int
    channels: int
    stride: int = 1

    @property
    def out_size(self) -> int:
        """Height and width of the output."""
        return (self.size - 1) // self.stride + 1

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return self.channels * self.stride

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one such layer."""
        return self.out_size**2 * self.out_channels * self.channels * KERNEL * KERNEL

    def __str__(self) -> str:
        return f"{self.size}x{self.size}x{self.channels}{f' /{self.stride}' if self.stride > 1 else ''}"


#: The binary 3x3 convolutions of ResNet-18.
SHAPES = (
    *(Shape(size, channels) for size, channels in ((56, 64), (28, 128), (14, 256), (7, 512))),
    *(Shape(size, channels, 2) for size, channels in ((56, 64), (28, 128), (14, 256))),
)
FORMS = ("float", "bits")
DEPTH = 4
KERNEL = 3
PAD = (1, 1, 1, 1)
ENGINE, PEER = "onebit", "onnxruntime"


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, over ``repeats`` calls."""

    median: float
    minimum: float
    repeats: int


@dataclass(frozen=True)
class Layer:
    """One binary convolution measured.

    Args:
        shape: of the layer, with its stride where that is 2.
        form: ``float`` (float32 and bits out) or ``bits`` (bits out).
        engine: seconds of one layer in the engine.
        peer: seconds of one float32 convolution in ONNX Runtime.
        macs: multiply-accumulates of one layer.
        ceiling: multiply-accumulates per second of the bare micro-kernel on this machine, one thread.
        isa: instruction set of the engine.
        threads: of both.
    """

    shape: str
    form: str
    engine: Timing
    peer: Timing
    macs: int
    ceiling: float
    isa: str
    threads: int

    @property
    def ratio(self) -> float:
        """How many times as fast as the peer, by medians."""
        return self.peer.median / self.engine.median


@dataclass(frozen=True)
class Bench:
    """The rows of ``onebit bench engine``; ``str`` is the table."""

    layers: list[Layer]

    def __str__(self) -> str:
        first = self.layers[0]
        lines = [
            f"binary 3x3 convolutions of ResNet-18, batch 1, {first.threads} thread(s), {first.isa}; "
            f"bare micro-kernel: {first.ceiling / 1e9:.0f} GMAC/s",
            "",
            f"{'layer':<14}{'out':<8}{'engine us':>10}{'(min)':>9}{'ORT us':>10}{'(min)':>9}"
            f"{'GMAC/s':>9}{'ORT':>7}{'of ceiling':>12}{'times':>7}",
        ]
        for row in self.layers:
            rate, peer_rate = row.macs / row.engine.median, row.macs / row.peer.median
            share = rate / row.ceiling / row.threads
            lines.append(
                f"{row.shape:<14}{row.form:<8}{row.engine.median * 1e6:>10.1f}"
                f"{row.engine.minimum * 1e6:>9.1f}{row.peer.median * 1e6:>10.1f}{row.peer.minimum * 1e6:>9.1f}"
                f"{rate / 1e9:>9.0f}{peer_rate / 1e9:>7.0f}{share:>11.0%} {row.ratio:>7.1f}"
            )
        slowest = min(self.layers, key=lambda row: row.ratio)
        lines += ["", f"least: {slowest.ratio:.1f} times ONNX Runtime float32 ({slowest.shape})"]
        return "\n".join(lines)


def latency(calls: dict[str, Callable[[], object]], repeats: int, warmup: int = 2) -> dict[str, Timing]:
    """Seconds of each call; the calls take turns, so that a disturbance of the machine meets all of them.

    Example:
        >>> timing = latency({"sum": lambda: sum(range(10))}, repeats=3)["sum"]
        >>> timing.minimum <= timing.median
        True
    """
    check_range("repeats", repeats, 1)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warmup + repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds = time.perf_counter() - start
            if turn >= warmup:
                taken[name].append(seconds)
    return {name: Timing(statistics.median(times), min(times), repeats) for name, times in taken.items()}


def binary_layers(shape: Shape, form: str, depth: int = DEPTH, seed: int = 0) -> ir.Graph:
    """``depth`` binary 3x3 convolutions, zero padding.

    Inputs: float32 ``(1, size, size, channels)``, whose signs are convolved; in the form ``float`` with a stride also
    the shortcut, float32 in the shape of the result. Bits that leave the network are pooled over the whole map first,
    so that they are cheap to hand out.
    """
    rng = np.random.default_rng(seed)
    graph = ir.Graph({"x": ir.TensorType("float32", (1, shape.size, shape.size, shape.channels))})
    chained = shape.stride == 1
    y, bits = "x", graph.add("sign", "x")
    if form == "float" and not chained:
        y = "shortcut"
        graph.inputs[y] = ir.TensorType("float32", (1, shape.out_size, shape.out_size, shape.out_channels))
    floats, packed = [], []
    for _ in range(depth):
        size = (shape.out_channels, KERNEL, KERNEL, shape.channels)
        weight = rng.integers(0, 2, size, np.int8) * np.int8(2) - np.int8(1)
        stride = [shape.stride] * 2
        sums = graph.add("conv", bits, graph.constant(weight, bit=True), padding=list(PAD), stride=stride)
        if form == "bits":
            limit = graph.constant(rng.integers(-9, 10, shape.out_channels).astype(np.int32))
            sense = graph.constant(rng.integers(0, 2, shape.out_channels, np.int8) * np.int8(2) - np.int8(1), bit=True)
            packed.append(graph.add("threshold", sums, limit, sense))
        else:
            scale = graph.constant(rng.uniform(0.01, 0.1, shape.out_channels).astype(np.float32))
            shift = graph.constant(rng.standard_normal(shape.out_channels).astype(np.float32))
            floats.append(graph.add("add", graph.add("affine", sums, scale, shift), y))
            y = floats[-1]
            packed.append(graph.add("sign", y))
        if chained:
            bits = packed[-1]
    window = [shape.out_size] * 2
    read = packed[-1:] if chained else packed
    pooled = [graph.add("max_pool", value, kernel=window, stride=[1, 1]) for value in read]
    graph.outputs = [*floats[-1:], *pooled]
    return graph


def float_layers(shape: Shape, depth: int = DEPTH, seed: int = 0, threads: int = 1) -> Callable[[], list[np.ndarray]]:
    """``depth`` float32 3x3 convolutions of the same shapes in ONNX Runtime, as a call."""
    onnx = require("onnx", "train", "timing against ONNX Runtime")
    onnxruntime = require("onnxruntime", "train", "timing against ONNX Runtime")
    rng = np.random.default_rng(seed)
    value, chained = onnx.helper.make_tensor_value_info, shape.stride == 1
    nodes, weights, size = [], [], (shape.out_channels, shape.channels, KERNEL, KERNEL)
    for i in range(depth):
        weight = rng.standard_normal(size).astype(np.float32) / np.float32(shape.channels)
        weights.append(onnx.numpy_helper.from_array(weight, f"w{i}"))
        ends = [f"x{i if chained else 0}", f"w{i}"], [f"x{i + 1}"]
        settings = {"kernel_shape": [KERNEL] * 2, "pads": list(PAD), "strides": [shape.stride] * 2}
        nodes.append(onnx.helper.make_node("Conv", *ends, **settings))
    given = [1, shape.channels, shape.size, shape.size]
    made = [1, shape.out_channels, shape.out_size, shape.out_size]
    first = value("x0", onnx.TensorProto.FLOAT, given)
    outputs = [value(f"x{i}", onnx.TensorProto.FLOAT, made) for i in ([depth] if chained else range(1, depth + 1))]
    graph = onnx.helper.make_graph(nodes, "convolutions", [first], outputs, weights)
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("x0", rng.standard_normal(given).astype(np.float32))
    results = {output.name: np.empty(made, np.float32) for output in session.get_outputs()}
    for name, array in results.items():
        binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def call() -> list[np.ndarray]:
        session.run_with_iobinding(binding)
        return list(results.values())

    return call


def layers(
    threads: int = 1,
    repeats: int = 50,
    shapes: Sequence[Shape] = SHAPES,
    isa: str | None = None,
    peak_seconds: float = 0.2,
) -> list[Layer]:
    """Every binary 3x3 convolution of ResNet-18 at batch 1 in the engine and in ONNX Runtime float32, taking turns.

    Args:
        threads: of the engine and its peer.
        repeats: timed runs of each.
        shapes: of the layers.
        isa: instruction set of the engine; the fastest by default.
        peak_seconds: spent on finding the ceiling of the bare micro-kernel.
    """
    check_range("repeats", repeats, 1)
    engine = require("onebit.runtime._engine", "train", "timing the engine")
    rng = np.random.default_rng(1)
    rows = []
    for form in FORMS:
        for shape in shapes:
            graph = binary_layers(shape, form)
            model = Model(ir.dumps(graph), threads, isa)
            inputs = [rng.standard_normal(given.shape).astype(np.float32) for given in graph.inputs.values()]  # type: ignore[arg-type]
            out = model.run(*inputs)
            ceiling = engine.peak(model.isa, "bits", peak_seconds / len(shapes) / len(FORMS))
            calls: dict[str, Callable[[], object]] = {
                ENGINE: lambda model=model, inputs=inputs, out=out: model.run(*inputs, out=out),  # type: ignore[misc]
                PEER: float_layers(shape, threads=threads),
            }
            found = latency(calls, repeats)
            both = (found[ENGINE], found[PEER])
            ours, theirs = (Timing(timing.median / DEPTH, timing.minimum / DEPTH, repeats) for timing in both)
            rows.append(Layer(str(shape), form, ours, theirs, shape.macs, ceiling, model.isa, model.threads))
    return rows


def bench(quick: bool = False, threads: int = 1) -> Bench:
    """What ``onebit bench engine`` prints: :func:`layers`, ``quick`` with fewer repeats."""
    return Bench(layers(threads, repeats=10 if quick else 50))


def record(found: Bench, results: Path, command: str) -> None:
    """Add what was measured to ``results/bench/engine.jsonl``, with commit, date, processor and versions."""
    from onebit.learn.environment import describe

    path = results / "bench" / "engine.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    layers = [asdict(layer) for layer in found.layers]
    journal.append(path, {"command": command, "date": date, "made_on": describe(), "layers": layers})
