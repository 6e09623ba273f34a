"""Random valid graphs that cover every kind: for the interpreter, the passes, the packed file and the engine.

``random_graph(rng)`` makes one graph and inputs for it in a millisecond or so; ``graphs()`` is a hypothesis strategy
over it (a seed and a number of steps, so failures shrink to few nodes). A graph is grown as a program: each step
appends a node (or a block of nodes as they occur in networks) whose inputs are chosen among the existing values of a
suitable type, so every kind can follow every kind. Constants are finite; inputs may hold NaN, infinities, denormals
and -0.0.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from onebit.ir import Graph, TensorType, registry
from onebit.ir import dim as dims
from onebit.ir.types import NUMPY

CHANNELS = [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 70]
WIDE_CHANNELS = [96, 128, 129, 192, 200, 256, 257, 300, 513, 1030]  # more than one tile, more than one block of k
SPECIAL = np.float32(
    [
        np.nan,
        np.inf,
        -np.inf,
        -0.0,
        0.0,
        1e-45,
        -1e-45,
        1e-39,
        3e38,
        -3e38,
        0.5,
        1.5,
        2.5,
        -0.5,
        127.5,
        -128.5,
        1,
        -1,
        2**31,
    ]
)
MOST_ELEMENTS = 6000  # of one value, an image of the batch counted
INDEX_LIMIT = 10  # int32 and int64 inputs hold 0..9, so that they can be indices
WIDE = {"int32": 2**31 - 1, "int64": 2**63 - 1}


@st.composite
def graphs(draw: st.DrawFn, max_steps: int = 20, batch_norm: bool = True) -> tuple[Graph, list[np.ndarray]]:
    """A valid graph and inputs for it."""
    seed = draw(st.integers(0, 2**32 - 1))
    steps = draw(st.integers(1, max_steps))
    return random_graph(np.random.default_rng(seed), steps, batch_norm=batch_norm)


def random_graph(
    rng: np.random.Generator, steps: int | None = None, *, batch_norm: bool = True
) -> tuple[Graph, list[np.ndarray]]:
    """A valid graph of about ``steps`` nodes and inputs for it; without ``batch_norm`` it can be packed."""
    program = Program(rng, batch_norm)
    for _ in range(program.choose.randint(2, 20) if steps is None else steps):
        program.step()
    return program.finish(), random_inputs(rng, program.graph)


def random_inputs(rng: np.random.Generator, graph: Graph, batch: int | None = None) -> list[np.ndarray]:
    """Inputs for a graph of :func:`random_graph`; every symbol becomes ``batch`` (default: 0 to 3, mostly 1 and 2)."""
    if batch is None:
        batch = int(rng.choice([0, 1, 1, 1, 2, 2, 3]))
    symbols = {symbol: batch for given in graph.inputs.values() for symbol in dims.symbols_of(given[1])}
    special = rng.random() < 0.4
    return [
        _random_input(rng, given[0], tuple(dims.evaluate(dim, symbols) for dim in given[1]), special)
        for given in graph.inputs.values()
    ]


def _random_input(rng: np.random.Generator, dtype: str, shape: tuple[int, ...], special: bool) -> np.ndarray:
    if dtype == "float32":
        array = rng.standard_normal(shape, np.float32)
        if special:
            return np.where(rng.random(shape) < 0.15, rng.choice(SPECIAL, shape), array)
        return np.rint(array * 4) / np.float32(4) if rng.random() < 0.3 else array  # ties and exact zeros
    if dtype == "bit":
        return _bits(rng, shape)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype in WIDE:
        return rng.integers(0, INDEX_LIMIT, shape, NUMPY[dtype])
    limits = np.iinfo(NUMPY[dtype])
    return rng.integers(limits.min, limits.max, shape, NUMPY[dtype], endpoint=True)


def _bits(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 2, shape, np.int8) * np.int8(2) - np.int8(1)


class Program:
    """A graph that grows by random steps; it knows the type of every value, and the range of every wide integer."""

    def __init__(self, rng: np.random.Generator, batch_norm: bool = True) -> None:
        self.rng = rng
        self.choose = random.Random(int(rng.integers(0, 2**63)))
        self.last_words = random.Random(int(rng.integers(0, 2**63)))  # what finish() draws does not depend on the steps
        self.graph = Graph()
        self.types: dict[str, TensorType] = {}
        self.values: list[str] = []  # no constants
        self.ranges: dict[str, tuple[int, int]] = {}
        self.batch_norm = batch_norm
        self.batch: int | str = self.choose.choice(["batch", "batch", "batch", "2*batch", 1, 2])
        self._start()

    # Values

    def _start(self) -> None:
        for number in range(self.choose.choice([1, 1, 1, 2, 3])):
            rank = self.choose.choice([4, 4, 4, 4, 2, 3])
            wide = self.choose.random() < 0.08
            sizes = [self.choose.randint(1, 2 if wide else 8) for _ in range(rank - 2)]
            dtype = self.choose.choice(["float32"] * 7 + ["int8", "uint8", "bit", "bool", "int32", "int64"])
            channels = self.choose.choice(WIDE_CHANNELS if wide else CHANNELS)
            given = TensorType(dtype, (self.batch, *sizes, channels))
            self.graph.inputs[f"x{number}"] = given
            self._know(f"x{number}", given)
        for _ in range(self.choose.choice([0, 0, 0, 1, 2])):
            dtype = self.choose.choice(["float32", "float32", "bit", "int32", "int8"])
            shape = (self.choose.randint(1, 2), self.choose.choice(CHANNELS))
            initial = self.array(dtype, shape)
            name = self.graph.state(initial, bit=dtype == "bit")
            self._know(name, TensorType(dtype, shape))

    def _know(self, name: str, given: TensorType) -> None:
        self.types[name] = given
        self.values.append(name)
        if given.dtype in WIDE:
            limit = WIDE[given.dtype]
            self.ranges[name] = (0, INDEX_LIMIT - 1) if name in self.graph.inputs else (-limit - 1, limit)

    def array(self, dtype: str, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
        """A random constant."""
        if dtype == "bit":
            return _bits(self.rng, shape)
        if dtype == "bool":
            return self.rng.random(shape) < 0.5
        if dtype == "float32":
            array = self.rng.standard_normal(shape, np.float32) * np.float32(scale)
            style = self.choose.random()
            if style < 0.2:
                return np.where(
                    self.rng.random(shape) < 0.3, self.rng.choice(np.float32([0.0, -0.0, 1.0, -1.0]), shape), array
                )
            if style < 0.3:
                return np.rint(array * 2) / np.float32(2)
            return array
        if dtype == "int8" and self.choose.random() < 0.4:
            return self.rng.integers(-1, 2, shape, np.int8)  # ternary
        low, high = (0, 255) if dtype == "uint8" else (-128, 127)
        return self.rng.integers(low, high, shape, NUMPY[dtype], endpoint=True)

    def constant(self, dtype: str, shape: tuple[int, ...], scale: float = 1.0) -> str:
        """A random constant of the graph."""
        return self.keep(self.array(dtype, shape, scale), dtype)

    def keep(self, array: np.ndarray, dtype: str) -> str:
        """``array`` as a constant of the graph."""
        name = self.graph.constant(array, bit=dtype == "bit", name=f"c{len(self.graph.tensors)}")
        self.types[name] = TensorType(dtype, array.shape)
        if dtype in WIDE:
            self.ranges[name] = (int(array.min(initial=0)), int(array.max(initial=0)))
        return name

    def add(self, kind: str, *inputs: str, **attributes: object) -> str | None:
        """Append a node; None if its result would be too large."""
        rule = registry[kind]
        given = rule.infer(rule.complete(attributes), *[self.types[name] for name in inputs])
        size = dims.product(given.shape)
        if dims.parse(size)[0] > MOST_ELEMENTS or len(dims.parse(size)[1]) > 1:
            return None
        name = self.graph.add(kind, *inputs, path=f"step.{kind}", name=f"n{len(self.graph.nodes)}", **attributes)
        self._know(name, given)
        return name

    def pick(self, accept: Callable[[TensorType], bool]) -> str | None:
        """A value whose type is accepted: often the newest."""
        found = [name for name in self.values if accept(self.types[name])]
        if not found:
            return None
        return found[-1] if self.choose.random() < 0.5 else self.choose.choice(found)

    def need(self, accept: Callable[[TensorType], bool]) -> str:
        """Like :meth:`pick`; raises :class:`Impossible` if there is none."""
        name = self.pick(accept)
        if name is None:
            raise Impossible
        return name

    def channels(self, name: str) -> int:
        """The size of the last axis."""
        size = self.types[name].shape[-1]
        assert isinstance(size, int)
        return size

    def some(self, *options: object) -> object:
        """One of the options."""
        return self.choose.choice(options)

    # Steps

    def step(self) -> None:
        """Append a random node, or a block."""
        while True:
            try:
                self.choose.choice(STEPS)(self)
                return
            except Impossible:
                continue

    def finish(self) -> Graph:
        """The graph, with its outputs and states chosen."""
        choose, graph = self.last_words, self.graph
        read = {name for node in graph.nodes for name in node.inputs}
        made = [node.output for node in graph.nodes]
        leaves = [name for name in made if name not in read] or self.values[:1]
        graph.outputs = leaves if choose.random() < 0.6 else choose.sample(leaves, choose.randint(1, len(leaves)))
        if made and choose.random() < 0.4:
            graph.outputs = [*graph.outputs, choose.choice(made)]
        if choose.random() < 0.05:
            graph.outputs = [*graph.outputs, choose.choice([*graph.inputs, *graph.tensors])]
        for name in graph.states:
            same = [value for value in self.values if self.types[value] == self.types[name]]
            graph.states[name] = same[-1] if choose.random() < 0.7 else choose.choice(same)
        if choose.random() < 0.2:
            graph.meta = {"class_names": ["a", "b"], "mean": [0.5], "std": [0.25], "producer": "tests"}
        return graph


class Impossible(Exception):
    """No value of the graph fits this step."""


STEPS: list[Callable[[Program], object]] = []


def step(weight: int = 1) -> Callable[[Callable[[Program], object]], Callable[[Program], object]]:
    """Makes a function a step that is drawn ``weight`` times as often as one of weight 1."""

    def keep(function: Callable[[Program], object]) -> Callable[[Program], object]:
        STEPS.extend([function] * weight)
        return function

    return keep


def is_float(given: TensorType) -> bool:
    return given.dtype == "float32"


def has_channels(*dtypes: str) -> Callable[[TensorType], bool]:
    return lambda given: (
        given.dtype in dtypes and bool(given.shape) and type(given.shape[-1]) is int and given.shape[-1] > 0
    )


def is_image(*dtypes: str) -> Callable[[TensorType], bool]:
    return lambda given: (
        given.dtype in dtypes
        and len(given.shape) == 4
        and all(type(size) is int and size > 0 for size in given.shape[1:])
    )


# Sums of products


def _convolve(program: Program, x: str, weight_dtype: str, same: bool = False) -> str | None:
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
            padding = tuple(choose.choice([0, 1, 1, 2]) for _ in range(4))
        kernel = tuple(
            taps if size + sum(pads) >= step * (taps - 1) + 1 else 1
            for taps, size, pads, step in zip(kernel, (height, width), (padding[:2], padding[2:]), dilation)
        )
    weight = program.constant(
        weight_dtype,
        (outputs if groups == 1 else min(outputs, 72 // groups * groups or groups), *kernel, channels // groups),
    )
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


def _limit_sums(program: Program, name: str, x: str, weight: str) -> None:
    largest = {"bit": 1, "int8": 128, "uint8": 255}
    taps = int(np.prod(program.types[weight].shape[1:]))
    bound = taps * largest[program.types[x].dtype] * largest[program.types[weight].dtype]
    program.ranges[name] = (-bound, bound)


WEIGHTS = {
    "float32": ["float32", "float32", "bit"],
    "bit": ["bit", "bit", "bit", "int8"],
    "int8": ["int8", "int8", "bit"],
}
WEIGHTS["uint8"] = WEIGHTS["int8"]


def _outputs(program: Program) -> int:
    return program.choose.choice(WIDE_CHANNELS if program.choose.random() < 0.03 else CHANNELS)


@step(8)
def conv(program: Program) -> object:
    dtypes = program.choose.choice([("bit",), ("bit",), ("float32",), ("int8", "uint8")])
    x = program.need(is_image(*dtypes))
    return _convolve(program, x, program.choose.choice(WEIGHTS[program.types[x].dtype]))


@step(4)
def linear(program: Program) -> object:
    x = program.need(has_channels("float32", "bit", "bit", "int8", "uint8"))
    weight_dtype = program.choose.choice(WEIGHTS[program.types[x].dtype])
    weight = program.constant(weight_dtype, (_outputs(program), program.channels(x)))
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
    y = _convolve(program, bits, "bit", same=choose.random() < 0.7) if bits else None
    if y is None:
        return None
    y = program.add("affine", y, *_affine(program, program.channels(y)))
    if y and program.types[y].shape == program.types[x].shape:
        y = program.add("add", *choose.choice([(y, x), (x, y)]))
    if y and choose.random() < 0.5:
        y = program.add("prelu", y, program.constant("float32", (program.channels(y),), 0.3))
    if y and choose.random() < 0.3 and channels == program.channels(y):
        y = program.add("affine", y, *_affine(program, channels))
    if y and choose.random() < 0.5:
        y = program.add("sign", y)
    return y


@step(3)
def threshold_block(program: Program) -> object:
    """Binary convolution straight to bits, by threshold, with a max-pool on bits sometimes."""
    x = program.need(is_image("bit"))
    y = _convolve(program, x, "bit", same=program.choose.random() < 0.5)
    y = y and _threshold(program, y)
    if y and program.choose.random() < 0.5:
        y = _pool(program, "max_pool", y)
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


# Per channel


def _affine(program: Program, channels: int) -> tuple[str, str]:
    scale = program.constant("float32", (channels,), program.choose.choice([0.01, 0.3, 1.0, 30.0]))
    return scale, program.constant("float32", (channels,))


@step(4)
def affine(program: Program) -> object:
    x = program.need(has_channels("float32", "int32"))
    return program.add("affine", x, *_affine(program, program.channels(x)))


def _threshold(program: Program, x: str) -> str | None:
    channels = program.channels(x)
    limit = program.rng.integers(-12, 13, channels, np.int32)
    extreme = program.rng.random(channels)
    limit = np.where(extreme < 0.05, np.int32(-(2**31)), np.where(extreme > 0.95, np.int32(2**31 - 1), limit))
    return program.add("threshold", x, program.keep(limit, "int32"), program.constant("bit", (channels,)))


@step(3)
def threshold(program: Program) -> object:
    return _threshold(program, program.need(has_channels("int32")))


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
    from onebit.ir.kinds.quantization import CASTS

    x = program.need(lambda given: True)
    dtype = program.choose.choice([*CASTS[program.types[x].dtype], program.types[x].dtype])
    name = program.add("cast", x, dtype=dtype)
    if name and dtype in WIDE:
        source = program.types[x].dtype
        if source in ("bit", "bool", "int8", "uint8"):
            program.ranges[name] = {"bit": (-1, 1), "bool": (0, 1), "int8": (-128, 127), "uint8": (0, 255)}[source]
        elif source in WIDE:
            program.ranges[name] = program.ranges[x]
    return name


# Elementwise


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
    dtypes = ("float32",) if kind == "div" else ("float32", "float32", "int32", "int64")
    a = program.need(lambda given: given.dtype in dtypes)
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


@step(3)
def compare(program: Program) -> object:
    a = program.need(lambda given: True)
    return program.add("compare", a, _partner(program, a), op=program.some("eq", "ne", "lt", "le", "gt", "ge"))


@step(2)
def logical(program: Program) -> object:
    a = program.need(lambda given: given.dtype == "bool")
    if program.choose.random() < 0.3:
        return program.add("logical_not", a)
    return program.add(program.choose.choice(["logical_and", "logical_or"]), a, _partner(program, a))


@step(3)
def where(program: Program) -> object:
    condition = program.need(lambda given: given.dtype == "bool")
    a = program.need(lambda given: _broadcasts(given.shape, program.types[condition].shape))
    b = _partner(program, a)
    if not _broadcasts(program.types[condition].shape, program.types[a].shape, program.types[b].shape):
        raise Impossible
    name = program.add("where", condition, *program.choose.choice([(a, b), (b, a)]))
    if name and a in program.ranges:
        (low, high), (other_low, other_high) = program.ranges[a], program.ranges[b]
        program.ranges[name] = (min(low, other_low), max(high, other_high))
    return name


def _broadcasts(*shapes: tuple[dims.Dim, ...]) -> bool:
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


# Windows, reductions, normalisations


def _pool(program: Program, kind: str, x: str) -> str | None:
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
    return _pool(program, "max_pool", program.need(is_image("float32", "bit")))


@step(2)
def avg_pool(program: Program) -> object:
    return _pool(program, "avg_pool", program.need(is_image("float32")))


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


# Shapes


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
