"""Text files of data sets, gzipped or not, read no further than they may be long."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

LONGEST = 32 << 20


def read_lines(path: Path, longest: int = LONGEST) -> list[str]:
    """The lines of a UTF-8 text file without their ends; only a line feed ends a line.

    Args:
        path: the file, gzipped or not.
        longest: bytes that it may have unpacked.

    Raises:
        ValueError: it is damaged, longer, or not UTF-8; the text names it.
    """
    try:
        with path.open("rb") as plain:
            gzipped = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if gzipped else path.open("rb") as file:
            data = file.read(longest + 1)  # a file may unpack to a thousand times its size
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is cut short or damaged: {error}") from error
    if len(data) > longest:
        raise ValueError(f"{path} must have at most {longest} bytes unpacked, got more")
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8 text, got byte {data[error.start]:#04x} at {error.start}") from None
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
