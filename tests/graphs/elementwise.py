"""Elementwise steps, logic, look-up."""

from __future__ import annotations

from tests.graphs.program import WIDE, Impossible, Program, is_float, step

from onebit.ir import TensorType
from onebit.ir import dim as dims


def _partner(program: Program, a: str) -> str:
    """A second operand for ``a``: a value or a constant of the same dtype that broadcasts with it."""
    given, choose = program.types[a], program.choose

    def fits(other: TensorType) -> bool:
        if other.dtype != given.dtype:
            return False
        try:
            dims.broadcast(given.shape, other.shape)
        except ValueError:
            return False
        return True

    if choose.random() < 0.6:
        return program.need(fits)
    whole = [size if isinstance(size, int) else 1 for size in given.shape]
    shape = tuple(size if choose.random() < 0.6 else 1 for size in whole)[choose.randint(0, len(whole)) :]
    return program.constant(given.dtype, shape)


@step(8)
def two_operands(program: Program) -> object:
    kind = program.choose.choice(["add", "add", "sub", "mul", "mul", "div", "max", "min"])
    dtype = "float32" if kind == "div" else program.choose.choice(["float32", "float32", "int32", "int64"])
    a = program.need(lambda given: given.dtype == dtype)
    b = _partner(program, a)
    if program.choose.random() < 0.5:
        a, b = b, a
    if a not in program.ranges:
        return program.add(kind, a, b)
    (low, high), (other_low, other_high) = program.ranges[a], program.ranges[b]
    products = [low * other_low, low * other_high, high * other_low, high * other_high]
    result = {
        "add": (low + other_low, high + other_high),
        "sub": (low - other_high, high - other_low),
        "mul": (min(products), max(products)),
        "max": (max(low, other_low), max(high, other_high)),
        "min": (min(low, other_low), min(high, other_high)),
    }[kind]
    if max(map(abs, result)) > WIDE[program.types[a].dtype] and kind in ("add", "sub", "mul"):
        raise Impossible
    name = program.add(kind, a, b)
    if name:
        program.ranges[name] = result
    return name


@step(6)
def one_operand(program: Program) -> object:
    kind = program.choose.choice(["neg", "abs", "sqrt", "exp", "tanh", "erf", "sigmoid", "relu", "relu"])
    return program.add(kind, program.need(is_float))


@step(2)
def clip(program: Program) -> object:
    low, high = program.choose.choice([(-1, 1), (0.0, 6.0), (-0.0, 0.0), (0.1, 0.1), (-1e30, 1)])
    return program.add("clip", program.need(is_float), low=low, high=high)


@step(4)
def compare(program: Program) -> object:
    a = program.need_any()
    return program.add("compare", a, _partner(program, a), op=program.some("eq", "ne", "lt", "le", "gt", "ge"))


@step(2)
def logical(program: Program) -> object:
    a = program.need(lambda given: given.dtype == "bool")
    if program.choose.random() < 0.3:
        return program.add("logical_not", a)
    return program.add(program.choose.choice(["logical_and", "logical_or"]), a, _partner(program, a))


@step(6)
def where(program: Program) -> object:
    condition = program.need(lambda given: given.dtype == "bool")
    dtype = program.types[program.need_any()].dtype
    a = program.need(lambda given: given.dtype == dtype and broadcasts(given.shape, program.types[condition].shape))
    b = _partner(program, a)
    if not broadcasts(program.types[condition].shape, program.types[a].shape, program.types[b].shape):
        raise Impossible
    name = program.add("where", condition, *program.choose.choice([(a, b), (b, a)]))
    if name and a in program.ranges:
        (low, high), (other_low, other_high) = program.ranges[a], program.ranges[b]
        program.ranges[name] = (min(low, other_low), max(high, other_high))
    return name


def broadcasts(*shapes: tuple[dims.Dim, ...]) -> bool:
    try:
        dims.broadcast(*shapes)
    except ValueError:
        return False
    return True


@step(2)
def embedding(program: Program) -> object:
    found = [
        name
        for name in program.values
        if name in program.ranges and 0 <= program.ranges[name][0] <= program.ranges[name][1] < 50
    ]
    if not found:
        raise Impossible
    index = program.choose.choice(found)
    rows = program.ranges[index][1] + program.choose.randint(1, 3)
    return program.add("embedding", program.constant("float32", (rows, program.choose.choice([1, 3, 8, 17]))), index)
