"""A graph that grows by random steps, and what the steps are made of."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from tests.graphs.values import BIG, LIMIT, SPECIAL, WIDE, any_integers, random_bits

from onebit.ir import Graph, TensorType, registry
from onebit.ir import dim as dims
from onebit.ir.types import NUMPY

CHANNELS = [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 70]
WIDE_CHANNELS = [96, 128, 129, 192, 200, 256, 257, 300, 513, 1030]  # more than one tile, more than one block of k
MOST_ELEMENTS = 6000  # of one value, an image of the batch counted
NAMES = ("x", "x", "x", "a name with spaces ", "\N{GREEK SMALL LETTER XI}", '"\\/{}[]:,', "v", "w")


class Program:
    """A graph that grows by random steps; it knows the type of every value, and the range of every wide integer."""

    def __init__(self, rng: np.random.Generator, batch_norm: bool = True, wild: bool = False) -> None:
        self.rng = rng
        self.choose = random.Random(int(rng.integers(0, 2**63)))
        self.last_words = random.Random(int(rng.integers(0, 2**63)))  # what finish() draws does not depend on the steps
        self.graph = Graph()
        self.types: dict[str, TensorType] = {}
        self.values: list[str] = []  # no constants
        self.ranges: dict[str, tuple[int, int]] = {}
        self.batch_norm, self.wild = batch_norm, wild
        self.batch: int | str = self.choose.choice(["batch", "batch", "batch", "2*batch", 1, 2])
        # A second symbol: sequences of any length, images of any height.
        self.length: str | None = self.choose.choice(["length", "2*length", "4*length"]) if self.chance(0.25) else None
        self._start()

    # Values

    def _start(self) -> None:
        for number in range(self.choose.choice([1, 1, 1, 2, 3])):
            rank = 3 if self.length and self.chance(0.4) else self.choose.choice([4, 4, 4, 4, 2, 3])
            wide = self.choose.random() < 0.08
            sizes: list[int | str] = [self.choose.randint(1, 2 if wide else 8) for _ in range(rank - 2)]
            if self.length and rank > 2 and self.chance(0.8):
                sizes[self.choose.randrange(rank - 2)] = self.length
            dtype = self.choose.choice(["float32"] * 7 + ["int8", "uint8", "bit", "bool", "int32", "int64"])
            channels = self.choose.choice(WIDE_CHANNELS if wide else CHANNELS)
            given = TensorType(dtype, (self.batch, *sizes, channels))
            name = f"{BIG if dtype in WIDE and self.chance(0.5) else self.choose.choice(NAMES)}{number}"
            self.graph.inputs[name] = given
            self.know(name, given)
        dtype, shape = "", ()
        for number in range(self.choose.choice([0, 0, 0, 1, 2])):
            if number == 0 or self.chance(0.5):  # else two of a kind, that can trade places
                dtype = self.choose.choice(
                    ["float32", "float32", "bit", "bit", "int32", "int8", "uint8", "int64", "bool"]
                )
                shape = (self.choose.randint(1, 2), self.choose.choice(CHANNELS))
                if self.chance(0.4):  # an image, so that it can be convolved
                    shape = (1, *(self.choose.randint(1, 5) for _ in range(2)), shape[1])
            name = self.graph.state(self.array(dtype, shape), bit=dtype == "bit", name=f"s{number}")
            self.know(name, TensorType(dtype, shape))

    def know(self, name: str, given: TensorType) -> None:
        self.types[name] = given
        self.values.append(name)
        if given.dtype in WIDE:
            limit = WIDE[given.dtype]
            small = name in self.graph.inputs and not name.startswith(BIG)
            self.ranges[name] = (0, LIMIT - 1) if small else (-limit - 1, limit)

    def chance(self, probability: float) -> bool:
        """True as often as that."""
        return self.choose.random() < probability

    def array(self, dtype: str, shape: tuple[int, ...], scale: float = 1.0, special: bool = True) -> np.ndarray:
        """A random constant; ``special`` ones hold NaN, infinities and denormals now and then."""
        if dtype == "bit":
            return random_bits(self.rng, shape)
        if dtype == "ternary":
            return self.rng.integers(-1, 2, shape, np.int8)
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
            if style < 0.36 and special:
                return np.where(self.rng.random(shape) < 0.15, self.rng.choice(SPECIAL, shape), array)
            return array
        if dtype == "int8" and self.choose.random() < 0.4:
            return self.rng.integers(-1, 2, shape, np.int8)
        if dtype in WIDE and self.chance(0.3):
            return any_integers(self.rng, dtype, shape)
        low, high = (0, 255) if dtype == "uint8" else (-128, 127)
        return self.rng.integers(low, high, shape, NUMPY[dtype], endpoint=True)

    def constant(self, dtype: str, shape: tuple[int, ...], scale: float = 1.0) -> str:
        """A random constant of the graph; now and then one that it has already, as weights are shared."""
        if self.chance(0.1):
            wanted = TensorType(dtype, shape)
            same = [name for name in self.graph.tensors if self.types[name] == wanted and name not in self.graph.states]
            if same:
                return self.choose.choice(same)
        return self.keep(self.array(dtype, shape, scale), dtype)

    def keep(self, array: np.ndarray, dtype: str) -> str:
        """``array`` as a constant of the graph."""
        name = self.graph.constant(
            array, bit=dtype == "bit", ternary=dtype == "ternary", name=f"c{len(self.graph.tensors)}"
        )
        self.types[name] = TensorType(dtype, array.shape)
        if dtype in WIDE:
            self.ranges[name] = (int(array.min(initial=0)), int(array.max(initial=0)))
        return name

    def add(self, kind: str, *inputs: str, **attributes: object) -> str | None:
        """Append a node; None if its result would be too large."""
        rule = registry[kind]
        given = rule.infer(rule.complete(attributes), *[self.types[name] for name in inputs])
        size, symbols = dims.parse(dims.product(given.shape))
        if len(symbols) > 3 or size * 3 ** max(0, len(symbols) - 1) > MOST_ELEMENTS:
            return None
        name = self.graph.add(kind, *inputs, path=f"step.{kind}", name=f"n{len(self.graph.nodes)}", **attributes)
        self.know(name, given)
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

    def need_any(self) -> str:
        """A value of any type: one of the rarer dtypes as often as one of floats."""
        dtype = self.choose.choice(sorted({self.types[name].dtype for name in self.values}))
        return self.need(lambda given: given.dtype == dtype)

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
            graph.outputs = [
                *graph.outputs,
                choose.choice(
                    [*graph.inputs, *graph.states, *(name for name in graph.tensors if name not in graph.trits)]
                ),
            ]
        for name in graph.states:
            same = [value for value in self.values if self.types[value] == self.types[name]]
            graph.states[name] = same[-1] if choose.random() < 0.6 else choose.choice(same)
        if choose.random() < 0.2:
            graph.meta = {"class_names": ["a", "b"], "mean": [0.5], "std": [0.25], "producer": "tests"}
        return graph


class Impossible(Exception):
    """No value of the graph fits this step."""


STEPS: list[Callable[[Program], object]] = []
_registered: dict[str, list[Callable[[Program], object]]] = {}


def step(weight: int = 1) -> Callable[[Callable[[Program], object]], Callable[[Program], object]]:
    """Makes a function a step that is drawn ``weight`` times as often as one of weight 1.

    One of the same name takes its place: a test run that imports a file twice draws the same graphs.
    """

    def keep(function: Callable[[Program], object]) -> Callable[[Program], object]:
        _registered[function.__name__] = [function] * weight
        STEPS[:] = [step for steps in _registered.values() for step in steps]
        return function

    return keep


def is_float(given: TensorType) -> bool:
    return given.dtype == "float32"


def has_channels(*dtypes: str) -> Callable[[TensorType], bool]:
    return lambda given: (
        given.dtype in dtypes and bool(given.shape) and type(given.shape[-1]) is int and given.shape[-1] > 0
    )


def is_sized(*dtypes: str) -> Callable[[TensorType], bool]:
    """One of these dtypes, every size after the first a number above 0."""
    return lambda given: given.dtype in dtypes and all(type(size) is int and size > 0 for size in given.shape[1:])


def is_image(*dtypes: str) -> Callable[[TensorType], bool]:
    return lambda given: len(given.shape) == 4 and is_sized(*dtypes)(given)
