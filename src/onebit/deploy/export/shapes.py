"""Shapes with symbols, as ONNX needs them: constants, or computed from the shapes of the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onebit.ir import dim as dims

if TYPE_CHECKING:
    from onebit.deploy.export.exporter import Exporter


class Shapes:
    """Reshapes and shapes of one model."""

    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter
        self._known: dict[dims.Dim, str] = {}

    def reshape(self, name: str, have: Sequence[dims.Dim], want: Sequence[dims.Dim]) -> str:
        """A tensor of shape ``have`` in the shape ``want``."""
        e = self.exporter
        if list(have) == list(want):
            return name
        symbolic = [axis for axis, size in enumerate(want) if not isinstance(size, int)]
        if not symbolic:
            more: dict[str, Any] = {"allowzero": 1} if 0 in want else {}
            return e.emit("Reshape", name, e.constant(want, np.int64), **more)
        if 0 not in want and all(axis < len(have) and have[axis] == want[axis] for axis in symbolic):
            kept = [0 if axis in symbolic else size for axis, size in enumerate(want)]
            return e.emit("Reshape", name, e.constant(kept, np.int64))
        if 0 not in want and len(symbolic) == 1:
            return e.emit("Reshape", name, e.constant([s if isinstance(s, int) else -1 for s in want], np.int64))
        return e.emit("Reshape", name, self.tensor(want), allowzero=1)

    def tensor(self, shape: Sequence[dims.Dim]) -> str:
        """The name of an int64 vector that holds a shape."""
        e = self.exporter
        if all(isinstance(size, int) for size in shape):
            return e.constant(shape, np.int64)
        return e.emit("Concat", *[self._size(size) for size in shape], axis=0)

    def _size(self, size: dims.Dim) -> str:
        """The name of an int64 vector of one entry that holds a dimension."""
        e = self.exporter
        coefficient, symbols = dims.parse(size)
        if not symbols:
            return e.constant([coefficient], np.int64)
        if size not in self._known:
            factors = [self._symbol(symbol) for symbol in symbols]
            if coefficient != 1:
                factors.append(e.constant([coefficient], np.int64))
            name = factors[0]
            for factor in factors[1:]:
                name = e.emit("Mul", name, factor)
            self._known[size] = name
        return self._known[size]

    def _symbol(self, symbol: str) -> str:
        """A symbol, from the shape of the first input that has it."""
        e = self.exporter
        if symbol not in self._known:
            name, axis, coefficient = next(
                (name, axis, dims.parse(size)[0])
                for name, given in e.graph.inputs.items()
                for axis, size in enumerate(given.shape)
                if symbol in dims.symbols_of([size])
            )
            size = e.emit("Gather", e.emit("Shape", name), e.constant([axis], np.int64), axis=0)
            if coefficient != 1:
                size = e.emit("Div", size, e.constant([coefficient], np.int64))
            self._known[symbol] = size
        return self._known[symbol]
