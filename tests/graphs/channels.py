"""Steps with a constant per channel, and between number systems."""

from __future__ import annotations

import numpy as np
from tests.graphs.program import WIDE, Program, has_channels, is_float, step

from onebit.ir.kinds.quantization import CASTS


def scale_and_shift(program: Program, channels: int) -> tuple[str, str]:
    scale = program.constant("float32", (channels,), program.choose.choice([0.01, 0.3, 1.0, 30.0]))
    return scale, program.constant("float32", (channels,))


@step(4)
def affine(program: Program) -> object:
    x = program.need(has_channels("float32", "int32"))
    return program.add("affine", x, *scale_and_shift(program, program.channels(x)))


def add_threshold(program: Program, x: str) -> str | None:
    channels = program.channels(x)
    limit = program.rng.integers(-12, 13, channels, np.int32)
    extreme = program.rng.random(channels)
    limit = np.where(extreme < 0.05, np.int32(-(2**31)), np.where(extreme > 0.95, np.int32(2**31 - 1), limit))
    return program.add("threshold", x, program.keep(limit, "int32"), program.constant("bit", (channels,)))


@step(3)
def threshold(program: Program) -> object:
    return add_threshold(program, program.need(has_channels("int32")))


@step(6)
def sign(program: Program) -> object:
    return program.add("sign", program.need(is_float))


@step(3)
def quantize(program: Program) -> object:
    choose = program.choose
    x = program.need(has_channels("float32"))
    scale = program.array("float32", (choose.choice([1, program.channels(x)]),), 0.1)
    if choose.random() < 0.7:
        scale = np.abs(scale) + np.float32(0.01)
    dtype = choose.choice(["int8", "uint8"])
    attributes: dict[str, object] = {"dtype": dtype}
    if dtype == "uint8" or choose.random() < 0.5:
        least, most = (0, 255) if dtype == "uint8" else (-128, 127)
        low, zero_point, high = sorted(choose.randint(least, most) for _ in range(3))
        attributes |= {"low": low, "zero_point": zero_point, "high": high}
    return program.add("quantize", x, program.keep(scale, "float32"), **attributes)


@step(2)
def prelu(program: Program) -> object:
    x = program.need(has_channels("float32"))
    return program.add("prelu", x, program.constant("float32", (program.choose.choice([1, program.channels(x)]),), 0.5))


@step(3)
def cast(program: Program) -> object:
    x = program.need_any()
    dtype = program.choose.choice([*CASTS[program.types[x].dtype], program.types[x].dtype])
    name = program.add("cast", x, dtype=dtype)
    if name and dtype in WIDE:
        source = program.types[x].dtype
        if source in ("bit", "bool", "int8", "uint8"):
            program.ranges[name] = {"bit": (-1, 1), "bool": (0, 1), "int8": (-128, 127), "uint8": (0, 255)}[source]
        elif source in WIDE:
            program.ranges[name] = program.ranges[x]
    return name
