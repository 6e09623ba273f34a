"""Types of values, and the comparisons that the kinds share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from onebit.core.errors import shown
from onebit.ir import dim as dims
from onebit.ir.dim import Dim

#: dtype of the graph -> what the interpreter holds. A bit is an int8 of -1 or +1, a ternary number one of -1, 0 or +1.
NUMPY: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
    "int32": np.dtype(np.int32),
    "int64": np.dtype(np.int64),
    "bool": np.dtype(np.bool_),
    "bit": np.dtype(np.int8),
    "ternary": np.dtype(np.int8),
}
#: What a value can be; ternary is for constants.
VALUES = tuple(name for name in NUMPY if name != "ternary")
NAMES = {NUMPY[name]: name for name in VALUES if name != "bit"}
BITS = {"float32": 32, "int8": 8, "uint8": 8, "int32": 32, "int64": 64, "bool": 8, "bit": 1, "ternary": 2}
TRITS = 5  # ternary numbers in a byte of a packed file: 3^5 = 243 <= 256
MAX_RANK = 8


class TensorType(NamedTuple):
    """dtype and shape of a value; a dimension is an integer or a monomial of symbols such as ``"12*batch"``.

    Example:
        >>> str(TensorType("float32", ("batch", 28, 28, 1)))
        'float32 (batch, 28, 28, 1)'
    """

    dtype: str
    shape: tuple[Dim, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {dims.text(self.shape)}"


def make_type(dtype: object, shape: object) -> TensorType:
    """A checked type with canonical dimensions; ``ValueError`` says what is wrong."""
    if not isinstance(dtype, str) or dtype not in NUMPY:
        raise ValueError(f"dtype must be one of {', '.join(NUMPY)}, got {shown(dtype)}")
    if not isinstance(shape, (tuple, list)):
        raise ValueError(f"a shape must be a list of dimensions, got {shown(shape)}")
    if len(shape) > MAX_RANK:
        raise ValueError(f"a shape must have at most {MAX_RANK} dimensions, got {len(shape)}")
    return TensorType(dtype, tuple(map(dims.canonical, shape)))


def maximum(a: np.ndarray, b: np.ndarray | np.float32) -> np.ndarray:
    """``a if (a > b or isnan(a)) else b``, elementwise."""
    return np.where((a > b) | (a != a), a, b)


def minimum(a: np.ndarray, b: np.ndarray | np.float32) -> np.ndarray:
    """``a if (a < b or isnan(a)) else b``, elementwise."""
    return np.where((a < b) | (a != a), a, b)


def is_bits(array: np.ndarray) -> bool:
    """Whether an int8 array holds -1 and +1 only."""
    return array.dtype == np.int8 and bool(np.all(np.abs(array) == 1))


def is_ternary(array: np.ndarray) -> bool:
    """Whether an int8 array holds -1, 0 and +1 only."""
    return array.dtype == np.int8 and bool(np.all(np.abs(array) <= 1) and np.all(array != -128))


def stored_bits(dtype: str, size: int) -> int:
    """Bits that ``size`` elements take in a packed file; of ternary ones five share a byte."""
    return -(-size // TRITS) * 8 if dtype == "ternary" else size * BITS[dtype]
