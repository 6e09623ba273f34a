"""Steps that move values."""

from __future__ import annotations

from tests.graphs.program import Impossible, Program, step

from onebit.ir import TensorType
from onebit.ir import dim as dims


@step(3)
def reshape(program: Program) -> object:
    x = program.need(lambda given: True)
    shape, choose = list(program.types[x].shape), program.choose
    way = choose.random()
    if way < 0.4 and len(shape) >= 2:  # merge
        axis = choose.randrange(len(shape) - 1)
        shape[axis : axis + 2] = [dims.product(shape[axis : axis + 2])]
    elif way < 0.6 and len(shape) < 5 and shape:  # split
        axis = choose.randrange(len(shape))
        coefficient, symbols = dims.parse(shape[axis])
        parts = [n for n in range(1, min(coefficient, 9) + 1) if coefficient % n == 0] or [1]
        part = choose.choice(parts)
        shape[axis : axis + 1] = [dims.write(coefficient // part, symbols), part]
    elif way < 0.8 and len(shape) < 5:
        shape.insert(choose.randint(0, len(shape)), 1)
    elif shape:  # flatten all but the first
        shape = [shape[0], dims.product(shape[1:])]
    return program.add("reshape", x, shape=shape)


@step(2)
def image(program: Program) -> object:
    """Whatever it is, an image: so that there is always something to convolve."""
    x = program.need(lambda given: given.dtype in ("float32", "bit", "int8", "uint8") and 2 <= len(given.shape) <= 3)
    shape = program.types[x].shape
    if not all(isinstance(size, int) for size in shape[1:]):
        raise Impossible
    return program.add("reshape", x, shape=(shape[0], *([1] * (4 - len(shape))), *shape[1:]))


@step(2)
def transpose(program: Program) -> object:
    x = program.need(lambda given: True)
    perm = list(range(len(program.types[x].shape)))
    program.choose.shuffle(perm)
    return program.add("transpose", x, perm=perm)


@step(3)
def concat(program: Program) -> object:
    a = program.need(lambda given: bool(given.shape))
    given = program.types[a]
    axis = program.choose.randrange(len(given.shape))

    def fits(other: TensorType) -> bool:
        same = other.dtype == given.dtype and len(other.shape) == len(given.shape)
        same = same and all(i == axis or m == n for i, (m, n) in enumerate(zip(other.shape, given.shape)))
        return same and (dims.parse(other.shape[axis])[1] == dims.parse(given.shape[axis])[1])

    parts = [a, *[program.need(fits) for _ in range(program.choose.randint(1, 2))]]
    name = program.add("concat", *parts, axis=axis)
    if name and a in program.ranges:
        program.ranges[name] = (
            min(program.ranges[part][0] for part in parts),
            max(program.ranges[part][1] for part in parts),
        )
    return name


@step(2)
def slice_(program: Program) -> object:
    x = program.need(lambda given: bool(given.shape))
    shape, choose = program.types[x].shape, program.choose
    axis = choose.randrange(len(shape))
    size = shape[axis]
    if not isinstance(size, int):
        return program.add("slice", x, axis=axis)
    start, stop = sorted((choose.randint(0, size), choose.randint(0, size)))
    if start == stop and choose.random() < 0.95:  # empty values are valid, but little follows them
        start, stop = 0, size
    attributes: dict[str, object] = {"axis": axis, "step": choose.choice([1, 1, 2, 3])}
    if start or choose.random() < 0.5:
        attributes["start"] = start
    if stop != size or choose.random() < 0.5:
        attributes["stop"] = stop
    return program.add("slice", x, **attributes)


@step(2)
def pad(program: Program) -> object:
    x = program.need(lambda given: given.dtype in ("float32", "bit"))
    given, choose = program.types[x], program.choose
    pads = [
        [choose.choice([0, 0, 0, 1, 2]), choose.choice([0, 0, 1, 3])] if isinstance(size, int) else [0, 0]
        for size in given.shape
    ]
    value = choose.choice([1, -1]) if given.dtype == "bit" else choose.choice([0, -0.0, 0.5, -1e30])
    return program.add("pad", x, pads=pads, value=value)


@step(1)
def broadcast_to(program: Program) -> object:
    x = program.need(lambda given: len(given.shape) < 5)
    choose = program.choose
    shape = [choose.choice([1, 2, 3]) if size == 1 else size for size in program.types[x].shape]
    if choose.random() < 0.3:
        shape.insert(0, choose.choice([1, 2]))
    return program.add("broadcast_to", x, shape=shape)
