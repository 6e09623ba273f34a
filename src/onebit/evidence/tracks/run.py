"""Measure a track: do the cells that are missing, give the rows of all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from onebit.evidence import sweep
from onebit.evidence.display import Lines, LiveTable, Watcher
from onebit.evidence.executors import Executor, Ray
from onebit.evidence.tracks.cells import Cell
from onebit.evidence.tracks.track import Measure, Phase, Plan, Track

ROWS = "rows.jsonl"


def run(
    track: Track,
    plan: Plan,
    folder: str | Path,
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    progress: bool = False,
) -> list[sweep.Row]:
    """The rows of a track, measured now where ``folder`` does not hold them yet.

    All tracks may share a folder: what one has measured another does not measure again, and networks that one has
    trained another takes as they are. Stopped at any moment, killed included, the same call goes on: with the cells
    that are missing, and within a training from its last checkpoint.

    Args:
        track: in :data:`onebit.evidence.tracks.registry`.
        plan: what to compare.
        folder: of ``rows.jsonl`` and of ``runs``, a run folder a network. Several machines need it at one path.
        jobs: processes of this machine, one thread each; what is timed is done one after the other all the same.
        executor: instead of ``jobs``: see :mod:`onebit.evidence.executors`.
        progress: show a table that fills.
    """
    phases, place = track.phases(plan), Path(folder) / ROWS
    keys = {sweep.key(settings, phase.version) for phase in phases for settings in phase.cells}
    rows: list[sweep.Row] = []
    with contextlib.ExitStack() as stack:
        watcher: Watcher = _table(track, phases) if progress else Lines(False)
        watcher.start(len(keys), [row for row in sweep.read(place) if row.key in keys and row.error is None])
        stack.callback(watcher.stop)
        if isinstance(executor, Ray):
            stack.enter_context(executor.connected())
        for phase in phases:
            rows += sweep.run(
                partial(_measured, phase.measure, str(folder)),
                named(phase),
                place,
                version=phase.version,
                jobs=1 if phase.alone else jobs,
                executor=None if phase.alone else executor,
                display=_Begun(watcher),
            )
    return rows


class _Begun:
    """A watcher that has been told of all phases: it neither starts nor stops with one of them."""

    def __init__(self, watcher: Watcher) -> None:
        self.row = watcher.row

    def start(self, cells: int, found: Sequence[sweep.Row]) -> None:
        pass

    def stop(self) -> None:
        pass


def _table(track: Track, phases: Sequence[Phase]) -> LiveTable:
    """One row a method, one column a task or whatever else the track's cells are told apart by."""
    cells = [settings for phase in phases for settings in phase.cells]
    methods = dict.fromkeys(map(track.line, cells))
    return LiveTable(
        list(methods),
        list(dict.fromkeys(map(track.column, cells))),
        lambda row: (track.line(row.settings), track.column(row.settings)),
        lambda rows: track.field([row.result or {} for row in rows]),
        title=track.title,
    )


def _measured(measure: Measure, folder: str, settings: dict[str, Any]) -> Mapping[str, Any]:
    return measure(settings, folder)


def named(phase: Phase) -> dict[str, sweep.Settings]:
    """The cells of a phase by a name: what it is about, and what else its settings say."""
    found: dict[str, sweep.Settings] = {}
    for settings in phase.cells:
        name = title(settings)
        if name in found and found[name] != settings:
            name += f", {sweep.key(settings)[:6]}"
        found[name] = settings
    return found


def title(settings: sweep.Settings) -> str:
    """Of a cell that has a job, its network and what is measured of it; of another one, what its settings say in words.

    Example:
        >>> title({"network": "resnet18", "method": "bnn", "model": {"name": "resnet18"}})
        'network=resnet18, method=bnn'
    """
    more = {key: value for key, value in settings.items() if key != "job"}
    if "job" not in settings:
        return sweep.text({key: value for key, value in more.items() if not isinstance(value, dict)})
    return ", ".join(filter(None, [str(Cell.of(settings)), sweep.text(more)]))
