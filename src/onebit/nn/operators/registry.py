"""Operators by name."""

from __future__ import annotations

from onebit.core.registry import Registry
from onebit.nn.operators.base import Operator

registry: Registry[type[Operator]] = Registry("operator")


def build(operator: str | Operator) -> Operator:
    """The operator of that name with its default settings, or the operator itself.

    Raises:
        KeyError: the name is unknown; the text lists the known ones.
    """
    return operator if isinstance(operator, Operator) else registry[operator]()
