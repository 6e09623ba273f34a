"""Blocks that the passes look for, and near misses: what optimizing changes, and what it must leave alone."""

from __future__ import annotations

import numpy as np
from tests.graphs.products import WEIGHTS, add_convolution, add_linear
from tests.graphs.program import Impossible, Program, has_channels, is_float, is_image, is_sized, step
from tests.graphs.windows import add_batch_norm, add_pool

from onebit.ir import TensorType
from onebit.ir import dim as dims

ONE_OPERAND = ("relu", "neg", "abs", "tanh", "sigmoid", "exp", "sqrt", "erf")
NONDECREASING = ("affine", "prelu", "mul", "div", "add", "sub", "relu", "clip")
TURNING = ("neg", "affine", "mul", "div", "sub", "prelu", "abs")
ANY = (*NONDECREASING, "max", "min", "neg", "abs", "tanh", "sqrt", "exp")
SCALES = ("affine", "mul", "div", "add", "sub", "neg", "batch_norm")


def channel_constant(program: Program, x: str, positive: bool = False, vector: bool = False) -> str:
    """A float constant that is a scalar or varies along the channels of ``x``, in any shape that says so."""
    choose, channels = program.choose, program.channels(x)
    shape = (channels,) if vector or program.chance(0.7) else (1,)
    if not vector:
        shape = (*[1] * choose.randint(0, len(program.types[x].shape) - 1), *shape)
        if shape[-1] == 1 and program.chance(0.3):
            shape = ()
    array = program.array("float32", shape, choose.choice([0.05, 0.3, 1.0, 1.0, 20.0]))
    return program.keep(np.asarray(np.abs(array) + np.float32(0.01) if positive else array, np.float32), "float32")


def add_link(program: Program, x: str, kind: str, positive: bool = False) -> str | None:
    """One pointwise function with constants per channel."""
    choose = program.choose
    if kind in ONE_OPERAND:
        return program.add(kind, x)
    if kind == "batch_norm":
        return add_batch_norm(program, x) if program.batch_norm else program.add("neg", x)
    if kind == "clip":
        low, high = choose.choice([(-1, 1), (0, 6), (-1, 0), (-0.5, -0.25), (-1e-45, 1e-45)])
        return program.add("clip", x, low=low, high=high)
    if kind == "affine":
        return program.add(
            "affine", x, channel_constant(program, x, positive, True), channel_constant(program, x, False, True)
        )
    if kind == "prelu":
        slope = np.asarray(program.array("float32", (choose.choice([1, program.channels(x)]),), 0.5))
        return program.add("prelu", x, program.keep(np.abs(slope) + np.float32(0.01) if positive else slope, "float32"))
    other = channel_constant(program, x, positive and kind in ("mul", "div"))
    swapped = program.chance(0.15) if kind in ("div", "sub") and positive else program.chance(0.3)
    return program.add(kind, *((other, x) if swapped else (x, other)))


def add_links(program: Program, x: str, kinds: tuple[str, ...], most: int, positive: bool = False) -> str | None:
    name: str | None = x
    for _ in range(program.choose.randint(0, most)):
        name = name and add_link(program, name, program.choose.choice(kinds), positive)
    return name


def add_sums(program: Program) -> str:
    """An int32 value with channels: one that is there, or what a layer of bits makes."""
    if program.chance(0.3):
        return program.need(has_channels("int32"))
    x = program.need(has_channels("bit", "bit", "int8", "uint8", "float32"))
    if program.types[x].dtype == "float32":
        x = program.add("sign", x) or x
    dtype = program.choose.choice(WEIGHTS[program.types[x].dtype])
    if is_image("bit", "int8", "uint8")(program.types[x]) and program.chance(0.6):
        sums = add_convolution(program, x, dtype)
    else:
        sums = add_linear(program, x, dtype, program.choose.choice([1, 3, 8, 17, 33]))
    if sums is None:
        raise Impossible
    return sums


@step(4)
def sign_of_a_function_of_sums(program: Program) -> object:
    """What becomes a threshold, and chains whose sign changes more than once, which must not."""
    sums = add_sums(program)
    y = program.add("cast", sums, dtype="float32") if program.chance(0.4) else add_link(program, sums, "affine")
    y = y and add_links(program, y, ANY, 4)
    if y and program.chance(0.15):
        y = add_pool(program, "max_pool", y) if is_image("float32")(program.types[y]) else y
    return y and program.add("sign", y)


@step(5)
def sign_after_a_pool(program: Program) -> object:
    """What becomes a pool of bits, and functions that turn the order around, which must not."""

    def large(given: TensorType) -> bool:
        return is_image("bit", "float32")(given) and int(given.shape[1]) * int(given.shape[2]) >= 4

    x = program.need(large)
    y: str | None = x
    if program.types[x].dtype == "bit":
        y = add_convolution(program, x, "bit", same=program.chance(0.6))  # no NaN comes of it
        y = y and add_link(program, y, "affine")
    y = y and add_pool(program, "max_pool", y)
    y = y and add_links(program, y, NONDECREASING, 2, True)
    if y and program.chance(0.4):
        y = add_link(program, y, "neg") if program.chance(0.5) else add_links(program, y, TURNING, 2)
    return y and program.add("sign", y)


