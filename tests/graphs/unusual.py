"""Steps for valid graphs that are not how networks are written: constants and parameters in odd places, many axes."""

from __future__ import annotations

from tests.graphs.elementwise import broadcasts
from tests.graphs.patterns import channel_constant
from tests.graphs.products import WEIGHTS, add_convolution, add_linear
from tests.graphs.program import Impossible, Program, has_channels, step
from tests.graphs.windows import add_pool

from onebit.ir import TensorType
from onebit.ir import dim as dims
from onebit.ir.kinds.quantization import CASTS


@step(2)
def function_of_constants(program: Program) -> object:
    """A value that depends on constants alone; what follows may take it for any other."""
    choose = program.choose
    shape = (choose.choice([1, 1, 2]), choose.choice([1, 3, 8, 17]))
    x = program.constant(choose.choice(["float32", "float32", "bit", "int8"]), shape)
    if program.types[x].dtype != "float32":
        return program.add("cast", x, dtype="float32")
    kind = choose.choice(["exp", "sqrt", "sign", "relu", "add", "mul", "quantize", "transpose"])
    if kind in ("add", "mul"):
        return program.add(kind, x, program.constant("float32", shape[1:]))
    if kind == "quantize":
        return program.add("quantize", x, program.constant("float32", (1,), 0.1))
    return program.add(kind, x, **({"perm": [1, 0]} if kind == "transpose" else {}))


@step(1)
def cast_of_ternary(program: Program) -> object:
    """The one way to read a ternary constant besides multiplying by it."""
    choose = program.choose
    x = program.constant("ternary", (choose.choice([1, 2]), choose.choice([1, 4, 5, 17])))
    return program.add("cast", x, dtype=choose.choice(CASTS["ternary"]))


@step(1)
def constant_first(program: Program) -> object:
    """A constant where a value stands otherwise: multiplied, pooled, selected, joined."""
    choose = program.choose
    image = program.constant(choose.choice(["float32", "bit", "int8", "uint8"]), (1, 4, 3, choose.choice([1, 3, 17])))
    dtype = program.types[image].dtype
    way = choose.choice(["conv", "linear", "pool", "concat", "where"])
    if way == "conv":
        return add_convolution(program, image, choose.choice(WEIGHTS[dtype]))
    if way == "linear":
        return add_linear(program, image, choose.choice(WEIGHTS[dtype]), choose.choice([1, 5, 33]))
    if way == "pool" and dtype in ("float32", "bit"):
        return add_pool(program, "max_pool", image)
    if way == "concat":
        return program.add("concat", image, image, axis=choose.randrange(4))
    shape = program.types[image].shape
    condition = program.need(lambda given: given.dtype == "bool" and broadcasts(given.shape, shape))
    return program.add("where", condition, image, image)


@step(1)
def weight_as_a_value(program: Program) -> object:
    """What one node has as its constant is from now on a value that others may read."""
    found = [name for name in program.graph.tensors if name not in program.values and name not in program.graph.trits]
    if not found:
        raise Impossible
    program.values.append(program.choose.choice(found))
    return None


@step(1)
def many_axes(program: Program) -> object:
    """Up to the 8 axes that a value can have, moved around."""
    y: str | None = program.need(lambda given: bool(given.shape))
    shape = list(program.types[y].shape) if y else []
    while len(shape) < program.choose.randint(5, 8):
        axis = program.choose.randrange(len(shape))
        coefficient, symbols = dims.parse(shape[axis])
        part = next((n for n in (2, 3, 5) if coefficient and coefficient % n == 0), 1)
        shape[axis : axis + 1] = [part, dims.write(coefficient // part, symbols)]
    y = y and program.add("reshape", y, shape=shape)
    y = y and program.add("transpose", y, perm=program.choose.sample(range(len(shape)), len(shape)))
    if y and program.types[y].dtype in ("float32", "bit") and program.chance(0.5):
        sizes = program.types[y].shape
        y = program.add("pad", y, pads=[[0, int(size == 1)] for size in sizes], value=1)
    if y and program.chance(0.5):
        y = program.add("concat", y, y, axis=program.choose.randrange(len(shape)))
    return y


@step(1)
def weight_that_is_no_constant(program: Program) -> object:
    """A valid graph that a packed file cannot hold: the passes must leave such a weight alone."""
    if not (program.wild and program.batch_norm):
        raise Impossible
    weight = program.need(
        lambda given: (
            len(given.shape) == 2
            and given.dtype in ("float32", "bit")
            and all(type(size) is int and size > 0 for size in given.shape)
        )
    )
    dtype, (_, inputs) = program.types[weight]
    x = program.need(lambda given: given.dtype == dtype and bool(given.shape) and given.shape[-1] == inputs)
    return program.add("linear", x, weight)


@step(2)
def parameter_that_is_no_constant(program: Program) -> object:
    """A scale, a shift or a slope that is a state which moves on, or is computed from one: it is no constant."""
    if not (program.wild and program.batch_norm):
        raise Impossible
    x = program.need(has_channels("float32"))
    if program.chance(0.5):
        x = add_linear(program, x, "float32", program.choose.choice([1, 3, 8])) or x
    channels = program.channels(x)
    if not channels:
        raise Impossible

    def moving() -> str:
        name = program.graph.state(program.array("float32", (channels,)), name=f"p{len(program.graph.tensors)}")
        program.know(name, TensorType("float32", (channels,)))
        other = program.add(program.choose.choice(["neg", "abs"]), name)  # what may take its place
        return other if other and program.chance(0.4) else name

    def fixed() -> str:
        return channel_constant(program, x, False, True)

    kind = program.choose.choice(["affine", "affine", "affine", "prelu", "quantize", "layer_norm", "batch_norm"])
    count = {"affine": 2, "layer_norm": 2, "batch_norm": 4}.get(kind, 1)
    vectors = [moving() if program.chance(0.5) else fixed() for _ in range(count)]
    return program.add(kind, x, *vectors, **({"eps": 0.1} if "norm" in kind else {}))
