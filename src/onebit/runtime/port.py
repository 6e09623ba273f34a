"""A port of a model: the name, dtype and shape of what goes in or comes out, and the check of arrays against it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

#: dtype of the graph -> dtype of the array at the border. A bit is an int8 of -1 or +1.
ARRAYS: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
    "int32": np.dtype(np.int32),
    "int64": np.dtype(np.int64),
    "bool": np.dtype(np.bool_),
    "bit": np.dtype(np.int8),
}


def shape_text(shape: tuple[int | str, ...]) -> str:
    """``(batch, 1, 28, 28)``."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


class Port(NamedTuple):
    """An input, output or state of a model.

    A dimension is an integer, or symbols with a coefficient: ``"batch"``, ``"12*batch"``. Sizes of symbols come from
    the inputs of a run.

    Example:
        >>> str(Port("x", "float32", ("batch", 1, 28, 28)))
        'x: float32 (batch, 1, 28, 28)'
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} {shape_text(self.shape)}"


def factors(dim: int | str) -> tuple[int, tuple[str, ...]]:
    """Coefficient and symbols of a dimension.

    Example:
        >>> factors("12*batch"), factors(3)
        ((12, ('batch',)), (3, ()))
    """
    if not isinstance(dim, str):
        return int(dim), ()
    first, *rest = dim.split("*")
    return (int(first), tuple(rest)) if first.isdigit() else (1, (first, *rest))


class Gate:
    """Checks arrays against a port, at the door.

    Args:
        role: what the port is, for messages: ``"input"``, ``"output"``, ``"state"``.
    """

    def __init__(self, role: str, port: Port) -> None:
        self.role, self.port = role, port
        self.dtype = ARRAYS[port.dtype]
        self._dims = tuple(map(factors, port.shape))
        self._is_bit = port.dtype == "bit"

    def wrong(self, got: object, sizes: Mapping[str, int] | None = None) -> ValueError:
        """The error that says what is wanted and what came."""
        shown = f"{got.dtype} {shape_text(got.shape)}" if isinstance(got, np.ndarray) else type(got).__name__
        wanted = "int8 of -1 and +1" if self.port.dtype == "bit" else self.port.dtype
        named = {name for _, symbols in self._dims for name in symbols}
        known = ", ".join(f"{name} = {size}" for name, size in (sizes or {}).items() if name in named)
        return ValueError(
            f"{self.role} {self.port.name!r} must be {wanted} {shape_text(self.port.shape)}"
            f"{f' with {known}' if known else ''}, got {shown}"
        )

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape when the symbols have these sizes."""
        result = []
        for size, symbols in self._dims:
            for name in symbols:
                size *= sizes[name]
            result.append(size)
        return tuple(result)

    def nbytes(self, sizes: Mapping[str, int]) -> int:
        """The bytes of the array when the symbols have these sizes."""
        return math.prod(self.shape(sizes)) * self.dtype.itemsize

    def receive(self, array: object, sizes: dict[str, int]) -> np.ndarray:
        """``array`` as the engine takes it (C-contiguous, aligned), binding its symbols in ``sizes``.

        Raises:
            ValueError: another dtype or shape, or bits that are not -1 or +1.
        """
        if not isinstance(array, np.ndarray) or array.dtype != self.dtype:
            raise self.wrong(array)
        shape = array.shape
        if len(shape) != len(self._dims):
            raise self.wrong(array)
        for size, (coefficient, symbols) in zip(shape, self._dims):
            if symbols:
                count, rest = divmod(size, coefficient)
                if rest or sizes.setdefault(symbols[0], count) != count:
                    raise self.wrong(array, sizes)
            elif size != coefficient:
                raise self.wrong(array, sizes)
        if self._is_bit and not np.all(np.abs(array) == 1):
            raise ValueError(f"{self.role} {self.port.name!r} must hold -1 and +1 only")
        flags = array.flags
        if not (flags.c_contiguous and flags.aligned):
            array = np.array(array, order="C", copy=True)
        return array

    def offer(self, array: object, sizes: Mapping[str, int]) -> np.ndarray:
        """``array`` if a result can be written into it.

        Raises:
            ValueError: another dtype or shape, or not writeable, C-contiguous and aligned.
        """
        if not isinstance(array, np.ndarray) or array.dtype != self.dtype or array.shape != self.shape(sizes):
            raise self.wrong(array, sizes)
        if not array.flags.carray:  # C-contiguous, aligned, writeable
            raise ValueError(f"out for {self.port.name!r} must be a writeable, C-contiguous array")
        return array
