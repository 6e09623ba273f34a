"""What commands print: tables for people, JSON for machines, progress and notes on standard error."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def print_json(value: Any) -> None:
    """Print ``value`` (dataclasses, arrays, paths included) as JSON; a number that is not finite becomes ``null``."""
    print(json.dumps(plain(value), indent=2, allow_nan=False))


def plain(value: Any) -> Any:
    """``value`` in the types that JSON has.

    Example:
        >>> plain({"a": (1, float("nan")), "b": Path("x")})
        {'a': [1, None], 'b': 'x'}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], notes: Sequence[str] = ()) -> None:
    """Print a table: the first column to the left, the others to the right, notes below it.

    A column whose name is given as ``<name>`` stands to the left as well. A table without any name has no head.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names = [name.strip("<>") for name in columns]
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_header=any(names),
    )
    for i, name in enumerate(names):
        left = i == 0 or columns[i].startswith("<")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    # Into a file or a pipe, a table keeps the width it needs rather than that of a terminal nobody looks at.
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    with console.capture() as printed:
        console.print(table)
        for note in notes:
            console.print(Text(note))
    # Cells are filled up to the width of their column, the last one too: nobody wants that in a file.
    print("\n".join(line.rstrip() for line in printed.get().splitlines()))


def packed_file(path: Path) -> Path:
    """``path`` if it can be a packed file, else ``ValueError`` in one sentence."""
    if path.is_dir():
        raise ValueError(f"FILE must be a packed file, got the folder {path}; onebit pack makes a file of a run folder")
    if not path.exists():
        raise ValueError(f"FILE must be a packed file, and {path} does not exist")
    return path


def note(text: str) -> None:
    """One line for the person, on standard error, so that standard output stays clean for machines."""
    print(text, file=sys.stderr)


@contextmanager
def progress(label: str, total: int | None = None, quiet: bool = False) -> Iterator[Any]:
    """A progress bar on standard error while the block runs; call what it gives to advance by one (or ``n``).

    Args:
        label: what is being done.
        total: steps; ``None`` where nobody knows.
        quiet: show nothing.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}" if total else ""),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda n=1: bar.advance(task, n)


def in_bytes(count: float) -> str:
    """A file size for people, in powers of 1024.

    Example:
        >>> in_bytes(512), in_bytes(6400), in_bytes(3 * 1024**2)
        ('512 B', '6.2 KiB', '3.0 MiB')
    """
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def in_seconds(seconds: float) -> str:
    """A duration for people.

    Example:
        >>> in_seconds(3.2e-6), in_seconds(0.00123), in_seconds(2.5)
        ('3.2 us', '1.23 ms', '2.5 s')
    """
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def in_count(count: float) -> str:
    """A number of operations or values for people.

    Example:
        >>> in_count(999), in_count(12_345), in_count(1.5e9)
        ('999', '12.3 k', '1.5 G')
    """
    for unit in ("", " k", " M", " G"):
        if count < 1000 or unit == " G":
            return f"{count:.0f}" if not unit else f"{count:.3g}{unit}"
        count /= 1000
    raise AssertionError
