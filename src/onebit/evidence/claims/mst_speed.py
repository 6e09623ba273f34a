"""How fast the reuse order is on this processor: a program of its own, ``reuse_order.cpp``, against the engine."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from onebit import ir, runtime
from onebit.core.errors import Unsupported
from onebit.deploy.compression import ReuseOrder, layer_cost
from onebit.ir.graph import Graph
from onebit.ir.types import TensorType

SOURCE = Path(__file__).with_name("reuse_order.cpp")
LANES = 512
SIGNS = np.array([-1, 1], np.int8)


def kernels(channels: int, entries: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Kernels of which each differs from one before it in this share of its entries, on average."""
    made = rng.choice(SIGNS, (channels, entries))
    for channel in range(1, channels):
        flips = np.where(rng.random(entries) < share, np.int8(-1), np.int8(1))
        made[channel] = made[rng.integers(channel)] * flips
    return made


def speed(channels: int, entries: int, share: float, vectors: int, repeats: int, seed: int) -> dict[str, Any]:
    """Seconds of a linear layer of bits with a threshold, least of ``repeats``, on one thread: the engine; one input of
    512 examples a vector, plainly; the same in reuse order. All three give the same bits (``wrong`` counts the others).

    Args:
        channels, entries: C and n.
        share: of the entries in which kernels differ from a neighbour; 0.5 for random ones.
        vectors: of 512 examples.
        repeats: runs of each.
        seed: of kernels and inputs.
    """
    rng = np.random.default_rng([seed, channels, entries])
    weight, x = kernels(channels, entries, share, rng), rng.choice(SIGNS, (vectors * LANES, entries))
    order = ReuseOrder.of(weight)
    limit = rng.integers(-entries // 16, entries // 16 + 1, channels).astype(np.int32)
    graph = Graph({"x": TensorType("bit", ("batch", entries))})
    sums = graph.add("linear", "x", graph.constant(weight, bit=True))
    sense = graph.constant(np.ones(channels, np.int8), bit=True)
    graph.outputs = [graph.add("threshold", sums, graph.constant(limit), sense)]
    model = runtime.Model(ir.dumps(graph), threads=1)
    engine = sum(operation.minimum for operation in model.profile(x, repeats=repeats).operations)
    plain, reused, bits = _run(weight, order, limit, x, repeats)
    expected = np.asarray(model.run(x)) > 0
    wrong = sum(int((found != expected).sum()) for found in bits)
    cost = layer_cost(order, samples=0)
    return {
        "engine": engine,
        "planes": plain,
        "reused": reused,
        "wrong": wrong,
        "ratio": cost.ratio,
        "depth": cost.depth,
        "isa": model.isa,
    }


@functools.cache
def program() -> Path:
    """The program, compiled once a process."""
    compiler = shutil.which("c++")
    if compiler is None:
        raise Unsupported("measuring the reuse order needs a C++ compiler named c++")
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    built = Path(folder) / "reuse_order"
    subprocess.run(
        [compiler, "-O3", "-march=native", "-std=c++17", str(SOURCE), "-o", str(built)], check=True, capture_output=True
    )
    return built


def _run(
    weight: np.ndarray, order: ReuseOrder, limit: np.ndarray, x: np.ndarray, repeats: int
) -> tuple[float, float, np.ndarray]:
    """Seconds of both ways, and the bits that each gives: (2, rows, C)."""
    [tree] = order.trees
    channels, entries = weight.shape
    vectors = len(x) // LANES
    planes = np.packbits((x > 0).reshape(vectors, LANES, entries).transpose(0, 2, 1), axis=2, bitorder="little")
    reached = (limit + entries + 1) // 2  # y >= limit where p >= this, y = 2 p - n
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given", Path(folder) / "found"
        given.write_bytes(
            np.array([channels, entries, vectors, repeats], np.int32).tobytes()
            + (weight > 0).astype(np.uint8).tobytes()
            + b"".join(each.astype(np.int32).tobytes() for each in (tree.parents, tree.order, reached))
            + planes.tobytes()
        )
        subprocess.run([str(program()), str(given), str(found)], check=True)
        data = found.read_bytes()
    plain, reused = np.frombuffer(data[:16])
    words = np.frombuffer(data[16:], np.uint8).reshape(2, vectors, channels, LANES // 8)
    bits = np.unpackbits(words, axis=3, bitorder="little").transpose(0, 1, 3, 2)
    return float(plain), float(reused), bits.reshape(2, len(x), channels) > 0
