"""Where a training run stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a training run stands; handed to ``on_progress`` of every module with a schedule, each step.

    Args:
        step: optimiser steps done, 0..steps.
        steps: optimiser steps in all.
        epoch: epochs completed, 0..epochs.
        epochs: epochs in all.
        stage: 1-based stage of a training in several stages.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    stage: int = 1

    @property
    def fraction(self) -> float:
        """Share of the steps done, 0..1; 1 for an empty run."""
        return self.step / self.steps if self.steps else 1.0

    @classmethod
    def complete(cls, stage: int = 1) -> Progress:
        """Training complete: what a module is told a last time before evaluation or packing."""
        return cls(1, 1, 1, 1, stage)
