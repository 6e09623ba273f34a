"""Signs with a fixed gradient: straight-through, clipped, polynomial, swish."""

from __future__ import annotations

import torch
from torch import Tensor

from onebit.core.errors import check_positive
from onebit.nn.operators.base import Operator, sign
from onebit.nn.operators.registry import registry


@registry.register("identity")
class IdentitySTESign(Operator):
    """Sign with the identity as its backward function (straight-through estimator).

    Forward: ``y = +1 if x >= 0 else -1``. Backward: ``dL/dx = dL/dy``.

    Reference: [Bengio2013].

    Example:
        >>> IdentitySTESign()(torch.tensor([-2.0, 0.0, 0.5]))
        tensor([-1.,  1.,  1.])
    """

    def hard(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return sign(x)

    def gradient(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return torch.ones_like(x)

    def surrogate(self, x: Tensor) -> Tensor:
        """``x``."""
        return x


@registry.register("clipped")
class ClippedSTESign(Operator):
    """Sign whose gradient passes where ``|x| <= clip`` (the derivative of hard tanh, edge included).

    Forward: ``y = +1 if x >= 0 else -1``. Backward: ``dL/dx = dL/dy if |x| <= clip else 0``.

    Args:
        clip: above 0; 1 as in [Courbariaux2016].
        edge: whether the gradient passes at ``|x| = clip`` too. BiBench's linear layers of DoReFa-Net and XNOR-Net++
            leave the edge out.

    Reference: [Courbariaux2016].

    Example:
        >>> x = torch.tensor([-2.0, 0.5], requires_grad=True)
        >>> ClippedSTESign()(x).sum().backward()
        >>> x.grad
        tensor([0., 1.])
    """

    def __init__(self, clip: float = 1.0, edge: bool = True) -> None:
        super().__init__()
        self.clip = float(check_positive("clip", clip))
        self.edge = edge

    def hard(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return sign(x)

    def gradient(self, x: Tensor) -> Tensor:  # type: ignore[override]
        size = x.abs()
        return (size <= self.clip if self.edge else size < self.clip).to(x.dtype)

    def surrogate(self, x: Tensor) -> Tensor:
        """``clamp(x, -clip, clip)``."""
        return x.clamp(-self.clip, self.clip)

    def extra_repr(self) -> str:
        return f"clip={self.clip}"


@registry.register("polynomial")
class PolynomialSign(Operator):
    """Sign with the derivative of a piecewise polynomial: a triangle of area 2 on [-1, 1].

    Forward: ``y = +1 if x >= 0 else -1``. Backward: ``dL/dx = max(0, 2 - 2|x|) * dL/dy``.

    Reference: [Liu2018] (Bi-Real Net; also ReActNet, ReCU and BiPer activations; Larq's ``approx_sign``).

    Example:
        >>> PolynomialSign().gradient(torch.tensor([0.0, -0.25, 3.0]))
        tensor([2.0000, 1.5000, 0.0000])
    """

    def hard(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return sign(x)

    def gradient(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return (2 - 2 * x.abs()).clamp(min=0)

    def surrogate(self, x: Tensor) -> Tensor:
        """``2x + x^2`` on [-1, 0), ``2x - x^2`` on [0, 1), the sign outside."""
        z = x.clamp(-1, 1)
        return 2 * z - z * z.abs()


@registry.register("swish")
class SwishSign(Operator):
    """Sign with the derivative of a shifted swish.

    Forward: ``y = +1 if x >= 0 else -1``. Backward, with z = beta x and s the logistic function:
    ``dL/dx = beta (2 - z tanh(z/2)) / (1 + cosh z) * dL/dy``, computed as ``2 beta s(z) s(-z) (2 - z tanh(z/2))``,
    which does not overflow. The factor is slightly negative for ``|z| > 2.4``.

    Args:
        beta: above 0; 5 as in the paper.

    Reference: [Darabi2018].

    Example:
        >>> SwishSign().gradient(torch.tensor([0.0, 100.0]))
        tensor([5., -0.])
    """

    def __init__(self, beta: float = 5.0) -> None:
        super().__init__()
        self.beta = float(check_positive("beta", beta))

    def hard(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return sign(x)

    def gradient(self, x: Tensor) -> Tensor:  # type: ignore[override]
        z = self.beta * x
        return 2 * self.beta * torch.sigmoid(z) * torch.sigmoid(-z) * (2 - z * torch.tanh(z / 2))

    def surrogate(self, x: Tensor) -> Tensor:
        """``2 s(z) (1 + z (1 - s(z))) - 1`` with z = beta x."""
        z = self.beta * x
        return 2 * torch.sigmoid(z) * (1 + z * torch.sigmoid(-z)) - 1

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


def approx_sign(x: Tensor) -> Tensor:
    """Sign with backward ``max(0, 2 - 2|x|)``: :class:`PolynomialSign` as a function.

    Example:
        >>> approx_sign(torch.tensor([-0.0, -1.0]))
        tensor([ 1., -1.])
    """
    return _POLYNOMIAL(x)


_POLYNOMIAL = PolynomialSign()
