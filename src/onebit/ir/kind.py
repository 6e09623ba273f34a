"""A kind of node: what it is called, what attributes it has, its types, its exact result and its cost, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onebit.core.errors import shown
from onebit.core.registry import Registry, unknown
from onebit.ir import dim as dims
from onebit.ir.types import VALUES, TensorType, make_type

Attributes = Mapping[str, Any]
REQUIRED: Any = object()
INT32 = 2**31 - 1
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Attribute:
    """An attribute of a kind.

    Args:
        check: gives the attribute in its normal form (tuples, exact float32 values), or raises ``ValueError`` with the
            second half of a sentence: ``"must be 0 or more, got -1"``.
        default: its value where a node does not give it; ``REQUIRED`` for none.
    """

    check: Callable[[Any], Any]
    default: Any = REQUIRED


def no_cost(attributes: Attributes, output: TensorType, *inputs: TensorType) -> dict[str, dims.Dim]:
    """The cost of what only moves values."""
    return {}


def pointwise_cost(attributes: Attributes, output: TensorType, *inputs: TensorType) -> dict[str, dims.Dim]:
    """One float operation an element of the output (comparisons and integer arithmetic are counted alike)."""
    return {"float_ops": dims.product(output.shape)}


@dataclass(frozen=True)
class Kind:
    """A kind of node; one registered object serves inference, interpreter, passes, cost and file.

    Args:
        name: what nodes call it.
        inputs: names of the inputs in order; a last name that ends in ``...`` stands for any number of further inputs.
        attributes: name to :class:`Attribute`.
        infer: ``infer(attributes, *types) -> TensorType`` of the output; ``ValueError`` where the kind does not allow
            them.
        run: ``run(attributes, shape, *arrays) -> array``: the exact result; ``shape`` is the output's, in integers.
        cost: ``cost(attributes, output, *types)`` -> number of operations by number system: ``bit_macs``,
            ``int8_macs``, ``float_macs``, ``float_ops``; left out where 0.
        constants: names of the inputs that must be constants of the graph in a packed file.
        packed: whether a packed file may hold it.
    """

    name: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    infer: Callable[..., TensorType]
    run: Callable[..., np.ndarray]
    cost: Callable[..., dict[str, dims.Dim]] = pointwise_cost
    constants: tuple[str, ...] = ()
    packed: bool = True
    positions: tuple[int, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "positions", tuple(self.inputs.index(name) for name in self.constants))

    def check_arity(self, count: int) -> None:
        """``ValueError`` unless a node of this kind can have ``count`` inputs."""
        if self.inputs[-1].endswith("..."):
            if count < len(self.inputs) - 1:
                raise ValueError(
                    f"needs at least {len(self.inputs) - 1} inputs ({', '.join(self.inputs)}), got {count}"
                )
        elif count != len(self.inputs):
            raise ValueError(f"needs {len(self.inputs)} inputs ({', '.join(self.inputs)}), got {count}")

    def complete(self, given: Attributes) -> dict[str, Any]:
        """All attributes in their normal form, defaults filled in; ``ValueError`` names what is wrong."""
        for name in given:
            if name not in self.attributes:
                raise ValueError(unknown("attribute", name, self.attributes))
        complete = {}
        for name, attribute in self.attributes.items():
            if name in given:
                try:
                    complete[name] = attribute.check(given[name])
                except ValueError as error:
                    raise ValueError(f"attribute {name} {error}") from None
            elif attribute.default is REQUIRED:
                raise ValueError(f"attribute {name} is required")
            else:
                complete[name] = attribute.default
        return complete

    def given(self, attributes: Attributes) -> dict[str, Any]:
        """The attributes in their normal form, without those that equal their default: what a file holds."""
        return {
            name: value for name, value in self.complete(attributes).items() if value != self.attributes[name].default
        }


registry: Registry[Kind] = Registry("kind")


def register(kind: Kind) -> Kind:
    """Make ``kind`` known to every reader of graphs."""
    return registry.add(kind.name, kind)


# Checks of attributes


def integer(low: int = -INT32, high: int = INT32) -> Callable[[Any], int]:
    """An integer in ``low..high``."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
            raise ValueError(f"must be an integer in {low}..{high}, got {shown(value)}")
        return int(value)

    return check


def optional_integer(low: int, high: int = INT32) -> Callable[[Any], int | None]:
    """An integer in ``low..high``, or None."""
    check = integer(low, high)
    return lambda value: None if value is None else check(value)


def real(value: Any) -> float:
    """A finite number, rounded to float32."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ValueError(f"must be a number, got {shown(value)}")
    magnitude: Any = abs(value)
    if not magnitude <= LARGEST:
        raise ValueError(f"must be a finite float32 number, got {shown(value)}")
    return float(np.float32(value))


def boolean(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"must be true or false, got {shown(value)}")
    return bool(value)


def choice(*allowed: Any) -> Callable[[Any], Any]:
    """One of ``allowed``."""

    def check(value: Any) -> Any:
        for item in allowed:
            if type(value) is type(item) and value == item:
                return item
        raise ValueError(f"must be one of {', '.join(map(str, allowed))}, got {shown(value)}")

    return check


def integers(length: int | None, low: int, high: int = INT32) -> Callable[[Any], tuple[int, ...]]:
    """``length`` integers in ``low..high`` (None: any number)."""
    check_one = integer(low, high)

    def check(value: Any) -> tuple[int, ...]:
        if not isinstance(value, (list, tuple)) or (length is not None and len(value) != length):
            raise ValueError(f"must be {length if length is not None else 'a list of'} integers, got {shown(value)}")
        return tuple(map(check_one, value))

    return check


def pairs(value: Any) -> tuple[tuple[int, int], ...]:
    """``[before, after]`` for each axis, integers of 0 or more."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"must be a list of [before, after], got {shown(value)}")
    check = integers(2, 0)
    return tuple((a, b) for a, b in map(check, value))


def shape(value: Any) -> tuple[dims.Dim, ...]:
    """A list of dimensions."""
    try:
        return make_type("float32", value).shape
    except ValueError as error:
        raise ValueError(f"is not a shape: {error}") from None


dtype = choice(*VALUES)


# Checks of types


def expect(name: str, given: TensorType, dtypes: Sequence[str], rank: int | None = None) -> None:
    """``ValueError`` unless ``given`` has one of ``dtypes`` and the rank, if one is asked for."""
    if given.dtype not in dtypes:
        raise ValueError(f"{name} must be {' or '.join(dtypes)}, got {given}")
    if rank is not None and len(given.shape) != rank:
        raise ValueError(f"{name} must have {rank} dimensions, got {given}")


def expect_channels(x: TensorType, *vectors: tuple[str, TensorType], scalar: bool = False) -> None:
    """``ValueError`` unless each vector has the shape ``(C)`` of the last axis of ``x``, or ``(1)`` with ``scalar``."""
    if not x.shape:
        raise ValueError("x must have a last axis of channels, got a scalar")
    for name, vector in vectors:
        if vector.shape != (x.shape[-1],) and not (scalar and vector.shape == (1,)):
            allowed = f"({x.shape[-1]},)" + (" or (1,)" if scalar else "")
            raise ValueError(f"{name} must have shape {allowed}, one entry a channel of x, got {vector}")


def expect_positive(name: str, size: dims.Dim) -> int:
    """``size`` if it is an integer above 0."""
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"{name} must be an integer above 0, got {size}")
    return size
