"""Dimensions of a tensor: integers, or monomials of named symbols written as strings.

``3``, ``"batch"``, ``"12*batch"``, ``"batch*length"``. The canonical text has the coefficient first (left out when it
is 1) and the symbols in alphabetical order; an integer is always an ``int``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from onebit.core.errors import shown

Dim = int | str
SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}\Z")
NUMBER = re.compile(r"[1-9][0-9]{0,17}\Z")
LARGEST = 2**48  # no dimension and no size of a valid graph comes near


def parse(dim: Dim) -> tuple[int, tuple[str, ...]]:
    """Coefficient and sorted symbols of a dimension; ``ValueError`` for anything that is not one.

    Example:
        >>> parse("12*batch"), parse(7)
        ((12, ('batch',)), (7, ()))
    """
    if isinstance(dim, bool) or not isinstance(dim, (int, str)):
        raise ValueError(f"a dimension must be an integer or a string such as '12*batch', got {shown(dim)}")
    if isinstance(dim, int):
        if not 0 <= dim <= LARGEST:
            raise ValueError(f"a dimension must be 0..2^48, got {dim}")
        return dim, ()
    return _parse_text(dim)


@lru_cache(maxsize=4096)
def _parse_text(dim: str) -> tuple[int, tuple[str, ...]]:
    coefficient, symbols = 1, dim.split("*")
    if NUMBER.match(symbols[0]):
        coefficient = int(symbols.pop(0))
    if not symbols or len(symbols) > 8 or not all(SYMBOL.match(symbol) for symbol in symbols) or coefficient > LARGEST:
        raise ValueError(f"a dimension must be an integer or a string such as '12*batch', got {shown(dim)}")
    return coefficient, tuple(sorted(symbols))


def write(coefficient: int, symbols: Iterable[str]) -> Dim:
    """The canonical dimension with this coefficient and these symbols."""
    names = sorted(symbols)
    if coefficient == 0 or not names:
        return coefficient
    return "*".join(names if coefficient == 1 else [str(coefficient), *names])


def canonical(dim: Dim) -> Dim:
    """``dim`` in its canonical form: equal dimensions become equal objects."""
    return dim if type(dim) is int and 0 <= dim <= LARGEST else write(*parse(dim))


def product(dims: Iterable[Dim]) -> Dim:
    """The product of dimensions.

    Example:
        >>> product([3, "batch", 4])
        '12*batch'
    """
    coefficient = 1
    symbols: list[str] = []
    for dim in dims:
        if type(dim) is int:
            coefficient *= dim
        else:
            factor, names = parse(dim)
            coefficient *= factor
            symbols.extend(names)
    return write(coefficient, symbols)


def add(a: Dim, b: Dim) -> Dim:
    """The sum of dimensions; ``ValueError`` where it is no monomial.

    Example:
        >>> add("2*batch", "batch")
        '3*batch'
    """
    (first, symbols), (second, others) = parse(a), parse(b)
    if symbols != others and first and second:
        raise ValueError(f"{a} + {b} is no dimension")
    return write(first + second, symbols if first else others)


def symbols_of(dims: Iterable[Dim]) -> set[str]:
    """The symbols that occur in ``dims``."""
    return {symbol for dim in dims if type(dim) is not int for symbol in parse(dim)[1]}


def evaluate(dim: Dim, values: Mapping[str, int]) -> int:
    """The integer that ``dim`` is when its symbols have these values."""
    if type(dim) is int:
        return dim
    result, symbols = parse(dim)
    for symbol in symbols:
        result *= values[symbol]
    return result


def bind(dim: Dim, size: int, values: dict[str, int]) -> bool:
    """Whether an input dimension (an integer or a multiple of one symbol) can have ``size``; binds the symbol."""
    coefficient, symbols = parse(dim)
    if not symbols:
        return size == coefficient
    if size % coefficient:
        return False
    return values.setdefault(symbols[0], size // coefficient) == size // coefficient


def broadcast(*shapes: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """The NumPy broadcast of shapes; a symbol goes with itself and with 1. ``ValueError`` if there is none.

    Example:
        >>> broadcast(("batch", 1, 3), (5, 3))
        ('batch', 5, 3)
    """
    result: list[Dim] = []
    for position in range(-max(map(len, shapes)), 0):
        size: Dim = 1
        for shape in shapes:
            dim = shape[position] if len(shape) >= -position else 1
            if dim != size and dim != 1:
                if size != 1:
                    raise ValueError(f"shapes {' and '.join(map(text, shapes))} cannot be broadcast together")
                size = dim
        result.append(size)
    return tuple(result)


def text(shape: Iterable[Dim]) -> str:
    """A shape for people: ``(batch, 28, 28)``."""
    dims = [str(dim) for dim in shape]
    return f"({', '.join(dims)}{',' if len(dims) == 1 else ''})"
