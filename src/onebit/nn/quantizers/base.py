"""A quantizer: a tensor as codes (small integers) times a scale, with a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Encoded(NamedTuple):
    """A quantized tensor: ``(codes - zero_point) * scale``.

    Args:
        codes: integers in a floating-point tensor (exact up to 2^24 in float32), in the shape of the tensor.
        scale: broadcasts against ``codes``.
        zero_point: the code of the value 0.
        levels: values of the codes where they are not evenly spaced (a codebook), or None.
    """

    codes: Tensor
    scale: Tensor
    zero_point: int = 0
    levels: Tensor | None = None


class Quantizer(nn.Module):
    """Codes and a scale for a tensor: weights ``(O, ...)`` or activations.

    ``forward(x)`` is the dequantized tensor with a gradient; ``encode(x)`` its codes and scale. In eval mode
    ``decode(encode(x))`` equals ``forward(x)`` exactly. A layer in eval mode convolves the codes and multiplies the
    sums by the scales.

    Attributes:
        scaled: False where the scale is the constant 1, so that a layer need not multiply by it.
        num_bits: bits of one code (1 for -1/+1 and 0/1, 2 for ternary).
    """

    scaled: bool = True
    num_bits: int = 1

    def attach(self, reference: Tensor, channel_dim: int) -> None:
        """Called once by the layer that owns the quantizer: makes what depends on the number of channels.

        Args:
            reference: the weight ``(O, ...)`` for a weight quantizer; for an input quantizer an empty tensor with the
                channels of the input on ``channel_dim``, on the device and of the dtype of the weight.
            channel_dim: 0 for weights; for inputs 1 (convolution) or -1 (linear).
        """

    def encode(self, x: Tensor) -> Encoded:
        """Codes and scale of ``x``."""
        raise TypeError(f"{type(self).__name__} does not define encode(x)")

    def decode(self, encoded: Encoded) -> Tensor:
        """``(codes - zero_point) * scale``, or the levels of the codes times the scale."""
        values = encoded.codes if encoded.levels is None else encoded.levels[encoded.codes.long()]
        if encoded.zero_point:
            values = values - encoded.zero_point
        return values * encoded.scale if self.scaled else values

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def observe(self, x: Tensor) -> None:
        """Set what starts from data (a range, a shift) from ``x``; nothing by default."""

    def penalty(self, x: Tensor | None = None) -> Tensor:
        """A regulariser of the tensor ``x`` that is quantized: a 0-d tensor, 0 by default.

        ``onebit.nn.penalty(model)`` sums it over the weights of all layers.
        """
        return torch.zeros(())


def scaled_value(codes: Tensor, scale: Tensor, scale_gradient: str) -> Tensor:
    """``codes * scale`` with one of three gradients; the value is exactly the product in each.

    - ``"full"``: through codes and scale;
    - ``"detached"``: the scale is a constant factor of the gradient;
    - ``"ignored"``: the gradient of ``codes`` alone, as if the scale were 1 (the code of BiBench [Qin2023]).
    """
    if scale_gradient == "full":
        return codes * scale
    scale = scale.detach()
    if scale_gradient == "detached":
        return codes * scale
    fixed = codes.detach()
    return fixed * scale + (codes - fixed)


def learned_scale(
    alpha: nn.Parameter | None, reference: Tensor, start: Callable[..., Tensor] = torch.ones
) -> nn.Parameter:
    """The learned scale ``(O, 1, ...)`` of the weight ``reference (O, ...)``: ``alpha`` where it is there already and
    fits, else a new one made by ``start(shape)``."""
    shape = (reference.shape[0], *[1] * (reference.dim() - 1))
    if alpha is None:
        return nn.Parameter(start(shape, device=reference.device, dtype=reference.dtype))
    if alpha.shape != shape:
        raise ValueError(f"this quantizer belongs to a layer with alpha {tuple(alpha.shape)}, not {shape}")
    return alpha


def made(alpha: nn.Parameter | None) -> nn.Parameter:
    """``alpha`` if a layer has made it."""
    if alpha is None:
        raise ValueError('scale="learned" has no alpha yet: a layer makes it, or call attach(weight, 0)')
    return alpha


def mean_abs(x: Tensor, dims: tuple[int, ...] | None = None) -> Tensor:
    """Mean of ``|x|`` over ``dims`` (all without), kept as dimensions of size 1."""
    dims = tuple(range(x.dim())) if dims is None else dims
    return x.abs().mean(dims, keepdim=True)


def start_from(initialized: Tensor, value: Tensor, start: Tensor) -> None:
    """Set ``value`` to ``start`` unless ``initialized``, then mark it initialised; without a branch on a tensor.

    A ``start`` that is not finite everywhere starts nothing: the next batch is asked.
    With several processes ``start`` is averaged over them: a parameter that starts from data is the same in all.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized() and not bool(initialized):
        start = start.clone()
        torch.distributed.all_reduce(start)
        start /= torch.distributed.get_world_size()
    usable = torch.isfinite(start).all()
    value.copy_(torch.where(initialized | ~usable, value, start))
    initialized.logical_or_(usable)


def smallest(dtype: torch.dtype) -> float:
    """The smallest range that something is divided by: quotients and their gradients stay finite."""
    return max(1e-30, torch.finfo(dtype).tiny)
