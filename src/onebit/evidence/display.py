"""What a person sees of a sweep: a bar that goes away and a line a cell, or a table that fills."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from onebit.evidence.sweep import Row


class Watcher(Protocol):
    """Is told what becomes of a sweep. ``stop`` follows ``start``, however the sweep ends."""

    def start(self, cells: int, found: Sequence[Row]) -> None:
        """The sweep begins: so many cells in all, and the rows that are there already."""
        ...

    def row(self, row: Row) -> None:
        """A cell is done, or has failed."""
        ...

    def stop(self) -> None: ...


class Lines:
    """A bar over the cells of a sweep, on terminals only, and lines above it.

    Args:
        shown: ``False``: nothing at all is printed.
        console: to print on; standard error by default.
    """

    def __init__(self, shown: bool = True, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, quiet=not shown)
        self.shown = shown

    def start(self, cells: int, found: Sequence[Row]) -> None:
        self.cells, self.done, self.failed = cells, len(found), 0
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not (self.shown and self.console.is_terminal),
        )
        self.task = self.bar.add_task("sweep", total=cells, completed=self.done, left=f"{cells - self.done} left")
        if self.done:
            self.console.print(f"{self.done} of {cells} cells are there already", soft_wrap=True)
        self.bar.start()

    def stop(self) -> None:
        self.bar.stop()

    def row(self, row: Row) -> None:
        self.done += 1
        self.failed += row.error is not None
        failed = f", {self.failed} failed" if self.failed else ""
        self.bar.update(self.task, completed=self.done, left=f"{self.cells - self.done} left{failed}")
        said = f"failed: {row.error}" if row.error is not None else f"{row.seconds:.1f} s"
        self.console.print(f"cell {self.done}/{self.cells}  {row.name}  {said}", soft_wrap=True, markup=False)


class LiveTable:
    """A table that fills while a sweep runs, and stays when it ends; without a terminal, the lines of :class:`Lines`.

    A field is the text of the finished cells that belong there, "…" as long as there is none, and "failed" where all
    that came failed. It is drawn four times a second, however often cells finish.

    Args:
        rows: names of the rows, in order.
        columns: names of the columns, in order.
        place: the names of row and column of a cell, from its settings; ``None``: it is counted but not shown.
        text: of the finished cells of one field, such as the mean over their seeds.
        title: above the table.
        console: to print on; standard error by default.
    """

    def __init__(
        self,
        rows: Sequence[str],
        columns: Sequence[str],
        place: Callable[[Row], tuple[str, str] | None],
        text: Callable[[Sequence[Row]], str],
        *,
        title: str = "",
        console: Console | None = None,
    ) -> None:
        self.rows, self.columns, self.place, self.text, self.title = list(rows), list(columns), place, text, title
        self.console = console or Console(stderr=True, highlight=False)
        self.lines = Lines(console=self.console)

    def start(self, cells: int, found: Sequence[Row]) -> None:
        self.cells, self.found, self.done, self.failed, self.began = cells, len(found), 0, 0, time.monotonic()
        self.fields: dict[tuple[str, str], list[Row]] = {}
        self.texts: dict[tuple[str, str], str] = {}
        for row in found:
            self._put(row)
        self.live: Live | None = None
        if self.console.is_terminal:
            self.live = Live(get_renderable=self._drawn, console=self.console, refresh_per_second=4)
            self.live.start()
        else:
            self.lines.start(cells, found)

    def row(self, row: Row) -> None:
        self.done += 1
        self.failed += row.error is not None
        self._put(row)
        if self.live is None:
            self.lines.row(row)
        elif row.error is not None:
            self.console.print(f"{row.name}  failed: {row.error}", soft_wrap=True, markup=False)

    def stop(self) -> None:
        if self.live is None:
            self.lines.stop()
        else:
            self.live.stop()

    def _put(self, row: Row) -> None:
        place = self.place(row)
        if place is None:
            return
        if row.error is None:
            there = self.fields.setdefault(place, [])
            there.append(row)
            self.texts[place] = self.text(there)
        else:
            self.texts.setdefault(place, "failed")

    def _drawn(self) -> Group:
        table = Table(title=self.title or None, title_justify="left")
        table.add_column("")
        for column in self.columns:
            table.add_column(Text(column), justify="right")
        for row in self.rows:
            table.add_row(Text(row), *(Text(self.texts.get((row, column), "…")) for column in self.columns))
        return Group(table, Text(self._footer()))

    def _footer(self) -> str:
        done, elapsed = self.found + self.done, time.monotonic() - self.began
        left = self.cells - done
        said = [f"{done} of {self.cells} cells done, {left} left"]
        if self.failed:
            said.append(f"{self.failed} failed")
        said.append(f"{_clock(elapsed)} elapsed")
        if left and self.done:
            said.append(f"about {_clock(elapsed / self.done * left)} left")
        return ", ".join(said)


def _clock(seconds: float) -> str:
    """
    Example:
        >>> _clock(3723.4)
        '1:02:03'
    """
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
