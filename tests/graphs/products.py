"""Steps that multiply and add: convolution, linear, matmul, and blocks as networks of bits have them."""

from __future__ import annotations

import numpy as np
from tests.graphs.channels import add_threshold, scale_and_shift
from tests.graphs.program import CHANNELS, WIDE_CHANNELS, Program, has_channels, is_float, is_image, step
from tests.graphs.windows import add_pool

from onebit.ir import dim as dims


def add_convolution(program: Program, x: str, weight_dtype: str, same: bool = False) -> str | None:
    choose = program.choose
    given = program.types[x]
    _, height, width, channels = given.shape
    groups = choose.choice([n for n in range(1, channels + 1) if channels % n == 0]) if choose.random() < 0.3 else 1
    if given.dtype == "float32" and channels // groups > 24:
        kernel = (1, 1)  # the interpreter takes one step a product
    else:
        kernel = (choose.choice([1, 1, 2, 3, 3, 3]), choose.choice([1, 2, 3, 3, 3]))
    stride, dilation, padding = (1, 1), (1, 1), (0, 0, 0, 0)
    outputs = groups * choose.choice([1, 1, 2, 3, 5, 8, 16, 17, 33, 64]) if groups > 1 else _outputs(program)
    if same:
        kernel, groups, outputs, padding = (3, 3), 1, channels, (1, 1, 1, 1)
    else:
        if choose.random() < 0.4:
            stride = (choose.choice([1, 2, 3, 5]), choose.choice([1, 2, 4]))
        if choose.random() < 0.25:
            dilation = (choose.choice([1, 2, 3]), choose.choice([1, 2]))
        if choose.random() < 0.6:
            padding = tuple(choose.choice([0, 1, 1, 2, 2, 5]) for _ in range(4))
        kernel = tuple(
            taps if size + sum(pads) >= step * (taps - 1) + 1 else 1
            for taps, size, pads, step in zip(kernel, (height, width), (padding[:2], padding[2:]), dilation)
        )
    outputs = outputs if groups == 1 else min(outputs, 72 // groups * groups or groups)
    weight = add_weight(program, weight_dtype, (outputs, *kernel, channels // groups))
    bits = (given.dtype, weight_dtype) == ("bit", "bit")
    pad_value = choose.choice([0, 0, 1, -1]) if bits or given.dtype == "float32" else 0
    attributes: dict[str, object] = {}
    if choose.random() < 0.5:
        attributes = {"stride": [1, 1], "padding": [0, 0, 0, 0], "dilation": [1, 1], "groups": 1, "pad_value": 0}
    for name, value, default in (
        ("stride", stride, (1, 1)),
        ("padding", padding, (0, 0, 0, 0)),
        ("dilation", dilation, (1, 1)),
        ("groups", groups, 1),
        ("pad_value", pad_value, 0),
    ):
        if value != default:
            attributes[name] = value
    name = program.add("conv", x, weight, **attributes)
    if name and program.types[name].dtype == "int32":
        _limit_sums(program, name, x, weight)
    return name


def add_weight(program: Program, dtype: str, shape: tuple[int, ...]) -> str:
    """A constant weight; where the graph need not be packed as it is, sometimes computed from constants."""
    if not program.batch_norm or not program.chance(0.15):
        return program.constant(dtype, shape)
    whole = program.constant("float32", shape, 1.0)
    if dtype == "ternary":
        return program.constant(dtype, shape)
    made = {
        "float32": lambda: program.add("mul", whole, program.constant("float32", (shape[0], *[1] * (len(shape) - 1)))),
        "bit": lambda: program.add("sign", whole),
        "int8": lambda: program.add("quantize", whole, program.constant("float32", (1,), 0.1)),
    }[dtype]()
    return made or program.constant(dtype, shape)


def _limit_sums(program: Program, name: str, x: str, weight: str) -> None:
    largest = {"bit": 1, "ternary": 1, "int8": 128, "uint8": 255}
    taps = int(np.prod(program.types[weight].shape[1:]))
    bound = taps * largest[program.types[x].dtype] * largest[program.types[weight].dtype]
    program.ranges[name] = (-bound, bound)


WEIGHTS = {
    "float32": ["float32", "float32", "bit", "ternary"],
    "bit": ["bit", "bit", "bit", "int8", "ternary"],
    "int8": ["int8", "int8", "bit", "ternary"],
}
WEIGHTS["uint8"] = WEIGHTS["int8"]


def _outputs(program: Program) -> int:
    return program.choose.choice(WIDE_CHANNELS if program.choose.random() < 0.03 else CHANNELS)


@step(8)
def conv(program: Program) -> object:
    dtypes = program.choose.choice([("bit",), ("bit",), ("float32",), ("int8", "uint8")])
    x = program.need(is_image(*dtypes))
    return add_convolution(program, x, program.choose.choice(WEIGHTS[program.types[x].dtype]))


@step(4)
def linear(program: Program) -> object:
    x = program.need(has_channels("float32", "bit", "bit", "int8", "uint8"))
    weight_dtype = program.choose.choice(WEIGHTS[program.types[x].dtype])
    return add_linear(program, x, weight_dtype, _outputs(program))


def add_linear(program: Program, x: str, weight_dtype: str, outputs: int) -> str | None:
    weight = add_weight(program, weight_dtype, (outputs, program.channels(x)))
    name = program.add("linear", x, weight)
    if name and program.types[name].dtype == "int32":
        _limit_sums(program, name, x, weight)
    return name


@step(6)
def residual_block(program: Program) -> object:
    """Sign, binary convolution, affine, shortcut, PReLU as networks of bits have them; all after the first optional."""
    choose = program.choose
    x = program.need(is_image("float32"))
    channels = program.channels(x)
    bits = program.add("sign", x)
    y = add_convolution(program, bits, "bit", same=choose.random() < 0.7) if bits else None
    if y is None:
        return None
    y = program.add("affine", y, *scale_and_shift(program, program.channels(y)))
    if y and program.types[y].shape == program.types[x].shape:
        y = program.add("add", *choose.choice([(y, x), (x, y)]))
    if y and choose.random() < 0.5:
        y = program.add("prelu", y, program.constant("float32", (program.channels(y),), 0.3))
    if y and choose.random() < 0.3 and channels == program.channels(y):
        y = program.add("affine", y, *scale_and_shift(program, channels))
    if y and choose.random() < 0.5:
        y = program.add("sign", y)
    return y


@step(3)
def threshold_block(program: Program) -> object:
    """Binary convolution straight to bits, by threshold, with a max-pool on bits sometimes."""
    x = program.need(is_image("bit"))
    y = add_convolution(program, x, "bit", same=program.choose.random() < 0.5)
    y = y and add_threshold(program, y)
    if y and program.choose.random() < 0.5:
        y = add_pool(program, "max_pool", y)
    return y


@step(2)
def matmul(program: Program) -> object:
    choose = program.choose
    a = program.need(lambda given: is_float(given) and len(given.shape) >= 2 and given.shape[-1] != 0)
    shape = program.types[a].shape
    inner = shape[-1]
    partner = program.pick(lambda given: is_float(given) and len(given.shape) >= 2 and given.shape[-2] == inner)
    if partner is not None and choose.random() < 0.5:
        try:
            dims.broadcast(shape[:-2], program.types[partner].shape[:-2])
            return program.add("matmul", a, partner)
        except ValueError:
            pass
    if choose.random() < 0.5 and isinstance(inner, int):
        b = program.constant("float32", (*[1] * choose.randint(0, 1), inner, choose.choice([1, 3, 8, 17])))
        return program.add("matmul", a, b)
    order = list(range(len(shape)))
    order[-1], order[-2] = order[-2], order[-1]
    b = program.add("transpose", a, perm=order)
    return b and program.add("matmul", a, b)


@step(8)
def attention(program: Program) -> object:
    """How every place of a sequence of any length goes with every other; an error of the run where it is empty."""
    x = program.need(lambda given: is_float(given) and len(given.shape) >= 2 and isinstance(given.shape[-2], str))
    rank = len(program.types[x].shape)
    turned = program.add("transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])
    y = turned and program.add("matmul", x, turned)
    y = y and (program.add("softmax", y) if program.wild else y)
    return y and program.add("matmul", y, x)
