"""JSON lines that grow one at a time, each whole or not there."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onebit.core.files import sync_folder


def read(path: str | Path) -> list[Any]:
    """The values in ``path``, one a line; empty where there is no file.

    A last line without its end is what a killed writer left: it is passed over, and :func:`append` removes it.

    Raises:
        ValueError: another line is no JSON; the text gives its number.
    """
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        return []
    values = []
    for number, line in enumerate(text.split(b"\n")[:-1], 1):
        try:
            values.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}, is no JSON: {error}") from None
    return values


_WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def encode(value: Any) -> Any:
    """``value`` with numbers that are not finite as the words ``"inf"``, ``"-inf"``, ``"nan"``, which JSON has.

    Example:
        >>> decode(encode({"loss": [0.5, float("inf")]}))
        {'loss': [0.5, inf]}
    """
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def decode(value: Any) -> Any:
    """What :func:`encode` was given, tuples as lists."""
    if isinstance(value, dict):
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value


def append(path: str | Path, value: Any) -> None:
    """Add ``value`` as one line; once this returns, the line is on the disk.

    Raises:
        OSError: it cannot be written; the file is as it was, and the error names it.
        ValueError: ``value`` is no JSON value, or holds a number that is not finite.
    """
    line = json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    path = Path(path)
    new = not path.exists()
    with path.open("ab+", buffering=0) as file:
        size = _whole(file)
        try:
            if size < file.seek(0, os.SEEK_END):
                file.truncate(size)
            rest = memoryview(line)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                file.truncate(size)
                if new:
                    path.unlink()
            raise OSError(error.errno, error.strerror, str(path)) from error
    if new:
        sync_folder(path.parent)


def _whole(file: io.FileIO) -> int:
    """The size of the file up to the end of its last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 4096)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
