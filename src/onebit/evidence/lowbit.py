"""Linear layers of language models: how fast the weights of few bits come from memory, against a plain read and others.

Every call goes through as many different matrices as fill four times the last-level cache, so that none is found there;
what is given is the time of one matrix.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from onebit import runtime
from onebit.core import journal
from onebit.core.errors import require
from onebit.core.tables import plain_table
from onebit.evidence.engine import Timing, latency
from onebit.evidence.engine.peers import session, torch_threads
from onebit.ir import Graph, TensorType, file

#: The journal in the folder of results.
JOURNAL = "bench/lowbit.jsonl"
#: (inputs, outputs) of the matrices, and rows of the input.
SHAPES = ((4096, 4096), (4096, 11008), (11008, 4096))
BATCHES = (1, 4, 16)
CACHES = 4  # times the last-level cache are gone through
BLOCK = 32  # weights that share a scale in MatMulNBits
BITS = {"ternary": 2, "bit": 1}
LABELS = {
    "ternary": "onebit ternary, int8",
    "bit": "onebit bits, int8",
    "torch_float32": "PyTorch float32",
    "torch_bfloat16": "PyTorch bfloat16",
    "onnxruntime_int8": "ONNX Runtime int8",
    "onnxruntime_4bit": "ONNX Runtime MatMulNBits",
}


@dataclass(frozen=True)
class Row:
    """One matrix times some rows.

    Args:
        name: who multiplies, see :data:`LABELS`.
        inputs, outputs, batch: rows (batch, inputs) times a matrix (outputs, inputs).
        weight_bytes: of one matrix as it lies in memory, scales included.
        matrices: how many different ones a call goes through.
        time: of one.
        read: of a plain read of the same bytes in the same turns; None for peers.
    """

    name: str
    inputs: int
    outputs: int
    batch: int
    weight_bytes: int
    matrices: int
    time: Timing
    read: Timing | None

    @property
    def rate(self) -> float:
        """Bytes of weights per second."""
        return self.weight_bytes / self.time.median

    @property
    def share(self) -> float | None:
        """The share of the rate of a plain read."""
        return None if self.read is None else self.read.median / self.time.median


@dataclass(frozen=True)
class Bench:
    """The rows of ``onebit bench lowbit``; ``str`` is the table."""

    command: str
    date: str
    made_on: dict[str, Any]
    threads: int
    cache_bytes: int
    rows: list[Row]

    def plain(self) -> dict[str, Any]:
        """As a line of the journal."""
        return asdict(self)

    def __str__(self) -> str:
        columns = ["matrix", "rows", "weights", "us", "minimum", "GB/s", "of a plain read"]
        rows = [
            [
                f"{row.inputs} x {row.outputs}",
                row.batch,
                LABELS[row.name],
                f"{row.time.median * 1e6:.1f}",
                f"{row.time.minimum * 1e6:.1f}",
                f"{row.rate / 1e9:.1f}",
                "" if row.share is None else f"{row.share:.0%}",
            ]
            for row in self.rows
        ]
        head = f"Threads: {self.threads}. Each call goes through {CACHES} x {self.cache_bytes >> 20} MiB of weights."
        return f"{head}\n\n{plain_table(columns, rows, right=[1, 3, 4, 5, 6])}"


def bench(
    shapes: Sequence[tuple[int, int]] = SHAPES,
    batches: Sequence[int] = BATCHES,
    *,
    threads: int = 1,
    isa: str = "",
    repeats: int = 15,
    cache_bytes: int | None = None,
    command: str = "onebit bench lowbit",
    advance: Callable[[], object] = lambda: None,
) -> Bench:
    """Time matrices of these (inputs, outputs) with these numbers of rows.

    Args:
        threads: of all.
        isa: of the engine; empty: the fastest.
        repeats: timed calls of each, in turns.
        cache_bytes: of the last-level cache; None: what the system says.
        advance: called after each of ``len(shapes) * len(batches)`` steps.
    """
    from onebit.learn.environment import describe

    cache = last_level_cache() if cache_bytes is None else cache_bytes
    rows = []
    with tempfile.TemporaryDirectory() as folder, torch_threads(threads):
        for inputs, outputs in shapes:
            opened: list[_Matrices] = [_Ours(kind, inputs, outputs, cache, threads, isa) for kind in BITS]
            opened += [
                peer(inputs, outputs, cache, threads, Path(folder)) for peer in (_Torch32, _Torch16, _Int8, _FourBits)
            ]
            for batch in batches:
                rows += _measure(opened, batch, repeats)
                advance()
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return Bench(command, made, describe(), threads, cache, rows)


def append(found: Bench, results: Path) -> None:
    """Add what was measured to the journal in the folder ``results``."""
    path = results / JOURNAL
    path.parent.mkdir(parents=True, exist_ok=True)
    journal.append(path, found.plain())


def last_level_cache(cpu: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Bytes of the largest cache of a processor as the system tells it, 32 MiB where it does not."""
    found = [0]
    for size in cpu.glob("index*/size"):
        text = size.read_text().strip()
        unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
        found.append(int(text.rstrip("KM")) * unit)
    return max(found) or 32 << 20


