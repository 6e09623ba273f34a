"""Random arrays: inputs of a graph, special floats, integers of every magnitude."""

from __future__ import annotations

import numpy as np

from onebit.ir import Graph
from onebit.ir import dim as dims
from onebit.ir.types import NUMPY

FAR = [2**31, -(2**31), 2**63, -(2**63), 2**24 + 2, 255.5, -129]  # out of range of one integer type or another
NEAR = [0.5, 1.5, 2.5, -0.5, 127.5, -128.5, 1, -1]
SPECIAL = np.float32([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-45, -1e-45, 1e-39, 3e38, -3e38, *NEAR, *FAR])
LIMIT = 10  # int32 and int64 inputs hold 0..9, so that they can be indices, unless their name begins with BIG
BIG = "any integer "
WIDE = {"int32": 2**31 - 1, "int64": 2**63 - 1}


def random_inputs(rng: np.random.Generator, graph: Graph, batch: int | None = None) -> list[np.ndarray]:
    """Inputs for a graph of :func:`random_graph`; every symbol becomes ``batch`` (default: each one's own size, 0 to 3,
    mostly 1 and 2)."""
    names = sorted({symbol for given in graph.inputs.values() for symbol in dims.symbols_of(given[1])})
    symbols = {name: int(rng.choice([0, 1, 1, 1, 2, 2, 3])) if batch is None else batch for name in names}
    special = rng.random() < 0.4
    return [
        _random_input(rng, given[0], tuple(dims.evaluate(dim, symbols) for dim in given[1]), special, name)
        for name, given in graph.inputs.items()
    ]


def _random_input(rng: np.random.Generator, dtype: str, shape: tuple[int, ...], special: bool, name: str) -> np.ndarray:
    if dtype == "float32":
        array = rng.standard_normal(shape, np.float32)
        if special:
            return np.where(rng.random(shape) < 0.15, rng.choice(SPECIAL, shape), array)
        return np.rint(array * 4) / np.float32(4) if rng.random() < 0.3 else array  # ties and exact zeros
    if dtype == "bit":
        return random_bits(rng, shape)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype in WIDE:
        return any_integers(rng, dtype, shape) if name.startswith(BIG) else rng.integers(0, LIMIT, shape, NUMPY[dtype])
    limits = np.iinfo(NUMPY[dtype])
    return rng.integers(limits.min, limits.max, shape, NUMPY[dtype], endpoint=True)


def any_integers(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Integers of every magnitude, the ends and the neighbours of powers of two among them."""
    least, most = -WIDE[dtype] - 1, WIDE[dtype]
    powers = np.array([sign * 2**power for power in (0, 7, 24, 30, 31, 53, 62) for sign in (1, -1)], np.float64)
    near = rng.choice(powers, shape).astype(np.int64) + rng.integers(-1, 2, shape)
    ends = rng.choice(np.array([least, most, least + 1, most - 1, 0]), shape)
    either = np.where(rng.random(shape) < 0.5, near, ends)
    return np.where(rng.random(shape) < 0.5, np.clip(either, least, most), rng.integers(-40, 41, shape)).astype(
        NUMPY[dtype]
    )


def random_bits(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 2, shape, np.int8) * np.int8(2) - np.int8(1)
