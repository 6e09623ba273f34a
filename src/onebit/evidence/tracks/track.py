"""A track: the cells that answer one question about binarization, and what their rows say."""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from onebit.core.registry import Registry, unknown
from onebit.evidence.sweep import Row
from onebit.evidence.tracks.cells import Cell
from onebit.evidence.tracks.overall import Overall
from onebit.evidence.tracks.tasks import ARCHITECTURES, FLOAT, METHODS, SCALES, TASKS

Measure = Callable[[dict[str, Any], str], Mapping[str, Any]]


@dataclass(frozen=True)
class Plan:
    """What is compared, at which scale.

    Args:
        scale: one of :data:`onebit.evidence.tracks.SCALES`.
        methods: names of schemes; the float twin is measured beside them anyway.
        tasks, architectures: ``None``: those of the track.
        seeds: runs of each, 1..100; ``None``: as the track has them.

    Raises:
        ValueError: a name that there is not, or one given twice.
    """

    scale: str = "small"
    methods: tuple[str, ...] = METHODS
    tasks: tuple[str, ...] | None = None
    architectures: tuple[str, ...] | None = None
    seeds: int | None = None

    def __post_init__(self) -> None:
        from onebit.nn import schemes

        if self.scale not in SCALES:
            raise ValueError(unknown("scale", self.scale, SCALES))
        chosen: Sequence[tuple[str, Iterable[str] | None, Iterable[str]]] = (
            ("method", self.methods, schemes.registry),
            ("task", self.tasks, TASKS),
            ("architecture", self.architectures, ARCHITECTURES),
        )
        for noun, names, known in chosen:
            given = tuple(names or ())
            for name in given:
                if name not in known:
                    raise ValueError(unknown(noun, name, known))
                if given.count(name) > 1:
                    raise ValueError(f"{noun} {name!r} must be given once, got it {given.count(name)} times")
        if not self.methods:
            raise ValueError("methods must be one or more, got none")
        if self.seeds is not None and not 1 <= self.seeds <= 100:
            raise ValueError(f"seeds must be 1..100, got {self.seeds}")


@dataclass(frozen=True)
class Phase:
    """Cells that do not wait for one another.

    Args:
        measure: a function at the top of a module: settings and the folder of the runs -> what was measured.
        cells: settings of each, those that tell most first.
        version: of ``measure``.
        alone: they are timed: one after the other in this process, whatever the number of jobs.
    """

    measure: Measure
    cells: Sequence[dict[str, Any]]
    version: str
    alone: bool = False


@dataclass(frozen=True)
class Summary:
    """What the rows of a track say.

    Args:
        columns, rows: the track's table, as texts; the first column is the method.
        overall: the overall metric by method; a method with a cell missing has none.
        notes: sentences under the table.
    """

    columns: tuple[str, ...]
    rows: list[list[str]]
    overall: dict[str, Overall]
    notes: tuple[str, ...] = field(default=())


class Track(ABC):
    """One of the evaluation tracks of [Qin2023].

    Attributes:
        name: in the command.
        title: a heading.
        question: what it answers.
        parts: what the parts of its overall metric are, in the plural.
        label: of the ratios' axis.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    parts: ClassVar[str]
    label: ClassVar[str] = "ratio to the float twin"

    @abstractmethod
    def phases(self, plan: Plan) -> list[Phase]:
        """What has to be measured, in this order."""

    def line(self, settings: Mapping[str, Any]) -> str:
        """What a cell counts to in the table that fills while the track is measured: its method."""
        return Cell.of(settings).method

    def column(self, settings: Mapping[str, Any]) -> str:
        """What a cell is called in that table beside its method."""
        return Cell.of(settings).task

    def field(self, results: Sequence[Mapping[str, Any]]) -> str:
        """The text of the finished cells of one method and :meth:`column` there."""
        values = [result["accuracy"] for result in results if "accuracy" in result]
        return f"{100 * statistics.fmean(values):.1f} %" if values else f"{len(results)} done"

    @abstractmethod
    def summary(self, rows: Sequence[Row]) -> Summary:
        """A pure function of the rows; cells that failed or are missing leave a gap."""


registry: Registry[Track] = Registry("track")


def register(kind: type[Track]) -> type[Track]:
    """Keep a track under its name."""
    registry.add(kind.name, kind())
    return kind


def with_twin(plan: Plan) -> tuple[str, ...]:
    """The float twin, then the methods."""
    return (FLOAT, *(method for method in plan.methods if method != FLOAT))
