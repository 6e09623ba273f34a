"""Errors and warnings that are written for their reader, and checks at the door."""

from __future__ import annotations

import importlib
import math
from types import ModuleType


class OnebitWarning(UserWarning):
    """Something works, but not as well as it could; the text says why."""


class MissingExtra(ImportError):
    """A package of an optional extra is not installed; the text gives the command that installs it."""


class Unsupported(ValueError):
    """A model or graph holds what a reader of the graph cannot handle; the text names it and says what to do."""


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import ``module`` or raise :class:`MissingExtra` in one sentence.

    Args:
        module: dotted import name.
        extra: the extra of onebit that brings it.
        purpose: what it is needed for, as a phrase: ``"reading YAML recipes"``.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(f"{purpose} needs {module}: pip install 'onebit[{extra}]' ({error})") from error


def check_range(name: str, value: float, low: float = -math.inf, high: float = math.inf) -> float:
    """``value`` if it is a finite number in ``[low, high]``, else ``ValueError`` naming argument, value and range."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        allowed = "finite" if low == -math.inf and high == math.inf else f"{low}..{high}"
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
    return value


def check_positive(name: str, value: float) -> float:
    """``value`` if it is a finite number above 0, else ``ValueError``."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")
    return value
