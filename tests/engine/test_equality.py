"""The engine gives the interpreter's bits, on every instruction set and with any number of threads.

These are the corners by name; random graphs are in ``tests/graphs``.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.engine.build import check, image, normal, signs

SPECIAL = np.float32([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-45, -1e-40, 3e38, 0.5, -0.5, 1.5])


@pytest.mark.parametrize("channels", [1, 3, 31, 32, 33, 64, 65, 100, 128, 160])
@pytest.mark.parametrize("pad_value", [0, 1, -1])
def test_binary_convolutions_of_any_width_and_padding(channels, pad_value):
    graph, rng = image(channels)
    bits = graph.add("sign", "x")
    outputs = 64 if channels == 100 else channels
    weight = graph.constant(signs(rng, outputs, 3, 3, channels), bit=True)
    sums = graph.add("conv", bits, weight, padding=[1, 1, 1, 1], pad_value=pad_value)
    scaled = graph.add("affine", sums, graph.constant(normal(rng, outputs)), graph.constant(normal(rng, outputs)))
    graph.outputs = [sums, scaled, graph.add("sign", scaled)]
    check(graph, *([normal(rng, batch, 6, 6, channels)] for batch in (1, 3, 0)))


@pytest.mark.parametrize("dtype", ["bit", "float32", "int8", "uint8"])
@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ((1, 1), {}),
        ((1, 1), {"stride": [3, 2]}),
        ((2, 3), {"stride": [5, 4]}),
        ((3, 3), {"padding": [2, 0, 1, 3], "dilation": [1, 2]}),
        ((5, 1), {"padding": [4, 4, 0, 0], "stride": [2, 1]}),
        ((7, 7), {"padding": [3, 3, 3, 3], "stride": [2, 2]}),
        ((6, 6), {}),
    ],
)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_windows_strides_dilations_and_groups(dtype, kernel, attributes, groups):
    channels, outputs = 4 * 9, 4 * 5
    graph, rng = image(channels, dtype, size=7)
    low, high = {"int8": (-128, 127), "uint8": (0, 255)}.get(dtype, (0, 0))
    x = signs(rng, 2, 7, 7, channels) if dtype == "bit" else normal(rng, 2, 7, 7, channels)
    if high:
        x = rng.integers(low, high, (2, 7, 7, channels), dtype, endpoint=True)
    for weight_dtype in {"bit": ("bit", "int8"), "float32": ("float32", "bit")}.get(dtype, ("int8", "bit")):
        shape = (outputs, *kernel, channels // groups)
        if weight_dtype == "bit":
            weight = graph.constant(signs(rng, *shape), bit=True)
        elif weight_dtype == "int8":
            weight = graph.constant(rng.integers(-128, 127, shape, np.int8, endpoint=True))
        else:
            weight = graph.constant(normal(rng, *shape))
        graph.outputs.append(graph.add("conv", "x", weight, groups=groups, **attributes))
    check(graph, [x], threads=(1, 3))


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8"])
@pytest.mark.parametrize("channels", [2, 15, 16, 33, 64, 129])
def test_one_filter_a_channel_of_every_dtype_and_width(dtype, channels):
    graph, rng = image(channels, dtype, size=7)
    shape = (channels, 3, 2, 1)
    if dtype == "float32":
        x, weight = rng.choice(SPECIAL, (2, 7, 7, channels)), rng.choice(SPECIAL, shape)
    else:
        limits = np.iinfo(dtype)
        x = rng.integers(limits.min, limits.max, (2, 7, 7, channels), dtype, endpoint=True)
        weight = rng.integers(-128, 127, shape, np.int8, endpoint=True)
    held = graph.constant(weight)
    graph.outputs = [
        graph.add("conv", "x", held, groups=channels, padding=[2, 1, 0, 1], stride=[1, 2], dilation=[2, 1]),
        graph.add("conv", "x", held, groups=channels),
    ]
    check(graph, [x], [x[:0]], threads=(1, 3))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bit"])
@pytest.mark.parametrize("channels", [1, 3, 5, 6, 7])
def test_integers_of_few_channels_whatever_lies_in_the_padding(dtype, channels):
    graph, rng = image(channels, dtype, size=6)
    if dtype == "bit":
        x = signs(rng, 2, 6, 6, channels)
    else:
        limits = np.iinfo(dtype)
        x = rng.integers(limits.min, limits.max, (2, 6, 6, channels), dtype, endpoint=True)
    weight = graph.constant(rng.integers(-128, 127, (20, 3, 5, channels), np.int8, endpoint=True))
    for padding, stride in (([0, 0, 0, 0], [1, 1]), ([3, 1, 2, 4], [2, 1]), ([1, 1, 5, 5], [1, 3])):
        graph.outputs.append(graph.add("conv", "x", weight, padding=padding, stride=stride))
    graph.outputs.append(graph.add("conv", "x", weight, padding=[2, 2, 4, 4], dilation=[2, 2]))
    check(graph, [x], threads=(1, 3))


def test_depthwise_convolution_followed_by_bits():
    graph, rng = image(40)
    weight = graph.constant(signs(rng, 80, 3, 3, 1), bit=True)
    sums = graph.add("conv", graph.add("sign", "x"), weight, groups=40, padding=[1, 1, 1, 1])
    limit, sense = graph.constant(rng.integers(-9, 9, 80).astype(np.int32)), graph.constant(signs(rng, 80), bit=True)
    graph.outputs = [graph.add("threshold", sums, limit, sense)]
    check(graph, [normal(rng, 2, 6, 6, 40)])


@pytest.mark.parametrize("channels", [16, 32, 64, 96, 100])
@pytest.mark.parametrize("dtype", ["bit", "int8", "float32"])
def test_every_run_of_the_steps_that_are_done_in_registers(channels, dtype):
    steps = ["cast", "relu", "affine", "add", "prelu", "relu", "sign"]
    rng = np.random.default_rng(channels)
    x = normal(rng, 1, 5, 5, 32) if dtype == "float32" else signs(rng, 1, 5, 5, 32)
    for left_out in range(len(steps)):
        graph, rng = image(32, dtype, size=5)
        graph.inputs["other"] = graph.inputs["x"]._replace(dtype="float32", shape=("batch", 5, 5, channels))
        weight = normal(rng, channels, 3, 3, 32) if dtype == "float32" else signs(rng, channels, 3, 3, 32)
        held = graph.constant(weight, bit=dtype == "bit")
        y = graph.add("conv", "x", held, padding=[1, 1, 1, 1], pad_value=0)
        integer = dtype != "float32"
        for number, step in enumerate(steps):
            if number == left_out or (step == "cast" and not integer) or (integer and step not in ("cast", "affine")):
                continue
            operands = {"affine": 2, "prelu": 1}.get(step, 0)
            vectors = [graph.constant(normal(rng, channels)) for _ in range(operands)]
            if step == "cast":
                y = graph.add("cast", y, dtype="float32")
            elif step == "add":
                y = graph.add("add", *(("other", y) if left_out % 2 else (y, "other")))
            else:
                y = graph.add(step, y, *vectors)
            integer = False
        graph.outputs = [y]
        check(graph, [x, normal(rng, 1, 5, 5, channels)], threads=(1, 3))


def test_thresholds_at_the_ends_of_int32_with_either_sense():
    graph, rng = image(8, "bit", size=1)
    weight = graph.constant(signs(rng, 8, 1, 1, 8), bit=True)
    limits = np.int32([-(2**31), -(2**31), 2**31 - 1, 2**31 - 1, 0, 0, -8, 8])
    sense = graph.constant(np.int8([1, -1, 1, -1, 1, -1, -1, 1]), bit=True)
    graph.outputs = [graph.add("threshold", graph.add("conv", "x", weight), graph.constant(limits), sense)]
    check(graph, [signs(rng, 5, 1, 1, 8)])


def test_special_floats_through_every_pointwise_step():
    graph, rng = image(19)
    full = graph.constant(rng.choice(SPECIAL, (1, 6, 6, 19)))
    vector = graph.constant(rng.choice(SPECIAL[3:], 19))
    scalar = graph.constant(np.float32([-0.0]))
    slope = graph.constant(np.float32([-0.25]))
    scale = graph.constant(np.float32([0.3]))
    for kind in ("add", "sub", "mul", "div", "max", "min"):
        for other in (vector, scalar, "x"):
            for operands in (("x", other), (other, "x")):
                graph.outputs.append(graph.add(kind, *operands))
        graph.outputs.append(graph.add(kind, graph.add("add", "x", full), "x"))
    for kind in ("relu", "neg", "abs", "sqrt", "exp", "tanh", "erf", "sigmoid", "sign", "softmax"):
        graph.outputs.append(graph.add(kind, "x"))
    graph.outputs += [
        graph.add("clip", "x", low=-0.75, high=1.25),
        graph.add("prelu", "x", slope),
        graph.add("prelu", "x", vector),
        graph.add("affine", "x", vector, vector),
        graph.add("quantize", "x", scale),
        graph.add("quantize", "x", scale, zero_point=-100, low=-128, high=100),
        graph.add("quantize", "x", scale, zero_point=7, low=0, high=255, dtype="uint8"),
    ]
    graph.outputs += [graph.add("reduce", "x", op=op) for op in ("sum", "mean", "max", "min")]
    x = np.where(rng.random((1, 6, 6, 19)) < 0.5, rng.choice(SPECIAL, (1, 6, 6, 19)), normal(rng, 1, 6, 6, 19) * 40)
    check(graph, [x.astype(np.float32)], [normal(rng, 1, 6, 6, 19)])


def test_a_value_read_by_several_steps_of_its_own_chain():
    graph, rng = image(33)
    weight = graph.constant(signs(rng, 33, 3, 3, 33), bit=True)
    y = graph.add("conv", graph.add("sign", "x"), weight, padding=[1, 1, 1, 1])
    y = graph.add("affine", y, graph.constant(normal(rng, 33)), graph.constant(normal(rng, 33)))
    a = graph.add("relu", y)
    b = graph.add("mul", y, y)
    c = graph.add("sub", a, b)
    code = graph.add("quantize", c, graph.constant(np.float32([0.1])))
    back = graph.add("cast", code, dtype="float32")
    bits = graph.add("sign", c)
    graph.outputs = [graph.add("add", back, graph.add("cast", bits, dtype="float32")), graph.add("max", c, y)]
    check(graph, [normal(rng, 2, 6, 6, 33)])


def test_the_sum_of_two_branches_joins_the_later_one():
    graph, rng = image(64)
    bits = graph.add("sign", "x")
    branches = []
    for kernel, pad in ((3, 1), (1, 0)):
        weight = graph.constant(signs(rng, 96, kernel, kernel, 64), bit=True)
        sums = graph.add("conv", bits, weight, padding=[pad] * 4, stride=[2, 2])
        branches.append(graph.add("affine", sums, graph.constant(normal(rng, 96)), graph.constant(normal(rng, 96))))
    total = graph.add("add", *branches)
    graph.outputs = [total, graph.add("max_pool", graph.add("sign", total), kernel=[2, 2], stride=[1, 1])]
    check(graph, [normal(rng, 2, 6, 6, 64)])


def test_states_that_trade_places_change_at_once():
    graph, rng = image(3, size=1)
    a, b = graph.state(normal(rng, 2, 3)), graph.state(normal(rng, 2, 3))
    flag = graph.state(signs(rng, 2, 3), bit=True)
    graph.states = {a: graph.add("reshape", b, shape=[2, 3]), b: a, flag: graph.add("sign", graph.add("add", a, b))}
    graph.outputs = [graph.add("add", a, b), flag]
    graph.outputs.append(graph.add("relu", "x"))
    x = normal(rng, 1, 1, 1, 3)
    check(graph, [x], [x], [x])
