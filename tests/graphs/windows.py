"""Steps over windows, reductions, normalisations."""

from __future__ import annotations

import numpy as np
from tests.graphs.program import Impossible, Program, has_channels, is_image, step


def add_pool(program: Program, kind: str, x: str) -> str | None:
    choose = program.choose
    kernel = tuple(choose.choice([1, 2, 2, 3]) for _ in range(2))
    attributes: dict[str, object] = {
        "kernel": kernel,
        "stride": tuple(choose.choice([1, 2, 2, 3, 4]) for _ in range(2)),
    }
    if choose.random() < 0.5:
        attributes["padding"] = tuple(choose.choice([0, 1, 2]) for _ in range(4))
    if kind == "max_pool" and choose.random() < 0.3:
        attributes["dilation"] = tuple(choose.choice([1, 2]) for _ in range(2))
    if kind == "avg_pool" and choose.random() < 0.6:
        attributes["count_include_pad"] = choose.random() < 0.5
    try:
        return program.add(kind, x, **attributes)
    except ValueError:  # the window does not fit, or lies in the padding
        return program.add(kind, x, kernel=(1, 1), stride=(2, 2))


@step(3)
def max_pool(program: Program) -> object:
    return add_pool(program, "max_pool", program.need(is_image("float32", "bit")))


@step(2)
def avg_pool(program: Program) -> object:
    return add_pool(program, "avg_pool", program.need(is_image("float32")))


@step(3)
def reduce(program: Program) -> object:
    x = program.need(has_channels("float32"))
    return program.add("reduce", x, op=program.some("sum", "mean", "max", "min"), keepdims=program.some(True, False))


@step(1)
def softmax(program: Program) -> object:
    return program.add("softmax", program.need(has_channels("float32")))


@step(1)
def layer_norm(program: Program) -> object:
    x = program.need(has_channels("float32"))
    weight, bias = (program.constant("float32", (program.channels(x),)) for _ in range(2))
    return program.add("layer_norm", x, weight, bias, eps=program.some(1e-5, 0, 0.1))


@step(1)
def batch_norm(program: Program) -> object:
    if not program.batch_norm:
        raise Impossible
    x = program.need(has_channels("float32"))
    weight, bias, mean = (program.constant("float32", (program.channels(x),)) for _ in range(3))
    var = program.keep(np.abs(program.array("float32", (program.channels(x),))) + np.float32(0.1), "float32")
    return program.add("batch_norm", x, weight, bias, mean, var, eps=1e-5)
