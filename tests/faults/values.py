"""Numbers that break formulas, and comparisons that take NaN for equal to NaN."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

NAN, INF = float("nan"), float("inf")
DENORMAL, HUGE = 1e-45, 3e38

#: Every kind of float32 that a formula may trip over.
SPECIAL = [NAN, INF, -INF, 0.0, -0.0, DENORMAL, -DENORMAL, 1e-40, HUGE, -HUGE, 0.5, -0.5, 1.0]
FINITE = [value for value in SPECIAL if abs(value) < INF]


def same(a: Tensor, b: Tensor) -> bool:
    """Equal numbers in equal shapes; any NaN equals any NaN."""
    return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal shapes and float32 bits; any NaN equals any NaN."""
    equal = (a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b))
    return a.shape == b.shape and bool(equal.all())


def finite(tensor: Tensor | None) -> bool:
    """Whether there is a tensor and all of it is finite."""
    return tensor is not None and bool(torch.isfinite(tensor).all())


def gradients_finite(model: nn.Module) -> bool:
    """Whether every parameter that has a gradient has a finite one."""
    return all(finite(p.grad) for p in model.parameters() if p.grad is not None)
