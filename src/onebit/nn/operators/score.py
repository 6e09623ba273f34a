"""The score-function estimator: an unbiased gradient for Bernoulli units that needs the loss of each example only."""

from __future__ import annotations

import torch
from torch import Tensor

from onebit.core.errors import check_range
from onebit.nn.operators.stochastic import StochasticOperator, check_choice, stochastic_registry

BASELINES = ("optimal", "mean", "none")
START = 1e-6  # of both running means, so that their ratio is 1 before the first batch


@stochastic_registry.register("reinforce")
class BernoulliReinforce(StochasticOperator):
    """Bernoulli units that learn from the loss alone: REINFORCE with the baseline of least variance.

    Forward: ``h ~ Bernoulli(p)``, ``p = sigmoid(a)``; no gradient passes through h. The estimate of ``d E[L] / d a_i``
    of one example is ``(h_i - p_i) (L - c_i)``, unbiased for every constant c. Its variance is least for
    ``c_i = E[(h_i - p_i)^2 L] / E[(h_i - p_i)^2]``.

    The expectations are running means over batches, and a batch's estimate uses those from before it: a baseline that
    had seen the example's own loss would bias it. Whoever trains the units calls :meth:`surrogate` with the losses of
    the examples of the last forward pass; :class:`onebit.learn.ScoreFunction` does.

    In evaluation: 1 where ``a >= threshold`` (a buffer, 0 at first).

    Args:
        units: size of the last axis.
        momentum: of the running means, 0..1; 0.9 as in the paper's last runs.
        baseline: ``"optimal"``, ``"mean"`` (the running mean of the loss) or ``"none"`` (0).
        eval_mode, generator: of :class:`StochasticOperator`.

    Shape: ``(B, units)`` to the same.

    Reference: [Bengio2013].

    Example:
        >>> units = BernoulliReinforce(3)
        >>> a = torch.zeros(4, 3, requires_grad=True)
        >>> losses = units(a).sum(1)            # one number an example
        >>> units.surrogate(losses).backward()  # the estimate, summed over the examples
        >>> a.grad.shape
        torch.Size([4, 3])
    """

    weighted_loss: Tensor
    weight: Tensor
    mean_loss: Tensor

    def __init__(
        self,
        units: int,
        momentum: float = 0.9,
        baseline: str = "optimal",
        eval_mode: str = "threshold",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(eval_mode, generator)
        if not isinstance(units, int) or isinstance(units, bool) or units < 1:
            raise ValueError(f"units must be an integer of at least 1, got {units!r}")
        self.units, self.momentum = units, float(check_range("momentum", momentum, 0, 1))
        self.baseline = check_choice("baseline", baseline, BASELINES)
        self.register_buffer("weighted_loss", torch.full((units,), START))
        self.register_buffer("weight", torch.full((units,), START))
        self.register_buffer("mean_loss", torch.ones(()))
        self._drawn = Pending()

    def hard(self, a: Tensor, u: Tensor) -> Tensor:  # type: ignore[override]
        return (u < torch.sigmoid(a)).to(a.dtype)

    def gradient(self, a: Tensor, u: Tensor) -> Tensor:  # type: ignore[override]
        """0: nothing passes."""
        return torch.zeros_like(a)

    def active(self, a: Tensor) -> Tensor:
        return torch.sigmoid(a)

    def mean(self, a: Tensor) -> Tensor:
        """``sigmoid(a)``."""
        return torch.sigmoid(a)

    def value(self, a: Tensor) -> Tensor:
        return torch.ones_like(a)

    def settled(self, a: Tensor, threshold: Tensor) -> Tensor:
        return (a >= threshold).to(a.dtype)

    def forward(self, a: Tensor) -> Tensor:
        if not self.training:
            return self.hard(a, self.noise(a)) if self.eval_mode == "sample" else super().forward(a)
        if a.dim() != 2 or a.shape[1] != self.units:
            raise ValueError(f"input must have the shape (B, {self.units}), got {tuple(a.shape)}")
        h = self.hard(a.detach(), self.noise(a))
        self._drawn.put((a, h - torch.sigmoid(a.detach())))
        return h

    def constant(self) -> Tensor:
        """The baseline c of the next batch: ``(units,)``, or 0-d where it is the same for all."""
        if self.baseline == "none":
            return torch.zeros_like(self.mean_loss)
        return self.mean_loss if self.baseline == "mean" else self.weighted_loss / self.weight

    def surrogate(self, losses: Tensor) -> Tensor:
        """A 0-d tensor of value 0 whose gradient is the estimate, summed over the examples of the last forward pass.

        Args:
            losses: ``(B,)``, the loss of each example; not differentiated.

        Raises:
            ValueError: another shape, or no forward pass in training mode since the last call.
        """
        drawn = self._drawn.take()
        if drawn is None:
            raise ValueError("surrogate must be called once after each forward pass in training mode")
        a, d = drawn
        if losses.shape != a.shape[:1]:
            raise ValueError(f"losses must have the shape ({len(a)},), one an example, got {tuple(losses.shape)}")
        losses = losses.detach().to(d.dtype)
        value = (a * (d * (losses[:, None] - self.constant()))).sum()
        with torch.no_grad():
            square, keep = d * d, self.momentum
            for running, new in (
                (self.weighted_loss, (square * losses[:, None]).mean(0)),
                (self.weight, square.mean(0)),
                (self.mean_loss, losses.mean()),
            ):
                running.mul_(keep).add_((1 - keep) * new)
        return value - value.detach()

    def extra_repr(self) -> str:
        return f"{self.units}, momentum={self.momentum}, baseline={self.baseline!r}"


class Pending:
    """What a forward pass leaves for the loss: taken once, and neither copied nor saved with its module."""

    def __init__(self) -> None:
        self._value: object = None

    def put(self, value) -> None:
        """Leave ``value``, in place of what was left before."""
        self._value = value

    def take(self):
        """What was left, or ``None``; it is gone afterwards."""
        value, self._value = self._value, None
        return value

    def __reduce__(self):
        return (Pending, ())
