"""``onebit claim``: re-check what a paper says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from onebit.cli.arguments import Executor, OptionalInt, OptionalPath
from onebit.cli.main import DOES_NOT_HOLD, DONE
from onebit.cli.output import note, print_json, print_table
from onebit.cli.show import RESULTS
from onebit.evidence.records import Record


def claim(
    system: Positional[Annotated[str, arg(metavar="SLUG")]],
    /,
    *,
    statement: OptionalInt = None,
    scale: Literal["smoke", "small", "paper"] = "small",
    jobs: int = 1,
    executor: Executor = "local",
    folder: Path = Path("runs/claims"),
    results: OptionalPath = None,
    json: bool = False,
) -> int:
    """Re-check the statements of a paper: run their experiments, print a verdict on each with its numbers.

    Finished runs are kept, so a claim that was stopped goes on where it was. Status 1 says that a statement does not
    hold here (at scale smoke nothing is said about that).

    Example: onebit claim biper --statement 2

    Example: onebit claim reste --scale smoke

    Example: onebit claim reste --scale paper --jobs 16 --executor ray

    Args:
        system: whose paper, as `onebit list claims` prints it.
        statement: only the one of that number; all of them by default.
        scale: smoke: seconds, to see that it works, no evidence; small: minutes on two cores; paper: the published
            set-up, for a GPU.
        jobs: runs at a time, one thread each.
        executor: where the runs are: local: processes of this machine; ray: tasks of Ray, on the cluster that
            RAY_ADDRESS names, or else on this machine.
        folder: where finished runs are kept.
        results: where the verdicts are recorded, one file of JSON lines a system; docs/results by default, and nowhere
            at scale smoke.
        json: print the records as JSON instead of text.
    """
    from onebit.core.catalogue import find
    from onebit.core.errors import check_range, resumable
    from onebit.evidence import claims, executors, records
    from onebit.evidence.claims.run import recheck

    check_range("--jobs", jobs, 1, 1024)
    place = executors.executor(executor, jobs)
    found = claims.registry[find(system).slug]
    numbers = [statement] if statement is not None else list(found.statements)
    made = []
    for number in numbers:
        text = found.statement(number).text
        note(f"{found.system.short_title}, statement {number}: {text}")
        with resumable(lambda: f"the same command goes on with the runs in {folder / found.system.slug}"):
            record = recheck(found, number, scale, folder, executor=place, progress=True)
        made.append(record)
        if not json:
            _print(record)
        if results is not None or scale != "smoke":
            note(f"recorded in {records.append(results or RESULTS, record)}")
    if json:
        print_json([record.to_dict() for record in made])
    failed = scale != "smoke" and any(record.outcome == claims.FAILS for record in made)
    return DOES_NOT_HOLD if failed else DONE


def _print(record: Record) -> None:
    scale = "smoke (it runs; no evidence)" if record.scale == "smoke" else record.scale
    print(f"\nStatement {record.statement} of {record.claim}, scale {scale}: {record.outcome.upper()}")
    print(f"{record.summary}\n")
    said = [
        ("it holds where", record.threshold),
        ("the paper's number", record.published),
        *([("not verified", record.unverified)] if record.unverified else []),
        *([("compared against", "; ".join(record.baselines))] if record.baselines else []),
        ("runs", f"{len(record.rows)} in {record.seconds:.0f} s{_seeds(record)}"),
    ]
    print_table("", ("", "<"), said)
    columns = ("measured", "value", "95 % interval") if record.intervals else ("measured", "value")
    if measured := record.measured():
        print_table("", columns, [row[: len(columns)] for row in measured])


def _seeds(record: Record) -> str:
    seeds = sorted({row["seed"] for row in record.rows if "seed" in row})
    return f", seeds {', '.join(map(str, seeds))}" if seeds else ""
