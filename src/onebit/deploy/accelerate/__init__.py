"""The engine inside PyTorch: layers of bits in eval mode that run as custom operators."""

from __future__ import annotations

from onebit.deploy.accelerate.report import AccelerationReport, AccelerationRow
from onebit.deploy.accelerate.swap import accelerate_, decelerate_

__all__ = ["AccelerationReport", "AccelerationRow", "accelerate_", "decelerate_"]
