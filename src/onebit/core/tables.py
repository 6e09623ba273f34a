"""Tables of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[int] = ()) -> str:
    """A table with a line under its head; columns stand to the left, those whose number is in ``right`` to the right.

    Example:
        >>> print(plain_table(["layer", "bits"], [["conv", 64], ["head", 7]], right=[1]))
        layer  bits
        -----------
        conv     64
        head      7
    """
    lines = [[str(cell) for cell in row] for row in [columns, *rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    aligned = set(right)
    text = [
        "  ".join(
            cell.rjust(w) if i in aligned else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([text[0], "-" * max(map(len, text)), *text[1:]])
