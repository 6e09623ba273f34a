"""Operators with noise inside: noisy threshold, stochastic times smooth, noisy rectifier, noisy sigmoid."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from onebit.core.errors import check_positive, check_range
from onebit.core.registry import Registry, unknown
from onebit.nn.operators.base import Operator, apply

EVAL_MODES = ("threshold", "mean", "sample")
NOISES = ("logistic", "gaussian", "none")


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """``value`` if it is one of ``allowed``, else ``ValueError``."""
    if value not in allowed:
        raise ValueError(unknown(f"{name}:", value, allowed))
    return value


class StochasticOperator(Operator):
    """An operator of its input and of noise, ``y = hard(x, u)``, and ``dL/dx = gradient(x, u) * dL/dy`` backward.

    In training, noise ``u`` of the shape of ``x`` is drawn at each call and handed to both as state: given the noise
    it is an ordinary operator. In evaluation it is a function without noise, unless samples are asked for, so that
    what is measured can be measured again.

    Args:
        eval_mode: in evaluation: ``"threshold"`` (:meth:`settled`), ``"mean"`` (:meth:`mean`, with its own
            derivative) or ``"sample"`` (as in training).
        generator: the random stream; ``None``: PyTorch's own. One of the device of ``x``.

    Shape: any to the same, floating point.
    """

    eval_modes: ClassVar[tuple[str, ...]] = EVAL_MODES
    threshold: Tensor

    def __init__(self, eval_mode: str = "threshold", generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.eval_mode = check_choice("eval_mode", eval_mode, self.eval_modes)
        self.generator = generator
        self.register_buffer("threshold", torch.zeros(()))

    def noise(self, x: Tensor) -> Tensor:
        """What :meth:`hard` needs of chance: uniform on [0, 1) unless the operator says otherwise.

        At least float32: 16-bit numbers are too coarse for the chance of rare events.
        """
        return torch.rand(x.shape, dtype=fine(x.dtype), device=x.device, generator=self.generator)

    def hard(self, x: Tensor, u: Tensor) -> Tensor:  # type: ignore[override]
        """The value with noise ``u``."""
        raise TypeError(f"{type(self).__name__} does not define hard(x, u)")

    def gradient(self, x: Tensor, u: Tensor) -> Tensor:  # type: ignore[override]
        """The factor of the incoming gradient with noise ``u``."""
        raise TypeError(f"{type(self).__name__} does not define gradient(x, u)")

    def mean(self, x: Tensor) -> Tensor:
        """``E[y]``."""
        raise TypeError(f"{type(self).__name__} does not define mean(x)")

    def active(self, x: Tensor) -> Tensor:
        """``P(y != 0)``."""
        raise TypeError(f"{type(self).__name__} does not define active(x)")

    def value(self, x: Tensor) -> Tensor:
        """``y`` where it is not 0, for operators whose ``y`` takes two values."""
        raise TypeError(f"{type(self).__name__} takes more than two values")

    def settled(self, x: Tensor, threshold: Tensor) -> Tensor:
        """The value without noise; units are on where ``x >= threshold``."""
        raise TypeError(f"{type(self).__name__} does not define settled(x, threshold)")

    def forward(self, x: Tensor) -> Tensor:
        if self.training or self.eval_mode == "sample":
            return apply(self, x, self.noise(x))
        return self.mean(x) if self.eval_mode == "mean" else self.settled(x, self.threshold)

    def extra_repr(self) -> str:
        return f"eval_mode={self.eval_mode!r}"


def fine(dtype: torch.dtype) -> torch.dtype:
    """``dtype``, float32 where that has fewer bits."""
    return torch.promote_types(dtype, torch.float32)


def gaussian(x: Tensor, std: float, generator: torch.Generator | None) -> Tensor:
    """Normal numbers in the shape and dtype of ``x``."""
    return std * torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)


stochastic_registry: Registry[type[StochasticOperator]] = Registry("stochastic operator")


def normal_cdf(x: Tensor) -> Tensor:
    """The distribution function of the standard normal distribution."""
    return torch.special.ndtr(x)


def normal_density(x: Tensor) -> Tensor:
    """The density of the standard normal distribution."""
    return torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


@stochastic_registry.register("noisy-threshold")
class NoisyThreshold(StochasticOperator):
    """A threshold on a noisy input: with logistic noise a Bernoulli unit of probability ``sigmoid(x / std)``.

    Forward: ``y = 1 if x + z >= 0 else 0``; with F the distribution function of z, ``P(y = 1) = F(x)``. Drawn as
    ``u < F(x)`` with uniform u. Backward: ``dL/dx = dL/dy`` (straight-through), or times the density ``F'(x)``.

    If the loss is linear in each unit, the slope ``"density"`` is unbiased and ``"identity"`` is the gradient divided
    by ``F'(x)``: the right sign, a larger step. Neither is so for other losses.

    In evaluation: 1 where ``x >= threshold`` (a buffer, 0 at first).

    Args:
        noise: ``"logistic"``, ``"gaussian"``, or ``"none"`` for the hard threshold.
        std: the scale of z, above 0: of the normal distribution its standard deviation.
        slope: ``"identity"`` or ``"density"``; for ``"none"`` the density is that of the logistic distribution.
        eval_mode, generator: of :class:`StochasticOperator`.

    Reference: [Bengio2013].

    Example:
        >>> unit = NoisyThreshold(generator=torch.Generator().manual_seed(0))
        >>> unit(torch.zeros(1000)).mean().sub(0.5).abs() < 0.05
        tensor(True)
        >>> unit.eval()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0., 1., 1.])
    """

    def __init__(
        self,
        noise: str = "logistic",
        std: float = 1.0,
        slope: str = "identity",
        eval_mode: str = "threshold",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(eval_mode, generator)
        self.law, self.std = check_choice("noise", noise, NOISES), float(check_positive("std", std))
        self.slope = check_choice("slope", slope, ("identity", "density"))

    def noise(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape) if self.law == "none" else super().noise(x)

    def hard(self, x: Tensor, u: Tensor) -> Tensor:  # type: ignore[override]
        return ((x >= 0) if self.law == "none" else (u < self.active(x))).to(x.dtype)

    def gradient(self, x: Tensor, u: Tensor) -> Tensor:  # type: ignore[override]
        if self.slope == "identity":
            return torch.ones_like(x)
        z = x / self.std
        return (normal_density(z) if self.law == "gaussian" else torch.sigmoid(z) * torch.sigmoid(-z)) / self.std

    def active(self, x: Tensor) -> Tensor:
        if self.law == "none":
            return (x >= 0).to(x.dtype)
        return normal_cdf(x / self.std) if self.law == "gaussian" else torch.sigmoid(x / self.std)

    def mean(self, x: Tensor) -> Tensor:
        """``F(x)``."""
        return self.active(x)

    def value(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)

    def settled(self, x: Tensor, threshold: Tensor) -> Tensor:
        return (x >= threshold).to(x.dtype)

    def extra_repr(self) -> str:
        return f"noise={self.law!r}, std={self.std}, slope={self.slope!r}"


@stochastic_registry.register("stochastic-times-smooth")
class StochasticTimesSmooth(StochasticOperator):
    """A binary variable times a smooth function, so that a gradient flows through the second: ``E[y] = sigmoid(x)``.

    With ``p = sigmoid(x)`` and ratio r: forward ``y = b p^(1-r)``, ``b ~ Bernoulli(p^r)``. Backward b is a constant:
    ``dL/dx = b (1-r) p^(1-r) (1-p) dL/dy``. Its mean is ``(1-r) p (1-p)``, which for r = 1/2 is half of the derivative
    of ``E[y]``: how p moves the probability is left out.

    ``P(y > 0) = p^r``, ``Var y = p^(2-r) - p^2``; for a differentiable f ``E f(y) = f(p) + o(sqrt p)`` at r = 1/2.

    In evaluation: ``p^(1-r)`` where ``x >= threshold``, else 0.

    Args:
        ratio: r, between 0 and 1; 1/2 is the paper's.
        sample_with: ``"root"`` (p^r), or ``"p"`` to draw b with probability p, as the code of the paper's experiments
            did: then ``E[y] = p^(2-r)``.
        eval_mode, generator: of :class:`StochasticOperator`.

    Reference: [Bengio2013].

    Example:
        >>> unit = StochasticTimesSmooth(eval_mode="mean").eval()
        >>> unit(torch.zeros(1)), unit.active(torch.tensor([-math.log(3)]))
        (tensor([0.5000]), tensor([0.5000]))
    """

    def __init__(
        self,
        ratio: float = 0.5,
        sample_with: str = "root",
        eval_mode: str = "threshold",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(eval_mode, generator)
        self.ratio = float(check_range("ratio", ratio, 0, 1))
        self.sample_with = check_choice("sample_with", sample_with, ("root", "p"))

    def hard(self, x: Tensor, u: Tensor) -> Tensor:  # type: ignore[override]
        return torch.where(u < self.active(x), self.value(x), torch.zeros_like(x))

    def gradient(self, x: Tensor, u: Tensor) -> Tensor:  # type: ignore[override]
        return self.hard(x, u) * (1 - self.ratio) * torch.sigmoid(-x)

    def active(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x) ** (self.ratio if self.sample_with == "root" else 1)

    def value(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x) ** (1 - self.ratio)

    def mean(self, x: Tensor) -> Tensor:
        """``sigmoid(x)``; its power ``2 - r`` where b is drawn with p."""
        return self.active(x) * self.value(x)

    def settled(self, x: Tensor, threshold: Tensor) -> Tensor:
        return (x >= threshold).to(x.dtype) * self.value(x)

    def extra_repr(self) -> str:
        return f"ratio={self.ratio}, sample_with={self.sample_with!r}"


@stochastic_registry.register("noisy-rectifier")
class NoisyRectifier(StochasticOperator):
    """A rectifier of a noisy input.

    Forward: ``y = max(0, x + z)``. Backward: ``dL/dx = dL/dy if x + z > 0 else 0``.

    Logistic noise of scale s: ``P(y > 0) = sigmoid(x/s)``, ``E[y] = s log(1 + exp(x/s))``. Gaussian:
    ``P(y > 0) = Phi(x/s)``, ``E[y] = x Phi(x/s) + s phi(x/s)``. In evaluation: ``max(0, x)``.

    Args:
        noise: ``"gaussian"``, ``"logistic"``, or ``"none"`` for the plain rectifier.
        std: s, above 0.
        eval_mode, generator: of :class:`StochasticOperator`.

    Reference: [Bengio2013].

    Example:
        >>> NoisyRectifier("logistic", eval_mode="mean").eval()(torch.zeros(1))  # ln 2
        tensor([0.6931])
    """

    def __init__(
        self,
        noise: str = "gaussian",
        std: float = 1.0,
        eval_mode: str = "threshold",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(eval_mode, generator)
        self.law, self.std = check_choice("noise", noise, NOISES), float(check_positive("std", std))

    def noise(self, x: Tensor) -> Tensor:
        """z, not a uniform number."""
        if self.law == "none":
            return x.new_zeros(x.shape)
        if self.law == "gaussian":
            return gaussian(x, self.std, self.generator)
        return (self.std * torch.logit(super().noise(x))).to(x.dtype)

    def hard(self, x: Tensor, z: Tensor) -> Tensor:  # type: ignore[override]
        return torch.relu(x + z)

    def gradient(self, x: Tensor, z: Tensor) -> Tensor:  # type: ignore[override]
        return (x + z > 0).to(x.dtype)

    def active(self, x: Tensor) -> Tensor:
        if self.law == "none":
            return (x > 0).to(x.dtype)
        return normal_cdf(x / self.std) if self.law == "gaussian" else torch.sigmoid(x / self.std)

    def mean(self, x: Tensor) -> Tensor:
        """The closed forms above."""
        if self.law == "none":
            return torch.relu(x)
        z = x / self.std
        if self.law == "gaussian":
            return x * normal_cdf(z) + self.std * normal_density(z)
        return self.std * softplus(z)

    def settled(self, x: Tensor, threshold: Tensor) -> Tensor:
        return torch.relu(x)

    def extra_repr(self) -> str:
        return f"noise={self.law!r}, std={self.std}"


@stochastic_registry.register("noisy-sigmoid")
class NoisySigmoid(StochasticOperator):
    """A sigmoid of an input with Gaussian noise: never 0, the smooth baseline of the others.

    Forward: ``y = sigmoid(x + z)``. Backward: ``dL/dx = y (1 - y) dL/dy``. In evaluation: ``sigmoid(x)``.

    Args:
        std: standard deviation of z, 0 or more; 0 is the plain sigmoid.
        eval_mode: ``"threshold"`` or ``"sample"``: the mean has no closed form.
        generator: of :class:`StochasticOperator`.

    Reference: [Bengio2013].

    Example:
        >>> NoisySigmoid(std=0.0)(torch.zeros(1))
        tensor([0.5000])
    """

    eval_modes = ("threshold", "sample")

    def __init__(
        self, std: float = 1.0, eval_mode: str = "threshold", generator: torch.Generator | None = None
    ) -> None:
        super().__init__(eval_mode, generator)
        self.std = float(check_range("std", std, 0))

    def noise(self, x: Tensor) -> Tensor:
        """z, not a uniform number."""
        if self.std == 0:
            return x.new_zeros(x.shape)
        return gaussian(x, self.std, self.generator)

    def hard(self, x: Tensor, z: Tensor) -> Tensor:  # type: ignore[override]
        return torch.sigmoid(x + z)

    def gradient(self, x: Tensor, z: Tensor) -> Tensor:  # type: ignore[override]
        return torch.sigmoid(x + z) * torch.sigmoid(-x - z)

    def active(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)

    def settled(self, x: Tensor, threshold: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def extra_repr(self) -> str:
        return f"std={self.std}"