def _measure(opened: Sequence[_Matrices], batch: int, repeats: int) -> list[Row]:
    calls: dict[str, Callable[[], object]] = {}
    for one in opened:
        calls[one.name] = one.call(batch)
        if isinstance(one, _Ours):
            calls[f"read {one.name}"] = one.read
    found = latency(calls, repeats, warmup=1)
    return [
        Row(
            one.name,
            one.inputs,
            one.outputs,
            batch,
            one.weight_bytes,
            one.count,
            found[one.name] / one.count,
            found[f"read {one.name}"] / one.count if isinstance(one, _Ours) else None,
        )
        for one in opened
    ]


class _Matrices:
    """As many matrices as fill the caches, and a call that multiplies by each of them."""

    name = ""

    def __init__(self, inputs: int, outputs: int, weight_bytes: int, cache: int) -> None:
        self.inputs, self.outputs, self.weight_bytes = inputs, outputs, weight_bytes
        self.count = max(1, math.ceil(CACHES * cache / weight_bytes))

    def call(self, batch: int) -> Callable[[], object]:
        """A call on rows (batch, inputs)."""
        raise NotImplementedError

    def rows(self, batch: int) -> np.ndarray:
        return np.random.default_rng(batch).standard_normal((batch, self.inputs)).astype(np.float32)


