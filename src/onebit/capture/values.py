"""What a value of the exported program is while it is captured: a value of the graph, or a constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy
import torch

from onebit.core.errors import Unsupported
from onebit.ir import dim as dims
from onebit.ir.dim import Dim

Shape = tuple[Dim, ...]

DTYPES = {
    torch.float32: "float32",
    torch.float64: "float32",
    torch.float16: "float32",
    torch.bfloat16: "float32",
    torch.int64: "int64",
    torch.int32: "int32",
    torch.int16: "int32",
    torch.int8: "int8",
    torch.uint8: "uint8",
    torch.bool: "bool",
}


@dataclass(frozen=True, eq=False)
class Value:
    """A value of the graph.

    Args:
        name: its name in the graph.
        dtype: its dtype in the graph, which may be narrower than in PyTorch: signs are ``bit``, codes ``int8``.
        shape: its shape in PyTorch.
        order: axis j of the value in the graph is axis ``order[j]`` in PyTorch: ``(0, 2, 3, 1)`` is channels last.
    """

    name: str
    dtype: str
    shape: Shape
    order: tuple[int, ...]

    @property
    def laid_out(self) -> Shape:
        """The shape in the graph."""
        return tuple(self.shape[axis] for axis in self.order)


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant: a tensor, which has size 1 where ``shape`` has a dynamic size along which it does not change.

    Args:
        tensor: the values.
        shape: the shape in PyTorch.
        counts: whether it is ``arange`` over a dynamic size (and its tensor the first entry): it can only index.
    """

    tensor: torch.Tensor
    shape: Shape
    counts: bool = False

    @property
    def spread(self) -> bool:
        """Whether it has a dynamic size."""
        return any(isinstance(size, str) for size in self.shape)


def constant(tensor: torch.Tensor) -> Constant:
    """The constant with these values."""
    return Constant(tensor, tuple(tensor.shape))


@dataclass(frozen=True)
class Expected:
    """Shape and dtype that the exported program says a result has."""

    shape: Shape
    dtype: torch.dtype

    @property
    def floating(self) -> bool:
        return self.dtype.is_floating_point

    @property
    def at_one(self) -> tuple[int, ...]:
        """The shape with 1 in place of every dynamic size."""
        return tuple(1 if isinstance(size, str) else size for size in self.shape)


def to_dim(size: Any, names: dict[str, str]) -> Dim:
    """An integer or symbolic size of torch as a dimension; ``names`` maps torch's symbols to those of the graph."""
    if isinstance(size, int):
        return size
    expression = sympy.expand(size.node.expr)
    coefficient, rest = expression.as_coeff_Mul()
    if expression.is_Integer:
        return int(expression)
    symbols: list[str] = []
    for factor, power in rest.as_powers_dict().items():
        if not (factor.is_Symbol and power.is_Integer and power > 0) or str(factor) not in names:
            coefficient = sympy.S.Half
            break
        symbols += [names[str(factor)]] * int(power)
    if not coefficient.is_Integer or coefficient < 0:
        shown = str(expression)
        for symbol, name in names.items():
            shown = shown.replace(symbol, name)
        raise Unsupported(f"a size is {shown}: only products of a number and dynamic sizes are; make that size static")
    return dims.write(int(coefficient), symbols)
