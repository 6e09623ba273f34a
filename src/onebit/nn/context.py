"""Side inputs - padding masks, task ids, per-example losses - that reach layers without passing through ``forward``.

A trainer opens the context around the forward pass; a layer asks for what it needs and works without it:

    with onebit.nn.context(padding_mask=mask):
        output = model(x)                    # inside a layer: nn.context.get("padding_mask") -> mask or None

Contexts nest; the inner value wins. They are per thread and per async task.
"""

from __future__ import annotations

import contextvars
from types import MappingProxyType, TracebackType
from typing import Any

_values: contextvars.ContextVar[MappingProxyType[str, Any]] = contextvars.ContextVar(
    "onebit_side_inputs", default=MappingProxyType({})
)


class context:
    """Give side inputs to every layer called inside the ``with`` block.

    Args:
        **values: side inputs by name. ``None`` hides a value of an outer context.

    Example:
        >>> with context(task_ids=3):
        ...     with context(padding_mask=None):
        ...         context.get("task_ids")
        3
        >>> context.get("task_ids") is None
        True
    """

    def __init__(self, **values: Any) -> None:
        self._given = values
        self._tokens: list[contextvars.Token[MappingProxyType[str, Any]]] = []

    def __enter__(self) -> context:
        self._tokens.append(_values.set(MappingProxyType({**_values.get(), **self._given})))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _values.reset(self._tokens.pop())

    @staticmethod
    def get(name: str, default: Any = None) -> Any:
        """The side input called ``name``, or ``default`` outside any context that gives it."""
        value = _values.get().get(name, default)
        return default if value is None else value
