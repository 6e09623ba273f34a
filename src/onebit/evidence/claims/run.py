"""Re-check a statement: do its runs, those that are missing, and judge them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from onebit.core.registry import unknown
from onebit.evidence.claims.base import SCALES, Claim
from onebit.evidence.executors import Executor
from onebit.evidence.records import Record
from onebit.learn.environment import describe


class RunsFailed(Exception):
    """Some runs of a statement's experiment failed, so it cannot be judged."""


def recheck(
    claim: Claim, number: int, scale: str = "small", folder: str | Path = "runs/claims", *, jobs: int = 1,
    executor: Executor | None = None, progress: bool = False,
) -> Record:  # fmt: skip
    """The verdict on one statement.

    Args:
        claim: the statements of a system.
        number: of the statement, from 1.
        scale: ``"smoke"``, ``"small"`` or ``"paper"``.
        folder: where finished runs are kept, in ``SLUG/rows.jsonl``; those that are there are not done again.
        jobs: runs at a time, one thread each.
        executor: instead of ``jobs``: see :mod:`onebit.evidence.executors`.
        progress: show a bar, and a line a run.

    Raises:
        ValueError: no such statement or scale.
        RunsFailed: runs failed; the text says how many and why the first one did. The others are kept.
    """
    if scale not in SCALES:
        raise ValueError(unknown("scale", scale, SCALES))
    statement, slug = claim.statement(number), claim.system.slug
    rows = statement.measured(scale, Path(folder) / slug, jobs=jobs, executor=executor, progress=progress)
    failed = [row for row in rows if row.error is not None]
    if failed:
        raise RunsFailed(f"{len(failed)} of {len(rows)} runs failed, the first, {failed[0].name}: {failed[0].error}")
    table = [row.settings | (row.result or {}) for row in rows]
    verdict = statement.judge(table, scale)
    return Record(
        claim=slug,
        statement=number,
        scale=scale,
        outcome=verdict.outcome,
        summary=verdict.summary,
        numbers=dict(verdict.numbers),
        intervals=dict(verdict.intervals),
        baselines=tuple(verdict.baselines),
        text=statement.text,
        threshold=statement.threshold,
        published=statement.published,
        unverified=statement.unverified,
        rows=table,
        command=f"onebit claim {slug} --statement {number} --scale {scale}",
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(sum(row.seconds for row in rows), 1),
        made_on=describe(),
    )

