"""Sweeps: many runs of one measurement, each done once, that survive being stopped at any moment.

    rows = sweep.run(measure, {"bits": {"scheme": "biper", "seed": 0}, ...}, "rows.jsonl", jobs=2)

Every finished cell is one line of the file. Started again, a sweep measures what is missing.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from onebit.core import journal
from onebit.core.errors import sentence
from onebit.core.files import claimed
from onebit.core.seeds import derive
from onebit.evidence.display import Lines, Watcher
from onebit.evidence.executors import Executor, local

Settings = Mapping[str, Any]
Measure = Callable[[dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """One cell of a sweep.

    Args:
        key: of settings and version: what makes it the same measurement.
        name: of the cell.
        settings: as JSON has them.
        version: of the measurement.
        result: what was measured; ``None`` where it failed.
        error: why it failed, in a sentence; ``None`` where it did not.
        seconds: that it took.
    """

    key: str
    name: str
    settings: dict[str, Any]
    version: str
    result: dict[str, Any] | None
    error: str | None
    seconds: float


def run(
    measure: Measure,
    cells: Mapping[str, Settings],
    path: str | Path,
    *,
    version: str = "1",
    jobs: int = 1,
    executor: Executor | None = None,
    progress: bool = False,
    display: Watcher | None = None,
) -> list[Row]:
    """Measure every cell that ``path`` has no result of, and give the rows of all cells in their order.

    A cell that fails becomes a row with its error and is tried again by the next start. One that is being measured when
    the sweep is stopped - interrupted, killed - is measured again. Rows of other cells in the file stay there.

    Args:
        measure: called with a cell's settings; gives numbers, texts, lists, dictionaries. With several jobs it runs in
            other processes. What it draws must follow from the settings: give them a seed, or take :func:`seed_of`.
        cells: name -> settings, JSON values only; no two may have equal settings.
        path: the file of rows, JSON lines; one sweep at a time may work in its folder.
        version: of ``measure``; raise it when ``measure`` changes, so that old rows are not taken for new ones.
        jobs: processes of this machine, one thread each; 1: this process.
        executor: instead of ``jobs``: see :mod:`onebit.evidence.executors`.
        progress: show a bar on terminals, and a line a cell.
        display: what is told of every row instead: see :mod:`onebit.evidence.display`.

    Raises:
        ValueError: settings that JSON does not have, or two cells with equal ones; a file that holds something else.
        InUse: another process works in the folder.
        OSError: a row cannot be written; those before it are kept.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     cells = named(grid({"a": [1, 2], "seed": [0]}))
        ...     [row.result for row in run(lambda s: {"double": 2 * s["a"]}, cells, f"{folder}/rows.jsonl")]
        [{'double': 2}, {'double': 4}]
    """
    path = Path(path)
    keys = _keys(cells, version)
    with claimed(path.parent):
        found = {row.key: row for row in read(path) if row.error is None}
        todo = [(key, name, dict(cells[name])) for name, key in keys.items() if key not in found]
        done = dict(found)
        watcher = display or Lines(progress)
        watcher.start(len(keys), [found[key] for key in keys.values() if key in found])
        try:
            for _, row in (executor or local(jobs)).run(partial(_measured, measure, version), todo):
                journal.append(path, journal.encode(asdict(row)))
                done[row.key] = row
                watcher.row(row)
        finally:
            watcher.stop()
    return [done[key] for key in keys.values()]


def read(path: str | Path) -> list[Row]:
    """The rows in a file, those that failed included, in the order they were measured; the last of a key counts."""
    rows: dict[str, Row] = {}
    for number, value in enumerate(journal.read(path), 1):
        try:
            row = Row(**journal.decode(value))
        except TypeError as error:
            raise ValueError(f"{path}, line {number}, is no row of a sweep: {error}") from None
        rows[row.key] = row
    return list(rows.values())


def _measured(measure: Measure, version: str, cell: tuple[str, str, dict[str, Any]]) -> Row:
    key, name, settings = cell
    began = time.monotonic()
    result: dict[str, Any] | None = None
    error: str | None = None
    try:
        result = journal.decode(json.loads(json.dumps(journal.encode(measure(settings)), allow_nan=False)))
        if not isinstance(result, dict):
            raise TypeError(f"a measurement must give a dictionary, got {type(result).__name__}")
    except Exception as failure:
        result, error = None, sentence(failure)
    return Row(key, name, settings, version, result, error, round(time.monotonic() - began, 3))


def key(settings: Settings, version: str = "1") -> str:
    """16 hexadecimal digits that stand for settings and version, whatever the order of the settings.

    Example:
        >>> key({"a": 1, "b": 2}) == key({"b": 2, "a": 1}), key({"a": 1}) == key({"a": 1}, version="2")
        (True, False)
    """
    return hashlib.sha256(f"{version}\n{_canonical(settings)}".encode()).hexdigest()[:16]


def seed_of(settings: Settings, seed: int = 0) -> int:
    """A 63-bit seed that follows from ``seed`` and the settings alone, so that no cell depends on another."""
    return derive(seed, "cell", _canonical(settings))


def _canonical(settings: Settings) -> str:
    return json.dumps(settings, sort_keys=True, allow_nan=False)


def _keys(cells: Mapping[str, Settings], version: str) -> dict[str, str]:
    keys: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, settings in cells.items():
        try:
            keys[name] = key(settings, version)
        except (TypeError, ValueError) as error:
            raise ValueError(f"settings of cell {name!r} must be JSON values: {error}") from None
        if keys[name] in names:
            raise ValueError(f"cells {names[keys[name]]!r} and {name!r} have equal settings")
        names[keys[name]] = name
    return keys


def grid(over: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values, the last name varying fastest.

    Example:
        >>> grid({"scheme": ["biper", "react"], "seed": [0, 1]})[:3]
        [{'scheme': 'biper', 'seed': 0}, {'scheme': 'biper', 'seed': 1}, {'scheme': 'react', 'seed': 0}]
    """
    return [dict(zip(over, values)) for values in itertools.product(*over.values())]


def named(settings: Iterable[Settings]) -> dict[str, Settings]:
    """Cells called by their settings: ``scheme=biper, seed=0``."""
    return {text(values): values for values in settings}


def text(settings: Settings) -> str:
    """Settings in a line.

    Example:
        >>> text({"scheme": "biper", "sizes": [1, 2]})
        'scheme=biper, sizes=[1, 2]'
    """
    return ", ".join(f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in settings.items())
