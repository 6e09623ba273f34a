"""The table of rules, by name of the operator."""

from __future__ import annotations

from collections.abc import Callable

from onebit.capture.builder import Rule

#: name of an operator, such as ``"aten.relu.default"`` -> ``rule(builder, *args, **kwargs)``
rules: dict[str, Rule] = {}

#: Operators without tensors that make a constant of the shape they are given.
CREATES = {
    f"aten.{name}"
    for name in (
        "zeros.default",
        "ones.default",
        "full.default",
        "new_zeros.default",
        "new_ones.default",
        "new_full.default",
    )
} | {"aten.zeros_like.default", "aten.ones_like.default", "aten.full_like.default", "aten.scalar_tensor.default"}

#: Operators that commute with repeating their inputs along an axis, unless that axis is the one they work on: a
#: constant that is repeated along a dynamic size stays one.
MOVES = {
    f"aten.{name}"
    for name in (
        *("add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor", "neg.default", "abs.default", "rsub.Scalar"),
        *(f"{op}.{kind}" for op in ("eq", "ne", "lt", "le", "gt", "ge") for kind in ("Tensor", "Scalar")),
        *("logical_and.default", "logical_or.default", "logical_not.default", "bitwise_not.default"),
        *(f"{op}.Tensor" for op in ("__and__", "__or__", "bitwise_and", "bitwise_or")),
        *("where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar", "masked_fill.Scalar"),
        *("_to_copy.default", "to.dtype", "clone.default", "expand.default", "view.default", "reshape.default"),
        *("unsqueeze.default", "squeeze.dim", "squeeze.dims", "permute.default", "transpose.int", "slice.Tensor"),
        *("select.int", "cumsum.default", "diff.default", "index.Tensor", "cos.default", "sin.default", "exp.default"),
        *("cat.default", "pow.Tensor_Scalar", "clamp.default", "maximum.default", "minimum.default"),
    )
}


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Decorator: the function is the rule of these operators; results of operators with one output come back bare."""

    def keep(function: Rule) -> Rule:
        for operator in operators:
            if operator in rules:
                raise ValueError(f"{operator} has a rule already")
            rules[operator] = function
        return function

    return keep
