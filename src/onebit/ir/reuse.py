"""Kernels of bits as a tree of differences: an optional form of bit tensors in a packed file.

``docs/file-format.md`` defines it. Each kernel but one is its parent with some bits flipped; where those lie is one
sparse string of bits over all kernels, and the gaps between its ones are Rice codes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from onebit.core.errors import shown
from onebit.core.spanning import MOST, Tree, depths, minimum_spanning_tree

WORD = 64
#: The fewest entries of a kernel: with fewer, naming the parent costs more than there is to gain.
COLUMNS = 64
#: The fewest entries along the last axis: an engine may hold each row of it as a word of its own.
CHANNELS = 8
#: A tensor takes at least a quarter of what its bits would take: what a file can swell to is bounded.
SMALLEST = 4
MOST_LOW_BITS = 15
COUNT_BITS, LOW_BITS = 48, 16
CHUNK = 1 << 16


def hamming_matrix(kernels: np.ndarray) -> np.ndarray:
    """In how many places each two of the kernels differ.

    Args:
        kernels: ``(C, ...)``; real numbers count as their signs, ``sign(0) = +1``.

    Returns:
        ``(C, C)`` int64.

    Raises:
        ValueError: no kernel, NaN, or kernels of 2^24 entries and more.

    Example:
        >>> hamming_matrix(np.array([[1, 1, 1, 1], [1, 1, -1, 1], [-1, 1, -1, 1]])).tolist()
        [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
    """
    if kernels.ndim < 1 or not len(kernels):
        raise ValueError(f"kernels must be (C, ...) with one kernel at least, got {kernels.shape}")
    if kernels.dtype.kind == "f" and np.isnan(kernels).any():
        raise ValueError("kernels must not hold NaN")
    signs = np.where(kernels.reshape(len(kernels), -1) >= 0, np.float32(1), np.float32(-1))
    if signs.shape[1] >= 2**24:
        raise ValueError(f"a kernel must have fewer than 2^24 entries, got {signs.shape[1]}")
    return ((signs.shape[1] - (signs @ signs.T).astype(np.int64)) // 2).astype(np.int64)


def fits(shape: tuple[int, ...]) -> bool:
    """Whether a bit tensor of this shape may be stored so: two kernels or more of 64 entries, 8 channels, or more."""
    return len(shape) >= 2 and 2 <= shape[0] <= MOST and shape[-1] >= CHANNELS and columns_of(shape) >= COLUMNS


def columns_of(shape: tuple[int, ...]) -> int:
    """Entries of one kernel."""
    columns = 1
    for size in shape[1:]:
        columns *= size
    return columns


def pack(array: np.ndarray, tree: Tree | None = None) -> np.ndarray | None:
    """A tensor of -1 and +1 as 64-bit words, or None where that would not be smaller than its plain bits.

    Args:
        array: int8 of -1 and +1, ``(C, ...)``.
        tree: which kernel is stored as its differences from which; that of the smallest total without one.

    Example:
        >>> array = np.ones((64, 3, 3, 16), np.int8)
        >>> array[5, 0, 0, :3] = -1
        >>> words = pack(array)
        >>> words.size, array.size // 64
        (36, 144)
        >>> np.array_equal(unpack("w", words, array.shape), array)
        True
    """
    if not fits(array.shape):
        return None
    kernels = array.reshape(len(array), -1) > 0
    if tree is None:
        tree = minimum_spanning_tree(hamming_matrix(array), roots=1)
    own = tree.parents < 0
    parents = np.where(own, np.arange(len(array)), tree.parents)
    differences = np.where(own[:, None], kernels, kernels ^ kernels[parents]).reshape(-1)
    gaps = np.diff(np.flatnonzero(differences), prepend=-1) - 1
    low = min(range(MOST_LOW_BITS + 1), key=lambda bits: len(gaps) * (1 + bits) + int((gaps >> bits).sum()))
    ends = np.cumsum((gaps >> low) + 1) - 1
    unary = np.zeros(ends[-1] + 1 if len(ends) else 0, np.uint8)
    unary[ends] = 1
    stream = np.concatenate(
        [
            _digits(np.array([len(gaps)]), COUNT_BITS),
            _digits(np.array([low]), LOW_BITS),
            _digits(parents, parent_bits(len(array))),
            _digits(gaps, low),
            unary,
        ]
    )
    plain = -(-array.size // WORD)
    words = np.zeros(max(-(-stream.size // WORD), -(-plain // SMALLEST)), "<u8")
    packed = np.packbits(stream, bitorder="little")
    words.view(np.uint8)[: packed.size] = packed
    return words if words.size < plain else None


def unpack(name: str, words: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The int8 array of -1 and +1 of this shape that :func:`pack` packed; ``ValueError`` for anything else.

    Takes little more memory than the array, and time in proportion to it, whatever the words hold.
    """
    where = f"the kernels {name!r}"
    if not fits(shape):
        raise ValueError(
            f"{where} must be 2..{MOST} of at least {COLUMNS} entries and {CHANNELS} channels, got {shown(list(shape))}"
        )
    rows, columns = shape[0], columns_of(shape)
    plain = -(-rows * columns // WORD)
    if words.dtype != np.uint64 or words.ndim != 1 or not -(-plain // SMALLEST) <= words.size <= plain:
        raise ValueError(
            f"{where} of shape {shown(list(shape))} must be stored as {-(-plain // SMALLEST)} to {plain} words of U64, "
            f"got {words.dtype} {shown(list(words.shape))}"
        )
    stream = np.unpackbits(words.view(np.uint8), bitorder="little")
    count, low = int(words[0]) & (1 << COUNT_BITS) - 1, int(words[0]) >> COUNT_BITS
    if low > MOST_LOW_BITS:
        raise ValueError(f"{where} have {low} low bits in a gap, at most {MOST_LOW_BITS} are allowed")
    first = COUNT_BITS + LOW_BITS
    gaps = first + rows * parent_bits(rows)
    unary = gaps + count * low
    if unary + count > stream.size:
        raise ValueError(f"{where} are said to have {count} differences, more than {words.size} words hold")
    parents = _numbers(stream[first:gaps], parent_bits(rows))
    if parents.max() >= rows:
        raise ValueError(f"{where} name the parent {parents.max()}, which is none of {rows} kernels")
    try:
        order = np.argsort(depths(parents), kind="stable")
    except ValueError:
        raise ValueError(f"{where} are no tree: a kernel never reaches the one that is its own parent") from None
    array = np.zeros(rows * columns, np.int8)
    end = unary
    for places, reached in _places(where, stream, gaps, unary, count, low):
        end = reached
        if places[-1] >= array.size:
            raise ValueError(f"{where} have a difference beyond their last entry")
        array[places] = 1
    if stream[end:].any():
        raise ValueError(f"{where} have unused bits that are set")
    if words.size > max(-(-end // WORD), -(-plain // SMALLEST)):
        raise ValueError(f"{where} have more words than they need")
    kernels = array.reshape(rows, columns)
    for row in order[1:]:
        kernels[row] ^= kernels[parents[row]]
    array *= 2
    array -= 1
    return array.reshape(shape)


def parent_bits(rows: int) -> int:
    """Bits of the number of a kernel."""
    return (rows - 1).bit_length()


def _places(
    where: str, stream: np.ndarray, gaps: int, unary: int, count: int, low: int
) -> Iterator[tuple[np.ndarray, int]]:
    """Where the next differences lie, ascending, and where in the stream the last of them ends."""
    done = base = 0
    at = unary
    while done < count:
        if at >= stream.size:
            raise ValueError(f"{where} are said to have {count} differences, and have {done}")
        ends = np.flatnonzero(stream[at : at + CHUNK])[: count - done]
        if len(ends):
            numbers = np.arange(done, done + len(ends))
            zeros = ends + (at - unary) - numbers
            lows = _numbers(stream[gaps + done * low : gaps + (done + len(ends)) * low], low, len(ends))
            passed = np.cumsum(lows) + base
            yield (zeros << low) + passed + numbers, at + int(ends[-1]) + 1
            base, done = int(passed[-1]), done + len(ends)
        at += CHUNK


def _digits(numbers: np.ndarray, width: int) -> np.ndarray:
    """The lowest ``width`` bits of each number, the lowest first, one after another."""
    return (numbers[:, None] >> np.arange(width) & 1).astype(np.uint8).reshape(-1)


def _numbers(bits: np.ndarray, width: int, count: int | None = None) -> np.ndarray:
    """What :func:`_digits` wrote; ``count`` where the width may be 0."""
    count = len(bits) // width if count is None else count
    found = np.zeros(count, np.int64)
    for place in range(width):
        found |= bits[place::width].astype(np.int64) << place
    return found
