"""The report: one static site of everything measured so far, which works from disk."""

from __future__ import annotations

from onebit.evidence.site.build import build

__all__ = ["build"]
