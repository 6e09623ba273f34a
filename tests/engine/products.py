"""Products of random shapes, as NumPy multiplies integers: a reference that shares nothing with the interpreter."""

from __future__ import annotations

import numpy as np
from tests.engine.build import ISAS, engine, signs

from onebit.ir import Graph, TensorType

# Around the register tiles (1 to 6 rows; 16, 32 and 64 channels), words of 32 bits, the 31 steps of a byte's counter.
EDGES = [1, 2, 3, 5, 6, 7, 8, 12, 13, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 127, 128, 129]
LONG = [255, 256, 257, 511, 992, 993, 1000, 1024, 1025, 2047, 4096, 5000, 9000]
SYSTEMS = [(x, weight) for x in ("bit", "int8", "uint8") for weight in ("bit", "ternary", "int8")]


def integers(rng: np.random.Generator, dtype: str, *shape: int) -> np.ndarray:
    """Random codes; a third of the arrays hold the largest magnitudes alone, whose sums reach the ends."""
    if dtype == "bit":
        return signs(rng, *shape)
    if dtype == "ternary":
        return rng.integers(-1, 2, shape, np.int8)
    limits = np.iinfo(dtype)
    if rng.random() < 0.33:
        return np.full(shape, rng.choice([limits.min, limits.max]), dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def check_product(seed: int) -> None:
    """``linear`` and a ``conv`` of random sizes on every instruction set give NumPy's integer product."""
    rng = np.random.default_rng([21, seed])
    x_dtype, weight_dtype = SYSTEMS[rng.integers(len(SYSTEMS))]
    inner = int(rng.choice(LONG if rng.random() < 0.3 else EDGES))
    rows, outputs = int(rng.choice([0, *EDGES[:14]])), int(rng.choice(EDGES if inner < 300 else EDGES[:12]))
    x, weight = integers(rng, x_dtype, rows, inner), integers(rng, weight_dtype, outputs, inner)
    graph = Graph({"x": TensorType(x_dtype, ("rows", inner))})
    held = graph.constant(weight, bit=weight_dtype == "bit", ternary=weight_dtype == "ternary")
    graph.outputs = [graph.add("linear", "x", held)]
    _agree(graph, x, x.astype(np.int64) @ weight.astype(np.int64).T, seed)

    height, width, channels, kernel = (
        int(rng.choice(sizes)) for sizes in ([1, 2, 5], [1, 3, 7], EDGES[:17], [1, 2, 3])
    )
    pad, stride = int(rng.integers(kernel // 2, 3)), int(rng.integers(1, 4))
    images = integers(rng, x_dtype, int(rng.integers(0, 3)), height, width, channels)
    filters = integers(rng, weight_dtype, int(rng.choice(EDGES[:17])), kernel, kernel, channels)
    if min(height, width) + 2 * pad < kernel:
        return
    graph = Graph({"x": TensorType(x_dtype, ("images", height, width, channels))})
    held = graph.constant(filters, bit=weight_dtype == "bit", ternary=weight_dtype == "ternary")
    graph.outputs = [graph.add("conv", "x", held, padding=[pad] * 4, stride=[stride] * 2)]
    padded = np.pad(images.astype(np.int64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (1, 2))[:, ::stride, ::stride]
    _agree(graph, images, np.einsum("nyxcij,oijc->nyxo", windows, filters.astype(np.int64), optimize=True), seed)


def _agree(graph: Graph, x: np.ndarray, expected: np.ndarray, turn: int) -> None:
    for number, isa in enumerate(ISAS):
        (found,) = engine(graph, isa, threads=1 + (turn + number) % 3).run([x])
        assert np.array_equal(found, expected), f"{graph.nodes[0].kind} of {x.shape} and {expected.shape} on {isa}"
