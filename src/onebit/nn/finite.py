"""Whether a network still holds numbers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class NonFinite(NamedTuple):
    """A tensor of a network that holds NaN or an infinity. Prints as ``weight holds nan (1 of 8)``.

    Args:
        name: as in ``state_dict``.
        value: the first such number.
        bad: how many there are.
        size: of the tensor.
    """

    name: str
    value: float
    bad: int
    size: int

    def __str__(self) -> str:
        return f"{self.name} holds {self.value} ({self.bad} of {self.size})"


def non_finite(model: nn.Module) -> NonFinite | None:
    """The first parameter or buffer of ``model`` that is not finite, or None.

    Buffers that are no running statistics may hold minus infinity: attention masks do.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> print(non_finite(layer))
        None
        >>> _ = layer.weight.data.fill_(torch.nan)
        >>> print(non_finite(layer))
        weight holds nan (2 of 2)
    """
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not tensor.is_floating_point() or bool(torch.isfinite(tensor).all()):
            continue
        bad = _bad(name, tensor)
        if bad.any():
            return NonFinite(name, tensor.detach()[bad].flatten()[0].item(), int(bad.sum()), tensor.numel())
    return None


def _bad(name: str, tensor: Tensor) -> Tensor:
    if isinstance(tensor, nn.Parameter) or "running_" in name:
        return ~torch.isfinite(tensor)
    return torch.isnan(tensor) | (tensor == torch.inf)
