"""Adult: who earns more than 50,000 dollars a year, in the binary form that LIBSVM publishes."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import torch

from onebit.core.errors import shown
from onebit.data.dataset import Dataset, Split, registry
from onebit.data.lines import read_lines
from onebit.data.sources import Remote, Sources

FEATURES = 123
FILES = (("a7a", 16_100), ("a7a.t", 16_461))
_ROW = re.compile(r"([+-]1)((?: [1-9][0-9]{0,8}:1)*) *", re.ASCII)


def read(path: Path, count: int, features: int = FEATURES) -> Split:
    """A file of rows ``LABEL INDEX:1 INDEX:1 ...`` in LIBSVM's sparse form, every value 0 or 1.

    Args:
        path: the file, gzipped or not.
        count: rows it must have.
        features: indices are 1..features and ascend within a row.

    Returns:
        features ``(count, features)`` float32, 0 or 1, and labels, -1 as 0 and +1 as 1.

    Raises:
        ValueError: it holds anything else; the text names the line.
    """
    lines = read_lines(path)
    if len(lines) != count:
        raise ValueError(f"{path} must have {count} lines, got {len(lines)}")
    rows, columns, labels = [], [], []
    for i, line in enumerate(lines):
        found = _ROW.fullmatch(line)
        if found is None:
            raise ValueError(f"{path}, line {i + 1} must read like '-1 3:1 11:1', got {shown(line)}")
        indices = [int(item[:-2]) for item in found[2].split()]
        if any(a >= b for a, b in pairwise(indices)) or (indices and indices[-1] > features):
            raise ValueError(f"{path}, line {i + 1} must have ascending indices 1..{features}, got {shown(found[2])}")
        labels.append(int(found[1] == "+1"))
        rows += [i] * len(indices)
        columns += [index - 1 for index in indices]
    x = torch.zeros(count, features)
    x[torch.tensor(rows, dtype=torch.int64), torch.tensor(columns, dtype=torch.int64)] = 1
    return Split(x, torch.tensor(labels, dtype=torch.int64))


@registry.register("adult")
def adult(sources: Sources) -> Dataset:
    """Adult in LIBSVM's split a7a: 16,100 + 16,461 people, 123 features of 0 or 1 [Becker1996].

    The binary form is that of [Platt1998]. The 14 original columns are one-hot, the continuous ones in quantiles.
    Inputs: ``(N, 123)`` float32. About a quarter of the people are of class ``>50K``: who always says ``<=50K`` is
    right for three of four.
    """
    parts = []
    for file, count in FILES:
        others = (file, f"{file.replace('.t', '_test')}.gz", file.replace(".t", "_test"))
        how = f"get {file} from LIBSVM's page of binary data sets, gzipped or not,"
        parts.append(read(sources.fetch(Remote(f"{file}.gz"), ("adult",), others, how), count))
    return Dataset("adult", parts[0], parts[1], 2, ("<=50K", ">50K"))
