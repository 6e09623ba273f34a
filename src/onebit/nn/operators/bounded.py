"""The sign whose gradient passes inside a bound that is worth tuning, and the floor of its unsigned codes (PokeBNN)."""

from __future__ import annotations

import torch
from torch import Tensor

from onebit.core.errors import check_positive
from onebit.nn.operators.base import Operator, in_dtype, sign
from onebit.nn.operators.registry import registry
from onebit.nn.ops import quantize_codes

EPS = 2.0**-7


@registry.register("bounded")
class BoundedSign(Operator):
    """Sign whose gradient passes strictly inside ``bound * (1 - 2^-7)``.

    Forward: ``y = +1 if x >= 0 else -1``. Backward: ``dL/dx = dL/dy if |x| < bound (1 - 2^-7) else 0``. What is
    multiplied by it is ``bound / 2`` in the paper, so that its values are the middles of the two halves of
    ``[-bound, bound]``: that factor belongs to the quantizer.

    Args:
        bound: above 0; a buffer. 3 as in the paper for inputs; the paper's weights take the largest magnitude of each
            output channel.

    Reference: [Zhang2022].

    Example:
        >>> BoundedSign(3.0).gradient(torch.tensor([2.9765, 2.9766]), torch.tensor(3.0))
        tensor([1., 0.])
    """

    bound: Tensor

    def __init__(self, bound: float = 3.0) -> None:
        super().__init__()
        self.register_buffer("bound", torch.tensor(float(check_positive("bound", bound))))

    def state(self) -> tuple[Tensor, ...]:
        return (self.bound,)

    def hard(self, x: Tensor, bound: Tensor) -> Tensor:  # type: ignore[override]
        return sign(x)

    def gradient(self, x: Tensor, bound: Tensor) -> Tensor:  # type: ignore[override]
        return (x.abs() < in_dtype(bound, x) * (1 - EPS)).to(x.dtype)

    def surrogate(self, x: Tensor) -> Tensor:
        """``clamp(x, -c, c)`` with ``c = bound (1 - 2^-7)``."""
        edge = in_dtype(self.bound, x) * (1 - EPS)
        return torch.maximum(torch.minimum(x, edge), -edge)

    def extra_repr(self) -> str:
        return "on the meta device" if self.bound.is_meta else f"bound={float(self.bound):g}"


class Floor(Operator):
    """The largest integer below, in ``0..high``; straight-through inside.

    Forward: ``y = floor(clamp(x, 0, high))`` (NaN gives 0). Backward: ``dL/dx = dL/dy if 0 <= x <= high else 0``.

    Args:
        high: an integer of at least 1.

    Reference: [Zhang2022].

    Example:
        >>> Floor(15)(torch.tensor([-1.0, 0.75, 7.0, 20.0]))
        tensor([ 0.,  0.,  7., 15.])
    """

    def __init__(self, high: int) -> None:
        super().__init__()
        if not isinstance(high, int) or high < 1:
            raise ValueError(f"high must be an integer of at least 1, got {high!r}")
        self.high = high

    def hard(self, x: Tensor) -> Tensor:  # type: ignore[override]
        if torch.compiler.is_exporting():
            # a cast to integers is the floor of what is not negative, and has a kind in the graph
            whole = x.clamp(0, self.high).to(torch.int64).to(x.dtype)
            return torch.ops.onebit.quantize(whole, torch.ones((), dtype=x.dtype, device=x.device), 0, 0, self.high)
        return quantize_codes(torch.floor(x), 1.0, 0, 0, self.high)

    def gradient(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return ((x >= 0) & (x <= self.high)).to(x.dtype)

    def surrogate(self, x: Tensor) -> Tensor:
        """``clamp(x, 0, high)``."""
        return x.clamp(0, self.high)

    def extra_repr(self) -> str:
        return f"high={self.high}"
