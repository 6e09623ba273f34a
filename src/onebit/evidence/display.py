"""What a person sees of a sweep: a bar that goes away, and a line a cell."""

from __future__ import annotations

import contextlib

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Display(contextlib.AbstractContextManager):
    """A bar over the cells of a sweep, on terminals only, and lines above it.

    Args:
        cells: in all.
        done: of them, before this start.
        shown: ``False``: nothing at all is printed.
    """

    def __init__(self, cells: int, done: int, shown: bool) -> None:
        self.cells, self.done, self.failed = cells, done, 0
        self.console = Console(stderr=True, highlight=False, quiet=not shown)
        left = TextColumn("{task.fields[left]}")
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            left,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not (shown and self.console.is_terminal),
        )
        self.task = self.bar.add_task("sweep", total=cells, completed=done, left=f"{cells - done} left")
        if done:
            self.console.print(f"{done} of {cells} cells are there already", soft_wrap=True)

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def row(self, name: str, error: str | None, seconds: float) -> None:
        """Show that a cell is done, or has failed."""
        self.done += 1
        self.failed += error is not None
        failed = f", {self.failed} failed" if self.failed else ""
        self.bar.update(self.task, completed=self.done, left=f"{self.cells - self.done} left{failed}")
        said = f"failed: {error}" if error is not None else f"{seconds:.1f} s"
        self.console.print(f"cell {self.done}/{self.cells}  {name}  {said}", soft_wrap=True, markup=False)
