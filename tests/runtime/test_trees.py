"""Kernels stored as a tree of differences: both readers give the bits that were stored, and refuse the same files."""

from __future__ import annotations

import numpy as np
import pytest

from onebit import ir, runtime
from onebit.ir import reuse
from onebit.ir.graph import Graph
from onebit.ir.types import TensorType

from . import packed
from .mutate import is_sentence

READERS = {
    "engine": lambda data: runtime.Model(data),
    "interpreter": lambda data: runtime.Model(data, isa="interpreter"),
}
KERNELS = packed.similar_kernels()
BITS = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (2, 4, 4, 11))


@pytest.fixture(params=READERS)
def read(request):
    """A reader: bytes to model, ``ValueError`` for what it refuses."""
    return READERS[request.param]


def plain() -> Graph:
    graph = Graph({"x": TensorType("bit", ("batch", 4, 4, 11))})
    weight = graph.constant(KERNELS, bit=True)
    graph.outputs = [graph.add("conv", "x", weight, padding=(1, 1, 1, 1), pad_value=1)]
    return graph


@pytest.mark.parametrize("low", [1, 2, 3])
def test_a_file_of_trees_is_the_network_of_plain_bits(read, low):
    data = packed.trees(packed.tree_words(KERNELS, packed.SIMILAR, low))
    assert np.array_equal(read(data).run(BITS), plain().run(BITS)[0][0])
    assert np.array_equal(ir.loads(data).tensors["w"], KERNELS)


@pytest.mark.parametrize("columns", [64, 65, 127, 128, 200])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.25])
def test_what_is_written_is_read_by_both_to_the_same_bits(read, columns, share):
    rng = np.random.default_rng(columns)
    base = rng.choice(np.array([-1, 1], np.int8), columns)
    weight = (base * np.where(rng.random((40, columns)) < share, -1, 1)).astype(np.int8)
    graph = Graph({"x": TensorType("bit", ("batch", columns))})
    graph.outputs = [graph.add("linear", "x", graph.constant(weight, bit=True))]
    data = ir.dumps(graph, reuse=True)
    x = rng.choice(np.array([-1, 1], np.int8), (3, columns))
    assert np.array_equal(read(data).run(x), x.astype(np.int32) @ weight.T)
    assert (b'"reuse\\":' in data) == (reuse.pack(weight) is not None)
    assert len(data) <= len(ir.dumps(graph)) + 8


def words(**changed: int) -> np.ndarray:
    return packed.tree_words(KERNELS, packed.SIMILAR, **changed)


BROKEN = {
    "a cycle": packed.trees(packed.tree_words(KERNELS, [1, 0, 3, 3, 0])),
    "two roots": packed.trees(packed.tree_words(KERNELS, [0, 3, 3, 3, 0])),
    "trees larger than the bits": packed.trees(packed.tree_words(KERNELS, packed.SIMILAR, 0)),
    "more differences than words": packed.trees(words(count=2**40)),
    "one difference more": packed.trees(words(count=int(words()[0]) % 2**48 + 1)),
    "one difference less": packed.trees(words(count=int(words()[0]) % 2**48 - 1)),
    "other low bits": packed.trees(words(low_bits=3)),
    "sixteen low bits": packed.trees(words(low_bits=16)),
    "low bits beyond a shift": packed.trees(words(low_bits=65535)),
    "a word too many": packed.trees(words(more=1)),
    "a bit after the last": packed.trees(words(dirty=1)),
    "a difference beyond the last entry": packed.trees(words(), (5, 3, 3, 10)),
    "too many words": packed.trees(np.zeros(9, np.uint64)),
    "too few words": packed.trees(np.zeros(1, np.uint64)),
    "no words": packed.trees(np.zeros(0, np.uint64)),
    "bytes": packed.trees(np.zeros(64, np.uint8)),
    "words of two axes": packed.trees(words()[None]),
    "one kernel": packed.trees(words(), (1, 5, 9, 11)),
    "no kernel": packed.trees(words(), (0, 3, 3, 11)),
    "short kernels": packed.trees(words(), (55, 9)),
    "few channels": packed.trees(words(), (5, 33, 3)),
    "one axis": packed.trees(words(), (495,)),
    "nine axes": packed.trees(words(), (5, *[1] * 7, 99)),
    "a shape that overflows": packed.trees(words(), (2, 2**40, 2**40)),
    "a shape that swells": packed.trees(words(), (5, 2**30)),
    "more kernels than are allowed": packed.trees(np.zeros(2**15, np.uint64), (2**15 + 1, 64)),
    "plain bits too": packed.trees(bits={"w": [5, 3, 3, 11]}),
    "ternary numbers too": packed.trees(trits={"w": [5, 3, 3, 11]}),
    "a state": packed.trees(states=[["w", "w"]]),
    "no tensor": packed.trees(reuse={"v": [5, 3, 3, 11]}),
    "a list": packed.trees(reuse=[["w", [5, 3, 3, 11]]]),
}
seventh = words()
seventh[1] |= np.uint64(7)  # the first parent, of three bits
BROKEN["a parent that is none"] = packed.trees(seventh)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_tree_is_refused_in_a_sentence(read, name):
    with pytest.raises(ValueError, match=r".") as caught:
        read(BROKEN[name])
    assert is_sentence(str(caught.value))


def test_any_flipped_bit_is_refused_by_both_or_read_by_both_to_the_same_bits():
    stored = words()
    accepted = 0
    for bit in range(64 * len(stored)):
        flipped = stored.copy()
        flipped[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
        found = []
        for reader in READERS.values():
            try:
                found.append(reader(packed.trees(flipped)).run(BITS).tobytes())
            except ValueError:
                found.append(None)
        assert found[0] == found[1], bit
        accepted += found[0] is not None
    assert 0 < accepted < 64 * len(stored)


def test_the_two_writers_agree():
    packed_words = reuse.pack(KERNELS)
    assert packed_words is not None
    low = int(packed_words[0]) >> 48
    tree = reuse.minimum_spanning_tree(reuse.hamming_matrix(KERNELS), roots=1)
    parents = [i if up < 0 else int(up) for i, up in enumerate(tree.parents)]
    assert np.array_equal(packed_words, packed.tree_words(KERNELS, parents, low))


def test_bits_that_would_not_be_smaller_are_stored_plain():
    rng = np.random.default_rng(1)
    assert reuse.pack(rng.choice(np.array([-1, 1], np.int8), (64, 64))) is None
    assert reuse.pack(np.ones((2, 63), np.int8)) is None
    assert reuse.pack(np.ones((2, 64, 7), np.int8)) is None
