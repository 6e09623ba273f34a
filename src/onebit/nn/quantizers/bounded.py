"""The quantizers of PokeBNN: signs inside a bound, integers of a fixed range, weights that stay float for a while."""

from __future__ import annotations

import torch
from torch import Tensor

from onebit.core.errors import check_positive, check_range
from onebit.core.progress import Progress
from onebit.nn import operators
from onebit.nn.operators import BoundedSign, Floor, Round
from onebit.nn.quantizers.activation import BinaryActivation
from onebit.nn.quantizers.base import Encoded, Quantizer, scaled_value, smallest
from onebit.nn.quantizers.dorefa import _check_bits
from onebit.nn.quantizers.registry import activation_registry, weight_registry

STAGE = "stage"


class BoundedWeight(Quantizer):
    """``w -> (B_c / 2) sign(w)`` with ``B_c`` the largest ``|w|`` of each output channel.

    Backward: ``dL/dw = G if |w| < B_c (1 - 2^-7) else 0``: the largest weights of a channel get none; B_c takes no
    part.

    Shape: ``(O, ...)``, floating point. A channel of zeros has the smallest scale there is.

    Reference: [Zhang2022].

    Example:
        >>> BoundedWeight()(torch.tensor([[0.5, -0.25, 1.0, -0.75]]))
        tensor([[ 0.5000, -0.5000,  0.5000, -0.5000]])
    """

    def __init__(self) -> None:
        super().__init__()
        self.operator = BoundedSign()

    def encode(self, x: Tensor) -> Encoded:
        bound = x.detach().abs().amax(tuple(range(1, x.dim())), keepdim=True).clamp(min=smallest(x.dtype))
        return Encoded(operators.apply(self.operator, x, bound), bound / 2)

    def forward(self, x: Tensor) -> Tensor:
        codes, scale, *_ = self.encode(x)
        return scaled_value(codes, scale, "ignored")


def bounded_activation(bound: float = 3.0) -> BinaryActivation:
    """``x -> (bound / 2) sign(x)``, gradient 1 where ``|x| < bound (1 - 2^-7)`` [Zhang2022]."""
    return BinaryActivation(BoundedSign(bound), scale=check_positive("bound", bound) / 2)


class FixedRange(Quantizer):
    """Evenly spaced codes of a range that does not move: what a layer divides its input by comes before.

    - signed: ``clamp(round_half_even(n x), -n, n) / n`` with ``n = 2^(k-1) - 1``, for inputs in [-1, 1];
    - unsigned: ``clamp(floor(2^k x), 0, 2^k - 1) / 2^k``, for inputs in [0, 1).

    Backward: 1 inside the range, else 0. NaN has code 0. (The published code rounds halves up.)

    Args:
        num_bits: k, 2..8.
        signed: which of the two.

    Reference: [Zhang2022].

    Example:
        >>> FixedRange(4)(torch.tensor([0.25, 0.5, 1.25])) * 2
        tensor([0.5714, 1.1429, 2.0000])
        >>> FixedRange(4, signed=False)(torch.tensor([-1.0, 0.25, 1.0])) * 2
        tensor([0.0000, 0.5000, 1.8750])
    """

    def __init__(self, num_bits: int = 8, signed: bool = True) -> None:
        super().__init__()
        self.num_bits = _check_bits(num_bits, 2, 8)
        self.signed = signed
        self.steps: int = 2 ** (num_bits - 1) - 1 if signed else 2**num_bits
        self.high: int = self.steps if signed else self.steps - 1
        self.round = Round(-self.high, self.high) if signed else Floor(self.high)

    def encode(self, x: Tensor) -> Encoded:
        return Encoded(self.round(x * self.steps), torch.full((), 1 / self.steps, dtype=x.dtype, device=x.device))

    def extra_repr(self) -> str:
        return f"num_bits={self.num_bits}, signed={self.signed}"


class FloatFirst(Quantizer):
    """Another quantizer, after a first phase of training in which the tensor stays as it is.

    In the phase ``Q(x) = x``: a network whose weights are in it is no network of bits. Which phase it is lives in a
    buffer, so it is saved.

    Args:
        quantizer: what comes after.
        phase: a share of the training, above 0 and below 1 (50 of 800 epochs are 0.0625), or ``"stage"``: the first
            stage of a training in several.
        evaluation: whether the phase holds in eval mode too. For inputs it does not: what is evaluated or packed has
            integers.

    Reference: [Zhang2022].

    Example:
        >>> quantizer = FloatFirst(BoundedWeight(), phase=0.5)
        >>> weight = torch.tensor([[0.5, -0.25]])
        >>> quantizer(weight)
        tensor([[ 0.5000, -0.2500]])
        >>> quantizer.on_progress(Progress(1, 2, 1, 2))
        >>> quantizer(weight)
        tensor([[ 0.2500, -0.2500]])
    """

    quantizes: Tensor

    def __init__(self, quantizer: Quantizer, phase: float | str, evaluation: bool = True) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.phase = check_phase(phase)
        if not self.phase:
            raise ValueError(f"phase must be above 0, got {phase!r}: without one, the quantizer itself will do")
        self.evaluation = evaluation
        self.num_bits = quantizer.num_bits
        self.register_buffer("quantizes", torch.tensor(False))

    def on_progress(self, progress: Progress) -> None:
        """End the phase where it is over."""
        over = progress.stage > 1 if isinstance(self.phase, str) else progress.fraction >= self.phase
        self.quantizes.fill_(over)

    def attach(self, reference: Tensor, channel_dim: int) -> None:
        self.quantizer.attach(reference, channel_dim)

    def encode(self, x: Tensor) -> Encoded:
        encoded = self.quantizer.encode(x)
        if not self.evaluation and (torch.compiler.is_exporting() or not self.training):
            return encoded
        codes, scale = encoded.codes, encoded.scale
        return encoded._replace(
            codes=torch.where(self.quantizes, codes, x),
            scale=torch.where(self.quantizes, scale, torch.ones_like(scale)),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.quantizer(x)
        if not self.evaluation and not self.training:
            return y
        return torch.where(self.quantizes, y, x)

    def observe(self, x: Tensor) -> None:
        self.quantizer.observe(x)

    def penalty(self, x: Tensor | None = None) -> Tensor:
        return self.quantizer.penalty(x)

    def extra_repr(self) -> str:
        return f"phase={self.phase!r}, evaluation={self.evaluation}"


def check_phase(phase: float | str) -> float | str:
    """``phase`` if it is ``"stage"`` or a share of at least 0 and below 1, else ``ValueError``."""
    if phase == STAGE:
        return STAGE
    if isinstance(phase, str) or check_range("phase", phase, 0, 1) == 1:
        raise ValueError(f"phase must be 'stage' or a share of at least 0 and below 1, got {phase!r}")
    return float(phase)


weight_registry.add("pokebnn", BoundedWeight)
activation_registry.add("pokebnn", bounded_activation, papers=("Zhang2022",))
