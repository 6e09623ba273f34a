"""Tables of plain text, and of Markdown."""

from __future__ import annotations

import re
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


# What Markdown would take for something else; an underscore inside a word stays one.
_SPECIAL = re.compile(r"[\\`*<\[\]|~&]|(?<![^\W_])_|_(?![^\W_])")


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The same table in Markdown: the first column to the left, the others to the right; a cell is one line of text.

    Example:
        >>> print(markdown_table(["layer", "bits"], [["conv", 64], ["a|b", 7]]))
        | layer | bits |
        | --- | ---: |
        | conv | 64 |
        | a\\|b | 7 |
    """
    rule = ["---", *["---:"] * (len(columns) - 1)]
    lines = [[plain_markdown(str(cell)) for cell in row] for row in [columns, *rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def plain_markdown(text: str) -> str:
    """Markdown that shows ``text`` as it stands, in one line.

    Example:
        >>> print(plain_markdown("a_b *c* |d|"))
        a_b \\*c\\* \\|d\\|
    """
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