@step(2)
def flattened_then_linear(program: Program) -> object:
    """A classifier on a flattened image in the order of another layout, which a permuted weight makes unnecessary."""
    choose = program.choose
    x = program.need(lambda given: len(given.shape) in (3, 4) and is_sized("float32", "bit", "int8", "uint8")(given))
    shape = program.types[x].shape
    rest = list(range(1, len(shape)))
    choose.shuffle(rest)
    features = dims.product(shape[1:])
    assert isinstance(features, int)
    if features > 600:
        raise Impossible
    y = program.add("transpose", x, perm=[0, *rest]) if program.chance(0.9) else x
    y = y and program.add("reshape", y, shape=[shape[0], features])
    if y and program.types[y].dtype == "float32" and program.chance(0.5):
        y = program.add("sign", y)
    if y is None:
        return None
    return add_linear(program, y, choose.choice(WEIGHTS[program.types[y].dtype]), choose.choice([1, 2, 5, 10, 17]))


@step(3)
def scales_and_shifts(program: Program) -> object:
    """A chain that becomes one affine function; behind a float product its scale goes into the weights."""
    if program.chance(0.3):
        x = program.need(has_channels("float32"))
    elif program.chance(0.5):
        x = add_sums(program)
        x = program.add("cast", x, dtype="float32") or x
    else:
        source = program.need(has_channels("float32"))
        dtype = program.choose.choice(["float32", "float32", "bit"])
        if is_image("float32")(program.types[source]):
            x = add_convolution(program, source, dtype) or source
        else:
            x = add_linear(program, source, dtype, program.choose.choice([1, 3, 8, 17])) or source
    if program.types[x].dtype != "float32" or program.channels(x) == 0:
        raise Impossible
    return add_links(program, x, SCALES, 4)


def add_move(program: Program, x: str) -> str | None:
    choose, shape = program.choose, program.types[x].shape
    way = choose.choice(["transpose", "reshape", "slice", "broadcast_to"])
    if way == "transpose":
        return program.add("transpose", x, perm=choose.sample(range(len(shape)), len(shape)))
    if way == "reshape":
        return program.add("reshape", x, shape=[shape[0], dims.product(shape[1:])] if shape else [1])
    if way == "slice" and shape and isinstance(shape[-1], int):
        return program.add("slice", x, axis=len(shape) - 1, start=min(1, shape[-1]), step=choose.choice([1, 2]))
    return program.add("broadcast_to", x, shape=[2, *shape]) if len(shape) < 5 else None


@step(2)
def sign_after_moves(program: Program) -> object:
    y: str | None = program.need(is_float)
    for _ in range(program.choose.randint(1, 3)):
        y = y and add_move(program, y)
    return y and program.add("sign", y)


@step(2)
def sign_after_a_clip(program: Program) -> object:
    y = add_link(program, program.need(is_float), "clip")
    return y and program.add("sign", y)


@step(3)
def nothing_done(program: Program) -> object:
    """A node that gives its input back, two that cancel, or one that repeats another."""
    choose = program.choose
    if program.chance(0.3) and program.graph.nodes:
        node = choose.choice(program.graph.nodes)
        name = program.add(node.kind, *node.inputs, **node.attributes)
        if name and node.output in program.ranges:
            program.ranges[name] = program.ranges[node.output]
        return name
    x = program.need(lambda given: bool(given.shape))
    dtype, shape = program.types[x]
    ways = ["transpose", "transposes", "reshape", "reshapes", "cast", "slice", "broadcast_to"]
    way = choose.choice([*ways, "pad"] if dtype in ("float32", "bit") else ways)
    rank = len(shape)
    perm = choose.sample(range(rank), rank)
    name = {
        "transpose": lambda: program.add("transpose", x, perm=list(range(rank))),
        "transposes": lambda: _two(program, x, "transpose", {"perm": perm}, {"perm": list(map(int, np.argsort(perm)))}),
        "reshape": lambda: program.add("reshape", x, shape=shape),
        "reshapes": lambda: _two(program, x, "reshape", {"shape": [dims.product(shape)]}, {"shape": shape}),
        "cast": lambda: program.add("cast", x, dtype=dtype),
        "slice": lambda: program.add("slice", x, axis=choose.randrange(rank)),
        "broadcast_to": lambda: program.add("broadcast_to", x, shape=shape),
        "pad": lambda: program.add("pad", x, pads=[[0, 0]] * rank, value=1),
    }[way]()
    if name and x in program.ranges:
        program.ranges[name] = program.ranges[x]
    return name


def _two(program: Program, x: str, kind: str, first: dict, second: dict) -> str | None:
    y = program.add(kind, x, **first)
    return y and program.add(kind, y, **second)
