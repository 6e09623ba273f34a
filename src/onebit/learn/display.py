"""What a person sees of a training run: a bar that goes away and a line an epoch."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Display:
    """A bar over the steps of the run, on terminals only, and lines above it.

    Args:
        steps: in all.
        shown: ``False``: nothing at all is printed.
    """

    def __init__(self, steps: int, shown: bool) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=not shown)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
        )
        self.bar = Progress(
            *columns,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not (shown and self.console.is_terminal),
        )
        self.task = self.bar.add_task("training", total=steps, loss="")

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    @property
    def live(self) -> bool:
        """Whether there is a bar to move."""
        return not self.bar.disable

    def at(self, step: int, loss: str = "") -> None:
        """Move the bar to ``step``."""
        self.bar.update(self.task, completed=step, loss=loss)

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, soft_wrap=True)
