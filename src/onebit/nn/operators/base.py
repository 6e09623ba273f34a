"""An operator: a hard elementwise function with a chosen derivative for the backward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onebit.nn.ops import sign_of


class _Hard(torch.autograd.Function):
    """Forward ``operator.hard(x, *state)``, backward ``operator.gradient(x, *state) * g``: the function of all
    operators.

    The state comes as arguments, never through the module, so that a vmapped ensemble sees each member's own. There is
    no ``jvp`` (with one, ``torch.compile(fullgraph=True)`` fails): Hessians are reverse over reverse.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(operator: Operator, x: Tensor, *state: Tensor) -> Tensor:  # type: ignore[override]
        return operator.hard(x, *state)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        operator, *tensors = inputs
        ctx.operator = operator
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        x, *state = ctx.saved_tensors
        return (None, number_or_zero(ctx.operator.gradient(x, *state)) * grad, *[None] * len(state))


# torch.compile without gradients takes a forward with *state for one with a context, unless it counts one state: so
# each number of states has a forward that names them


class _Hard0(_Hard):
    @staticmethod
    def forward(operator: Operator, x: Tensor) -> Tensor:  # type: ignore[override]
        return operator.hard(x)


class _Hard1(_Hard):
    @staticmethod
    def forward(operator: Operator, x: Tensor, first: Tensor) -> Tensor:  # type: ignore[override]
        return operator.hard(x, first)


class _Hard2(_Hard):
    @staticmethod
    def forward(operator: Operator, x: Tensor, first: Tensor, second: Tensor) -> Tensor:  # type: ignore[override]
        return operator.hard(x, first, second)


class Operator(nn.Module):
    """Elementwise ``y = hard(x)`` forward, ``dL/dx = gradient(x) * dL/dy`` backward.

    A subclass defines :meth:`hard` and :meth:`gradient`, and ``surrogate``, the function whose derivative the gradient
    is. What changes during training lives in buffers that :meth:`state` hands to both; plain numbers fixed at
    construction are attributes. Neither method may read a buffer or parameter through ``self``.

    Conventions: ``sign(0) = sign(-0.0) = +1``, ``sign(NaN) = -1``, ``step(0) = 1``. Backward a factor that is NaN
    counts as 0, so that a finite incoming gradient stays finite: NaN lies outside every window.

    Shapes: any; ``y`` has the shape and dtype of ``x`` (floating point).
    """

    def hard(self, x: Tensor, *state: Tensor) -> Tensor:
        """The value."""
        raise TypeError(f"{type(self).__name__} does not define hard(x, *state)")

    def gradient(self, x: Tensor, *state: Tensor) -> Tensor:
        """The factor that multiplies the incoming gradient; itself differentiable."""
        raise TypeError(f"{type(self).__name__} does not define gradient(x, *state)")

    def state(self) -> tuple[Tensor, ...]:
        """The buffers that :meth:`hard` and :meth:`gradient` depend on."""
        return ()

    def forward(self, x: Tensor) -> Tensor:
        return apply(self, x, *self.state())


def apply(operator: Operator, x: Tensor, *state: Tensor) -> Tensor:
    """``operator.hard(x, *state)`` with its gradient; while exporting, the value alone."""
    if torch.compiler.is_exporting():
        return operator.hard(x, *state)
    function = (_Hard0, _Hard1, _Hard2)[len(state)] if len(state) < 3 else _Hard
    return function.apply(operator, x, *state)  # type: ignore[no-any-return]


def sign(x: Tensor) -> Tensor:
    """``+1 if x >= 0 else -1``, no gradient: the operator ``onebit::sign`` while exporting, ordinary code otherwise."""
    return torch.ops.onebit.sign(x) if torch.compiler.is_exporting() else sign_of(x)


def number_or_zero(factor: Tensor) -> Tensor:
    """``factor`` with 0 for NaN: what a formula gives at NaN, or far out where it is a 0 times an infinity."""
    return torch.nan_to_num(factor, nan=0.0)


def in_dtype(value: Tensor, x: Tensor) -> Tensor:
    """``value`` in the dtype of ``x``; no conversion, and so no node in an exported program, where it has it
    already."""
    return value if value.dtype == x.dtype else value.to(x.dtype)
