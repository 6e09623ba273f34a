"""From PyTorch programs to graphs, and what a model costs."""

from __future__ import annotations

from onebit.capture.program import from_torch

__all__ = ["from_torch"]
