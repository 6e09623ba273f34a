"""Steps over windows, reductions, normalisations."""

from __future__ import annotations

import numpy as np
from tests.graphs.program import Impossible, Program, has_channels, is_image, step

from onebit.ir import dim as dims


def add_pool(program: Program, kind: str, x: str) -> str | None:
    choose = program.choose
    for _ in range(4):
        kernel = tuple(choose.choice([1, 2, 2, 3]) for _ in range(2))
        kernel = tuple(min(taps, size) for taps, size in zip(kernel, program.types[x].shape[1:3]))
        attributes: dict[str, object] = {
            "kernel": kernel,
            "stride": tuple(choose.choice([1, 2, 2, 3, 4]) for _ in range(2)),
        }
        if choose.random() < 0.4:
            attributes["padding"] = tuple(choose.choice([0, 1, 2]) for _ in range(4))
        if kind == "max_pool" and choose.random() < 0.3:
            attributes["dilation"] = tuple(choose.choice([1, 2]) for _ in range(2))
        if kind == "avg_pool" and choose.random() < 0.6:
            attributes["count_include_pad"] = choose.random() < 0.5
        try:
            return program.add(kind, x, **attributes)
        except ValueError:  # the window does not fit, or lies in the padding
            continue
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
    return add_batch_norm(program, x)


def add_batch_norm(program: Program, x: str) -> str | None:
    arrays = [program.array("float32", (program.channels(x),), special=False) for _ in range(4)]
    arrays[3] = np.abs(arrays[3]) + np.float32(0.1)
    return program.add("batch_norm", x, *[program.keep(array, "float32") for array in arrays], eps=1e-5)


@step(6)
def symbolic_windows(program: Program) -> object:
    """Windows along an axis whose size is a symbol: their number must be a multiple of it."""
    x = program.need(
        lambda given: (
            given.dtype in ("float32", "bit", "int8", "uint8")
            and len(given.shape) == 4
            and isinstance(given.shape[1], str) != isinstance(given.shape[2], str)
            and 0 not in given.shape
            and isinstance(given.shape[3], int)
            and 0 < given.shape[3] <= 24
        )
    )
    given, choose = program.types[x], program.choose
    kernel, stride, padding = [1, 1], [1, 1], [0, 0, 0, 0]
    for axis in (0, 1):
        size = given.shape[1 + axis]
        way = choose.choice(["one", "same", "halves"])
        if way == "same":
            kernel[axis], padding[2 * axis : 2 * axis + 2] = 3, choose.choice([[1, 1], [0, 2], [2, 0]])
        elif way == "halves" and isinstance(size, str) and dims.parse(size)[0] % 2 == 0:
            kernel[axis] = stride[axis] = 2
    kinds = {"float32": ["conv", "max_pool", "avg_pool"], "bit": ["conv", "max_pool"]}.get(given.dtype, ["conv"])
    kind = choose.choice(kinds)
    attributes: dict[str, object] = {"stride": stride, "padding": padding}
    if kind != "conv":
        try:
            return program.add(kind, x, kernel=kernel, **attributes)
        except ValueError:  # a window in the padding
            raise Impossible from None
    weight = program.constant(
        "float32" if given.dtype == "float32" else choose.choice(["bit", "int8"]),
        (choose.choice([1, 3, 8, 17]), *kernel, program.channels(x)),
    )
    name = program.add("conv", x, weight, **attributes)
    if name and program.types[name].dtype == "int32":
        program.ranges[name] = (-(2**24), 2**24)
    return name


@step(1)
def symbolic_reduction(program: Program) -> object:
    """Over a last axis whose size is a symbol: an error of the run where that is 0."""
    if not program.wild:
        raise Impossible
    x = program.need(lambda given: given.dtype == "float32" and bool(given.shape) and isinstance(given.shape[-1], str))
    if program.chance(0.3):
        return program.add("softmax", x)
    return program.add("reduce", x, op=program.some("sum", "mean", "max", "min"), keepdims=program.some(True, False))
