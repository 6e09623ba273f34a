"""Docstrings as blocks of HTML: paragraphs, lists, tables, code."""

from __future__ import annotations

import inspect
import re
from html import escape
from typing import Any

ENDS = re.compile(r"^(Args|Shape|Shapes|Returns|Raises|Attributes|Example|Examples|References?)s?:", re.M)


def blocks(item: Any) -> list[str]:
    """What a docstring says before its arguments, a block of HTML each: what the thing is, and its formula."""
    text = inspect.getdoc(item) or ""
    end = ENDS.search(text)
    return [_block(part) for part in re.split(r"\n\s*\n", text[: end.start()] if end else text) if part.strip()]


def _block(part: str) -> str:
    lines = part.strip("\n").splitlines()
    if all(line.lstrip().startswith("|") for line in lines):
        return _table(lines)
    if lines[0].lstrip().startswith("- "):
        items = re.split(r"(?:^|\n)\s*- ", part.strip())[1:]
        return f"<ul>{''.join(f'<li>{inline(item)}</li>' for item in items)}</ul>"
    return f"<p>{inline(part)}</p>"


def _table(lines: list[str]) -> str:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    rows = [row for row in rows if not all(set(cell) <= set("-: ") for cell in row) or not any(row)]
    head = "".join(f"<th>{inline(cell)}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{inline(cell)}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f'<div class="wide"><table class="left"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def inline(text: str) -> str:
    """One run of text: code between backticks, names of roles left out.

    Example:
        >>> inline("``y = x < 0`` as in :class:`Operator`")
        '<code>y = x &lt; 0</code> as in <code>Operator</code>'
    """
    text = escape(" ".join(text.split()), quote=False)
    text = re.sub(r":\w+:`~?([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"``([^`]+)``|`([^`]+)`", lambda found: f"<code>{found[1] or found[2]}</code>", text)
