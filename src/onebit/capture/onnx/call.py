"""A node of an ONNX file while it is read, and the table of rules by operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from onebit.capture.builder import Builder
from onebit.capture.values import Constant, Value, constant
from onebit.core.errors import Unsupported
from onebit.ir import dim as dims


@dataclass(frozen=True, eq=False)
class Running:
    """Running sums of ``x`` along ``axis``, which the graph has no kind for: only the last of them can be read."""

    x: Value
    axis: int


@dataclass(frozen=True, eq=False)
class Known:
    """What a tensor of the file is.

    Args:
        value: a value of the graph, or a constant array; an array of objects holds sizes, some of which are symbols.
            Running sums that :func:`~onebit.capture.onnx.rules.sums.last_sum` alone reads.
        dtype: the tensor's dtype in the file; the value's may be narrower: signs are ``bit``, codes ``int8``.
        call: the node that makes it.
    """

    value: Any  # Value | np.ndarray | Running; what ``Call.known`` gives is one of the first two
    dtype: str
    call: Call | None = None


@dataclass(eq=False)
class Call:
    """A node of the file.

    Args:
        b: the graph under construction.
        op: name of the operator.
        name: of the node.
        opset: version of the standard operators.
        attributes: by name, in Python's types.
        inputs: what the inputs are; None for one that is left out.
        outputs: number of outputs.
        dtype: of the first output in the file.
    """

    b: Builder
    op: str
    name: str
    opset: int
    attributes: Mapping[str, Any]
    inputs: Sequence[Known | None]
    outputs: int = 1
    dtype: str = "float32"

    def unsupported(self, what: str, advice: str) -> Unsupported:
        """The error for something in this node."""
        return Unsupported(f"{self.op} {self.name!r}: {what[:200]}; {advice}")

    def known(self, index: int) -> Known:
        """An input that must be there."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise ValueError(f"input {index} is missing")
        if isinstance(found.value, Running):
            raise self.unsupported("running sums of which others than the last are read", "make it a sum")
        return found

    def has(self, index: int) -> bool:
        """Whether an input is there."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def operand(self, index: int) -> Value | Constant:
        """An input as an operand of the builder."""
        found = self.known(index).value
        if isinstance(found, Value):
            return found
        return constant(torch.from_numpy(np.array(self.numbers(found))))

    def value(self, index: int) -> Value:
        """An input as a value of the graph."""
        return self.b.materialize(self.operand(index))

    def constant(self, index: int) -> np.ndarray | None:
        """An input that is a constant without symbols, else None."""
        found = self.known(index).value
        return None if isinstance(found, Value) or found.dtype == object else found

    def needed(self, index: int, what: str) -> np.ndarray:
        """An input that must be a constant."""
        found = self.constant(index)
        if found is None:
            raise self.unsupported(f"{what} that is computed from the input", "make it a constant")
        return found

    def numbers(self, found: np.ndarray) -> np.ndarray:
        """A constant array without symbols."""
        if found.dtype == object:
            raise self.unsupported("a number that depends on a dynamic size", "make that size static")
        return found

    def integers(self, name: str, index: int | None = None) -> list[Any] | None:
        """A list of integers (or sizes) that is an attribute or, in newer opsets, an input; None where it is none."""
        if index is not None and self.has(index):
            found = self.known(index).value
            if isinstance(found, Value):
                raise self.unsupported(f"{name} computed from the input", "make it a constant")
            given: Any = np.atleast_1d(found).reshape(-1).tolist()
        else:
            given = self.attributes.get(name)
            given = given if isinstance(given, (list, tuple)) or given is None else [given]
        if given is not None and not all(isinstance(number, (int, str)) for number in given):
            raise ValueError(f"{name} must be integers")
        return None if given is None else list(given)

    def scalar(self, index: int, default: float) -> float:
        """An input with one number; ``default`` where it is left out."""
        return float(self.needed(index, "a number").reshape(()).item()) if self.has(index) else default

    def maker(self, index: int, *ops: str) -> Call | None:
        """The node that makes an input, if it is of one of these operators."""
        found = self.inputs[index] if index < len(self.inputs) else None
        call = found.call if found is not None else None
        return call if call is not None and call.op in ops else None

    def is_same(self, index: int, other: Call, place: int) -> bool:
        """Whether an input is the same tensor as an input of another node."""
        return self.has(index) and other.has(place) and self.known(index).value is other.known(place).value


Rule = Callable[[Call], Any]


@dataclass(frozen=True)
class Entry:
    """A rule, and what dtype its result has: a dtype, the number of the input that it has it from, or a function."""

    rule: Rule
    dtype: str | int | Callable[[Call], str]


rules: dict[str, Entry] = {}


def rule(*ops: str, dtype: str | int | Callable[[Call], str] = 0) -> Callable[[Rule], Rule]:
    """Decorator: the function is the rule of these operators."""

    def keep(function: Rule) -> Rule:
        for op in ops:
            rules[op] = Entry(function, dtype)
        return function

    return keep


def divide(a: dims.Dim, b: dims.Dim) -> dims.Dim | None:
    """``a / b`` where that is a dimension, else None."""
    (first, symbols), (second, others) = dims.parse(a), dims.parse(b)
    left = list(symbols)
    for symbol in others:
        if symbol not in left:
            return None
        left.remove(symbol)
    return dims.write(first // second, left) if second and first % second == 0 else None