class _Ours(_Matrices):
    def __init__(self, kind: str, inputs: int, outputs: int, cache: int, threads: int, isa: str) -> None:
        self.name = kind
        super().__init__(inputs, outputs, inputs * outputs * BITS[kind] // 8, cache)
        codes = np.array([-1, 0, 1] if kind == "ternary" else [-1, 1], np.int8)
        base = np.random.default_rng(0).choice(codes, (outputs, inputs))
        graph = Graph({"x": TensorType("int8", ("batch", inputs))})
        for number in range(self.count):
            weight = graph.constant(np.roll(base, number, 1), bit=kind == "bit", ternary=kind == "ternary")
            graph.outputs.append(graph.add("linear", "x", weight))
        self.model = runtime.Model(file.dumps(graph), threads=threads, isa=isa or None)
        engine = require("onebit.runtime._engine", "train", "timing the engine")
        self.reader = engine.PlainRead(isa, threads)
        self.bytes = np.ones(self.count * self.weight_bytes // 4, np.uint32)

    def call(self, batch: int) -> Callable[[], object]:
        x = np.random.default_rng(batch).integers(-127, 128, (batch, self.inputs), np.int8)
        return lambda: self.model.run(x)

    def read(self) -> object:
        """A plain read of as many bytes as the matrices have."""
        return self.reader.sum(self.bytes)


class _Torch32(_Matrices):
    name, dtype, size = "torch_float32", "float32", 4

    def __init__(self, inputs: int, outputs: int, cache: int, threads: int, folder: Path) -> None:
        super().__init__(inputs, outputs, inputs * outputs * self.size, cache)
        torch = require("torch", "train", "timing PyTorch")
        made = torch.Generator().manual_seed(0)
        dtype = getattr(torch, self.dtype)
        self.weights = [torch.randn(outputs, inputs, generator=made).to(dtype) for _ in range(self.count)]

    def call(self, batch: int) -> Callable[[], object]:
        torch = require("torch", "train", "timing PyTorch")
        x = torch.from_numpy(self.rows(batch)).to(self.weights[0].dtype)
        return lambda: [torch.nn.functional.linear(x, weight) for weight in self.weights]


class _Torch16(_Torch32):
    name, dtype, size = "torch_bfloat16", "bfloat16", 2


class _OnnxRuntime(_Matrices):
    """A file with one product a matrix, all of the same input."""

    def __init__(self, inputs: int, outputs: int, weight_bytes: int, cache: int, threads: int, folder: Path) -> None:
        super().__init__(inputs, outputs, weight_bytes, cache)
        onnx = require("onnx", "train", "timing ONNX Runtime")
        self.threads, self.path = threads, folder / f"{self.name}_{inputs}_{outputs}.onnx"
        nodes, tensors = self.products(onnx, np.random.default_rng(0))
        float32 = onnx.TensorProto.FLOAT
        results = [self.result(onnx, number) for number in range(self.count)]
        x = onnx.helper.make_tensor_value_info("x", float32, ["batch", inputs])
        body = onnx.helper.make_graph(nodes, "matrices", [x], results, tensors)
        opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
        onnx.save(onnx.helper.make_model(body, opset_imports=opsets, ir_version=9), self.path)

    def products(self, onnx: Any, rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
        """Nodes and initializers."""
        raise NotImplementedError

    def result(self, onnx: Any, number: int) -> Any:
        kind = onnx.TensorProto.INT32 if self.name == "onnxruntime_int8" else onnx.TensorProto.FLOAT
        return onnx.helper.make_tensor_value_info(f"y{number}", kind, ["batch", self.outputs])

    def call(self, batch: int) -> Callable[[], object]:
        return session(self.path, self.rows(batch), self.threads).call


class _Int8(_OnnxRuntime):
    """``DynamicQuantizeLinear`` once, ``MatMulInteger`` for each matrix."""

    name = "onnxruntime_int8"

    def __init__(self, inputs: int, outputs: int, cache: int, threads: int, folder: Path) -> None:
        super().__init__(inputs, outputs, inputs * outputs, cache, threads, folder)

    def products(self, onnx: Any, rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
        make = onnx.helper.make_node
        nodes = [make("DynamicQuantizeLinear", ["x"], ["codes", "scale", "zero"])]
        tensors = []
        base = rng.integers(-127, 128, (self.inputs, self.outputs), np.int8)
        for number in range(self.count):
            nodes.append(make("MatMulInteger", ["codes", f"w{number}", "zero"], [f"y{number}"]))
            tensors.append(onnx.numpy_helper.from_array(np.roll(base, number, 1), f"w{number}"))
        return nodes, tensors


class _FourBits(_OnnxRuntime):
    """``MatMulNBits`` with 4 bits and a scale for each 32 weights; ``accuracy_level`` 4: int8 activations."""

    name = "onnxruntime_4bit"

    def __init__(self, inputs: int, outputs: int, cache: int, threads: int, folder: Path) -> None:
        blocks = -(-inputs // BLOCK)
        super().__init__(inputs, outputs, outputs * blocks * (BLOCK // 2 + 4), cache, threads, folder)

    def products(self, onnx: Any, rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
        blocks = -(-self.inputs // BLOCK)
        nodes, tensors = [], []
        base = rng.integers(0, 256, (self.outputs, blocks, BLOCK // 2), np.uint8)
        scales = rng.uniform(0.5, 1.5, self.outputs * blocks).astype(np.float32)
        settings = {"K": self.inputs, "N": self.outputs, "bits": 4, "block_size": BLOCK, "accuracy_level": 4}
        for number in range(self.count):
            nodes.append(
                onnx.helper.make_node(
                    "MatMulNBits", ["x", f"w{number}", f"s{number}"], [f"y{number}"], domain="com.microsoft", **settings
                )
            )
            tensors.append(onnx.numpy_helper.from_array(np.roll(base, number, 0), f"w{number}"))
            tensors.append(onnx.numpy_helper.from_array(np.roll(scales, number), f"s{number}"))
        return nodes, tensors
