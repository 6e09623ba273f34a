"""A claim: the statements of one paper, each with an experiment and a verdict whose threshold was written before."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from onebit.core.catalogue import System, find
from onebit.core.registry import Registry, unknown
from onebit.evidence import sweep
from onebit.evidence.executors import Executor
from onebit.evidence.statistics import Interval

#: Smoke: seconds, for tests. Small: under five minutes a statement on two cores. Paper: the published set-up, for GPUs.
SCALES = ("smoke", "small", "paper")

HOLDS, IN_PART, FAILS, REPORTED = "holds", "holds in part", "does not hold here", "reported"
OUTCOMES = (HOLDS, IN_PART, FAILS, REPORTED)

Settings = dict[str, Any]  # of one run; what JSON has
Row = Mapping[str, Any]  # the settings of one run and what was measured


@dataclass(frozen=True)
class Verdict:
    """What came out of a statement's experiment.

    Args:
        outcome: one of ``OUTCOMES``; ``"reported"`` where the experiment shows a curve and no threshold is set.
        summary: a sentence or two with the numbers that decide.
        numbers: what was measured, by name.
        intervals: of the differences that decide, by name.
        baselines: what was compared against, matched in everything but what the statement is about.
    """

    outcome: str
    summary: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    baselines: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(unknown("outcome", self.outcome, OUTCOMES))


@dataclass(frozen=True)
class Figure:
    """One plot of a statement.

    Args:
        name: of its file, letters and hyphens.
        caption: a sentence on what it shows.
        draw: draws it into a matplotlib axes.
    """

    name: str
    caption: str
    draw: Callable[[Any], None]


class Statement(ABC):
    """One statement of a paper in our words, the experiment that re-checks it, and how it is judged.

    Attributes:
        text: the statement.
        threshold: when it is said to hold; written before the experiment was run.
        published: the paper's own number and where it stands, or that there is none.
        unverified: what of the set-up could not be checked against the paper, empty for nothing.
        measure: a function at the top of a module, called with the settings of one run; gives what was measured, as
            JSON has it. Statements that share it share runs of equal settings. Not there where :meth:`measured` is
            another.
        version: of what ``measure`` does; raised when it changes, so that old runs are not taken for new ones.
    """

    text: ClassVar[str]
    threshold: ClassVar[str]
    published: ClassVar[str]
    unverified: ClassVar[str] = ""
    measure: ClassVar[Callable[..., Mapping[str, Any]]]
    version: ClassVar[int] = 1

    @abstractmethod
    def runs(self, scale: str) -> list[Settings]:
        """The settings of every run at a scale, seeds included, those that tell most first."""

    def measured(
        self, scale: str, folder: Path, *, jobs: int = 1, executor: Executor | None = None, progress: bool = False
    ) -> list[sweep.Row]:
        """The rows of :meth:`runs`: those that ``folder`` keeps, and the others measured now.

        Args:
            scale: one of ``SCALES``.
            folder: of the claim's runs.
            jobs, executor, progress: as for :func:`onebit.evidence.sweep.run`.
        """
        return sweep.run(
            functools.partial(_measured, type(self)), sweep.named(self.runs(scale)), folder / "rows.jsonl",
            version=version(self), jobs=jobs, executor=executor, progress=progress,
        )  # fmt: skip

    @abstractmethod
    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        """The verdict on the rows of :meth:`runs`, a pure function of them."""

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        """Plots of the rows."""
        return []


def version(statement: Statement) -> str:
    """What makes two runs of equal settings the same measurement."""
    measure: Callable = statement.measure
    return f"{measure.__module__}.{measure.__qualname__} {statement.version}"


def _measured(kind: type[Statement], settings: dict[str, Any]) -> Mapping[str, Any]:
    return kind.measure(**settings)


class Claim:
    """All statements of one system that are re-checked here.

    Args:
        slug: of the system in the catalogue (``KeyError`` if it is not there).
        statements: numbered from 1 in the order given.

    Example:
        >>> from onebit.evidence import claims
        >>> claims.registry["biper"].system.year
        2024
    """

    def __init__(self, slug: str, statements: Sequence[Statement]) -> None:
        self.system: System = find(slug)
        self.statements = {number: statement for number, statement in enumerate(statements, 1)}

    def statement(self, number: int) -> Statement:
        """The statement of that number; ``ValueError`` says which there are."""
        if number not in self.statements:
            raise ValueError(f"{self.system.slug} has statements 1 to {len(self.statements)}, got {number}")
        return self.statements[number]


registry: Registry[Claim] = Registry("claim")


def register(slug: str, *statements: Statement) -> Claim:
    """Keep the statements of the system ``slug``."""
    return registry.add(slug, Claim(slug, statements))
