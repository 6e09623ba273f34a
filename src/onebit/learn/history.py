"""What happened in a training run, epoch by epoch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onebit.core.errors import UNREADABLE, reason, require
from onebit.core.files import atomic, write_text
from onebit.learn.evaluation import Metrics


@dataclass(frozen=True)
class Row:
    """One epoch.

    Args:
        epoch: 1-based.
        step: optimizer steps done after it.
        stage: 1-based.
        learning_rate: of its last step.
        loss, accuracy: means over the training examples as they were seen, penalties left out; accuracy 0..1, ``None``
            where the procedure has none.
        validation_loss, validation_accuracy: on the held-out examples at its end, ``None`` without any.
        flip_rate: share of the binary weights that are another bit at its end than at its start; ``None`` without any.
        seconds: its wall time, evaluation included.
        extra: further means that the procedure reports.
    """

    epoch: int
    step: int
    stage: int
    learning_rate: float
    loss: float
    accuracy: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    flip_rate: float | None = None
    seconds: float = 0.0
    extra: dict[str, float] = field(default_factory=dict)

    def line(self, epochs: int) -> str:
        """The row as one line of text."""
        parts = [f"epoch {self.epoch:>{len(str(epochs))}}/{epochs}", f"loss {self.loss:.4f}"]
        for name, value in (("accuracy", self.accuracy), ("validation", self.validation_accuracy)):
            if value is not None:
                parts.append(f"{name} {100 * value:.2f} %")
        if self.flip_rate is not None:
            parts.append(f"flips {100 * self.flip_rate:.2f} %")
        return "  ".join([*parts, f"lr {self.learning_rate:.2g}", f"{self.seconds:.1f} s"])


@dataclass(frozen=True)
class History:
    """The rows of a run and what came of it.

    Args:
        rows: one an epoch.
        stages: number of stages; only epochs of the last one can be the best.
        test: on the test part with the weights that remain; measured once, after training.
    """

    rows: tuple[Row, ...] = ()
    stages: int = 1
    test: Metrics | None = None

    @property
    def best(self) -> Row | None:
        """The row of the highest validation accuracy in the last stage, the first of equals; ``None`` without any."""
        return best(self.rows, self.stages)

    def save(self, path: str | Path) -> None:
        """Write JSON lines, one an epoch."""
        write_text(path, "".join(json.dumps(dataclasses.asdict(row)) + "\n" for row in self.rows))

    @classmethod
    def load(cls, path: str | Path, stages: int = 1, test: Metrics | None = None) -> History:
        """Read what :meth:`save` wrote; ``ValueError`` names a line that is no row."""
        rows = []
        for number, line in enumerate(Path(path).read_text().splitlines(), 1):
            try:
                rows.append(Row(**json.loads(line)))
            except UNREADABLE as error:
                raise ValueError(f"{path}, line {number}, is no row of a history: {reason(error)}") from None
        return cls(tuple(rows), stages, test)

    def plot(self, path: str | Path | None = None) -> Any:
        """Loss, accuracy and flip rate over epochs: a matplotlib figure, also written to ``path`` where given."""
        require("matplotlib", "train", "plotting a history")
        from matplotlib.figure import Figure

        curves: Sequence[tuple[str, dict[str, str]]] = (
            ("loss", {"training": "loss", "validation": "validation_loss"}),
            ("accuracy", {"training": "accuracy", "validation": "validation_accuracy"}),
            ("flip rate", {"binary weights": "flip_rate"}),
        )
        shown = [c for c in curves if any(getattr(row, f) is not None for row in self.rows for f in c[1].values())]
        figure = Figure(figsize=(4.2 * max(1, len(shown)), 3.2), layout="constrained")
        axes = figure.subplots(1, max(1, len(shown)), squeeze=False)[0]
        for axis, (title, fields) in zip(axes, shown):
            for label, name in fields.items():
                points = [(row.epoch, getattr(row, name)) for row in self.rows if getattr(row, name) is not None]
                if points:
                    axis.plot(*zip(*points), label=label, marker="." if len(points) < 30 else None)
            axis.set(title=title, xlabel="epoch")
            axis.grid(alpha=0.3)
            axis.legend()
        if path is not None:
            with atomic(path) as part:
                figure.savefig(part, format=Path(path).suffix[1:] or None)
        return figure


def best(rows: Sequence[Row], stages: int = 1) -> Row | None:
    """The row of the highest validation accuracy in stage ``stages``, the first of equals."""
    candidates = [row for row in rows if row.stage == stages and row.validation_accuracy is not None]
    return max(candidates, key=lambda row: (row.validation_accuracy or 0.0, -row.epoch), default=None)


def exhausted(rows: Sequence[Row], stages: int, patience: int | None) -> bool:
    """Whether ``patience`` epochs have passed since the best."""
    top = best(rows, stages)
    return patience is not None and top is not None and rows[-1].epoch - top.epoch >= patience
