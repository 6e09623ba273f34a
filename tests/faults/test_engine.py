"""The engine at NaN, infinities, zeros of both signs and denormals, and under a caller's floating-point mode."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys

import numpy as np
import pytest
import torch
from tests.engine.build import check
from tests.faults.values import DENORMAL, INF, NAN, SPECIAL, same_bits
from tests.graphs import random_graph, random_inputs

from onebit import deploy, ir, runtime
from onebit.cli.run import softmax
from onebit.ir import Graph, TensorType
from onebit.nn import models
from onebit.runtime import _engine

X = np.float32([SPECIAL, SPECIAL[::-1]])
C = X.shape[1]
UNARY = ["neg", "abs", "sqrt", "exp", "tanh", "erf", "sigmoid", "relu", "sign", "softmax"]
BINARY = ["add", "sub", "mul", "div", "max", "min"]


def graph_of(*kinds: tuple, width: int | str = C) -> Graph:
    """One input (batch, width), and one output for each ``(kind, constants, attributes)`` of it."""
    graph = Graph({"x": TensorType("float32", ("batch", width))})
    for kind, constants, attributes in kinds:
        graph.outputs.append(graph.add(kind, "x", *map(graph.constant, constants), **attributes))
    return graph


def test_every_kind_gives_the_bits_of_the_interpreter_at_numbers_that_break_formulas():
    special = np.float32(SPECIAL[::-1])
    scale = np.float32([0.0, -0.0, DENORMAL, 3e38, -1.0, 1e-30] + [0.5] * (C - 6))
    graph = graph_of(
        *((kind, (), {}) for kind in UNARY),
        *((kind, (special,), {}) for kind in BINARY),
        ("affine", (scale, scale[::-1].copy()), {}),
        ("prelu", (scale,), {}),
        ("clip", (), {"low": -1.0, "high": 2.0}),
        ("quantize", (np.where(scale == 0, np.float32(1), scale),), {"zero_point": 3, "low": -7, "high": 7}),
        ("layer_norm", (scale, scale), {"eps": 0.0}),
        *(("reduce", (), {"op": op}) for op in ("sum", "mean", "max", "min")),
        *(("compare", (special,), {"op": op}) for op in ("eq", "ne", "lt", "le", "gt", "ge")),
        *(("cast", (), {"dtype": dtype}) for dtype in ("int8", "uint8", "int32", "int64", "bool")),
    )
    check(graph, [X], [X[:, ::-1].copy()], [X[:0]], [np.full_like(X, NAN)], [np.zeros_like(X)])


@pytest.mark.parametrize("channels", [1, 33])
def test_products_and_pools_give_the_bits_of_the_interpreter_at_numbers_that_break_formulas(channels):
    rng = np.random.default_rng(channels)
    graph = Graph({"x": TensorType("float32", ("batch", 5, 5, channels))})
    weight = rng.standard_normal((4, 3, 3, channels)).astype(np.float32)
    weight[1] = 0
    bits = np.where(weight > 0, 1, -1).astype(np.int8)
    sums = graph.add("conv", graph.add("sign", "x"), graph.constant(bits, bit=True), padding=[1, 1, 1, 1])
    graph.outputs = [
        graph.add("conv", "x", graph.constant(weight), padding=[1, 1, 1, 1]),
        graph.add("conv", "x", graph.constant(bits, bit=True)),
        graph.add("sign", graph.add("affine", sums, *(graph.constant(np.float32([0, -0.0, 1, -1])) for _ in "ab"))),
        graph.add("max_pool", "x", kernel=[2, 2], stride=[1, 1]),
        graph.add("avg_pool", "x", kernel=[3, 3], stride=[2, 2]),
    ]
    x = rng.choice(np.float32(SPECIAL), (3, 5, 5, channels))
    check(graph, [x], [np.full_like(x, NAN)], [x[:0]])


def test_what_comes_out_of_nan_and_infinities_is_what_the_definition_says():
    x = np.float32([[NAN, INF, -INF, -0.0]])
    one = np.float32([0.5])
    graph = graph_of(
        ("sign", (), {}), ("quantize", (one,), {"zero_point": 3, "low": -7, "high": 7}), ("relu", (), {}),
        ("softmax", (), {}), ("cast", (), {"dtype": "int32"}), width=4,
    )  # fmt: skip
    (sign, codes, relu, soft, whole), _ = graph.run(x)
    assert sign.tolist() == [[-1, 1, -1, 1]]
    assert codes.tolist() == [[3, 7, -7, 3]]
    assert same_bits(relu, np.float32([[NAN, INF, 0.0, 0.0]]))
    assert np.isnan(soft).all()
    assert whole.tolist() == [[0, 0, 0, 0]]
    check(graph, [x])


def test_a_softmax_is_a_number_unless_a_row_holds_nan_or_plus_infinity_or_nothing_else_than_minus_infinity():
    rows = np.float32([[3e38, 1, 0], [-INF, 1, 1], [-INF, -INF, -INF], [INF, 0, 0], [NAN, 0, 0]])
    graph = graph_of(("softmax", (), {}), width=3)
    (y,), _ = graph.run(rows)
    assert y[:2].tolist() == [[1, 0, 0], [0, 0.5, 0.5]]
    assert np.isnan(y[2:]).all()
    check(graph, [rows])


def test_predict_gives_the_place_of_the_first_nan_else_of_the_first_largest():
    rows = np.float32([[1, NAN, 3, NAN], [1, INF, INF, 2], [-INF, -INF, -INF, -INF], [-0.0, 0.0, -1, -1]])
    graph = graph_of(("mul", (np.float32([1]),), {}), width=4)
    for isa in runtime.available_isas():
        model = runtime.Model(ir.dumps(graph), isa=isa)
        assert model.predict(rows).tolist() == [1, 1, 0, 0]
        assert model.predict(rows[:0]).shape == (0,)
    assert np.allclose(softmax(np.float64(rows[3:]))[:, :2], softmax(np.zeros((1, 2))) * 0.731, atol=1e-3)


def test_no_image_goes_through_a_whole_network_and_nan_leaves_its_neighbours_alone(tmp_path):
    torch.manual_seed(0)
    model = models.build("convnet", in_channels=1, width=8, stem_stride=1, num_classes=3, scheme="biper")
    deploy.pack(model, torch.randn(2, 1, 8, 8), tmp_path / "f.onebit")
    x = np.random.default_rng(0).standard_normal((5, 1, 8, 8)).astype(np.float32)
    spoilt = x.copy()
    spoilt[1], spoilt[3] = NAN, INF
    wanted = ir.load(tmp_path / "f.onebit").run(spoilt)[0][0]
    for isa in runtime.available_isas():
        network = runtime.load(tmp_path / "f.onebit", isa=isa)
        assert network.run(x[:0]).shape == (0, 3)
        assert network.predict(x[:0]).shape == (0,)
        found = network.run(spoilt)
        assert same_bits(found, wanted)
        assert same_bits(found[[0, 2, 4]], network.run(x)[[0, 2, 4]])


# The floating-point mode of the caller

ROUNDING = {"upward": 0x800, "downward": 0x400, "toward zero": 0xC00}  # FE_UPWARD, ... of x86


@contextlib.contextmanager
def rounding(mode: str):
    library = ctypes.CDLL(None)
    before = library.fegetround()
    assert library.fesetround(ROUNDING[mode]) == 0
    try:
        yield
    finally:
        library.fesetround(before)


@contextlib.contextmanager
def flushing():
    assert torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


MODES = {"denormals flushed": flushing, **{f"rounding {name}": lambda name=name: rounding(name) for name in ROUNDING}}
EFFECT = {
    "denormals flushed": lambda: np.float32([1e-40]) * np.float32([1]),
    "rounding upward": lambda: np.float32([1]) + np.float32([1e-10]),
    "rounding downward": lambda: np.float32([1]) - np.float32([1e-10]),
    "rounding toward zero": lambda: np.float32([-1]) + np.float32([1e-10]),
}


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or sys.platform == "win32", reason="sets the modes of x86 by libm"
)
@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize("threads", [1, 3])
def test_the_engine_gives_the_same_bits_in_any_mode_of_its_caller_and_leaves_that_mode(mode, threads):
    cases = []
    for seed in range(12):
        rng = np.random.default_rng([7, seed])
        graph, _ = random_graph(rng, batch_norm=False)
        inputs = [array.copy() for array in random_inputs(rng, graph)]
        for array in inputs:
            if array.dtype == np.float32:
                array[rng.random(array.shape) < 0.2] = 1e-40
        cases.append((graph, ir.dumps(graph), inputs, graph.run(*inputs)[0]))
    usual = EFFECT[mode]()
    found = []
    with MODES[mode]():
        changed = EFFECT[mode]()
        for _, data, inputs, _ in cases:
            found.append(_engine.Model(data, threads=threads, grain=0).run(inputs))
        after = EFFECT[mode]()
    assert changed != usual, "the mode had an effect"
    assert after == changed, "the engine put it back"
    for (graph, _, _, wanted), outputs in zip(cases, found):
        for name, a, b in zip(graph.outputs, outputs, wanted):
            a, b = np.asarray(a), np.asarray(b)
            assert same_bits(a, b) if b.dtype == np.float32 else np.array_equal(a, b), name
