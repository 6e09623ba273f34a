"""Linear layers of few int8 rows: NumPy's integer product of weights of one bit or three values, everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from tests.engine.build import ISAS, engine

from onebit.ir import Graph, TensorType

CODES = {"bit": [-1, 1], "ternary": [-1, 0, 1]}


def layer(x_dtype: str, weight: np.ndarray, weight_dtype: str) -> Graph:
    """``linear`` of any number of rows."""
    graph = Graph({"x": TensorType(x_dtype, ("rows", weight.shape[1]))})
    held = graph.constant(weight, bit=weight_dtype == "bit", ternary=weight_dtype == "ternary")
    graph.outputs = [graph.add("linear", "x", held)]
    return graph


def product(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return (x.astype(np.int64) @ weight.astype(np.int64).T).astype(np.int32)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("weight_dtype", CODES)
@pytest.mark.parametrize("x_dtype", ["int8", "uint8"])
def test_every_size_around_words_and_tiles_gives_the_product(isa, weight_dtype, x_dtype):
    rng = np.random.default_rng([7, len(isa)])
    limits = np.iinfo(x_dtype)
    for inner in (1, 3, 4, 15, 16, 17, 31, 32, 33, 100, 257):
        for outputs in (1, 7, 8, 16, 17, 33, 64, 65, 130):
            weight = rng.choice(np.array(CODES[weight_dtype], np.int8), (outputs, inner))
            model = engine(layer(x_dtype, weight, weight_dtype), isa, threads=1 + (inner + outputs) % 3)
            for rows in (1, int(rng.integers(2, 10))):
                x = rng.integers(limits.min, limits.max, (rows, inner), x_dtype, endpoint=True)
                (found,) = model.run([x])
                assert np.array_equal(found, product(x, weight)), (inner, outputs, rows)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("weight_dtype", CODES)
@pytest.mark.parametrize("x_dtype", ["int8", "uint8"])
def test_the_largest_codes_and_sums_are_exact(isa, weight_dtype, x_dtype):
    limits = np.iinfo(x_dtype)
    inner = 5003
    for code in CODES[weight_dtype]:
        weight = np.full((3, inner), code, np.int8)
        weight[1, ::2] = CODES[weight_dtype][0]
        model = engine(layer(x_dtype, weight, weight_dtype), isa)
        for value in (limits.min, limits.max):
            x = np.full((1, inner), value, x_dtype)
            assert np.array_equal(model.run([x])[0], product(x, weight))


@pytest.mark.parametrize("isa", ISAS)
def test_few_rows_and_many_are_different_ways_to_the_same_sums(isa):
    rng = np.random.default_rng(8)
    for weight_dtype, codes in CODES.items():
        weight = rng.choice(np.array(codes, np.int8), (70, 90))
        model = engine(layer("int8", weight, weight_dtype), isa, threads=2)
        x = rng.integers(-128, 128, (100, 90), np.int8)
        (many,) = model.run([x])
        for rows in (0, 1, 4, 5, 31, 32, 33, 64):
            assert np.array_equal(model.run([x[:rows]])[0], many[:rows]), rows


@pytest.mark.parametrize("isa", ISAS)
def test_rows_too_long_for_packed_sums_take_another_way(isa):
    inner = (1 << 18) + 1
    weight = np.ones((1, inner), np.int8)
    x = np.full((1, inner), 127, np.int8)
    assert engine(layer("int8", weight, "ternary"), isa).run([x])[0].item() == 127 * inner


@pytest.mark.parametrize("isa", ISAS)
def test_what_follows_is_done_on_the_sums_as_the_interpreter_does_it(isa):
    rng = np.random.default_rng(9)
    weight = rng.integers(-1, 2, (33, 50), np.int8)
    graph = layer("int8", weight, "ternary")
    scale, shift = (graph.constant(rng.standard_normal(33, np.float32)) for _ in range(2))
    y = graph.add("affine", graph.outputs[0], scale, shift)
    z = graph.add("quantize", graph.add("relu", y), graph.constant(np.float32([0.1])))
    graph.outputs = [y, graph.add("sign", y), z]
    x = rng.integers(-128, 128, (6, 50), np.int8)
    expected, _ = graph.run(x)
    for found, wanted in zip(engine(graph, isa, threads=3).run([x]), expected):
        assert np.array_equal(found, wanted)
