"""From PyTorch programs to graphs, and what a model costs."""

from __future__ import annotations

from onebit.capture.program import from_torch
from onebit.capture.summary import LayerCost, Summary, summary

__all__ = ["LayerCost", "Summary", "from_torch", "summary"]
