"""``onebit sweep``: a grid of training runs."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from onebit.cli.arguments import Executor, Output
from onebit.cli.output import note, print_json, print_table

Job = Positional[Annotated[Path, arg(metavar="JOB.YAML")]]
Over = UseAppendAction[Annotated[tuple[str, ...], arg(metavar="KEY=VALUE,...", help_behavior_hint="")]]


def sweep(
    job: Job,
    /,
    *,
    over: Over = (),
    output: Output = None,
    jobs: int = 1,
    executor: Executor = "local",
    resume: bool = False,
    json: bool = False,
) -> int:
    """Train a job once for every combination of some of its settings, and say what came of each: mean +- standard
    deviation over the seeds.

    Every combination is a run folder of its own. What has been stopped, by whatever, goes on with --resume: finished
    runs are not repeated, the others go on from their checkpoints, those that failed are tried again. The number of
    jobs does not change the results. Status 2 says that runs have failed; the others are in the table all the same.

    Example: onebit sweep job.yaml --over model.scheme=biper,react --over recipe.seed=0,1,2 -o runs/schemes

    Example: onebit sweep job.yaml --over recipe.seed=0,1,2 --jobs 3 --executor ray

    Args:
        job: a YAML file with model, data and recipe; the recipe.yaml of a run is one.
        over: a setting of the job and its values; may be given several times. null is no value: model.scheme=null is
            the float network. Values that hold commas: a JSON list, such as model.sizes.downsample=[[1],[1,3]].
        output: the folder of the sweep; runs/sweep-JOB by default.
        jobs: so many runs at a time, each on one thread unless the recipe says more.
        executor: where the runs are: local: processes of this machine; ray: tasks of Ray, on the cluster that
            RAY_ADDRESS names, which needs a folder that all its machines share, or else on this machine.
        resume: go on with the sweep in that folder, also with further values.
        json: print JSON and nothing else.
    """
    from onebit.core.errors import check_range, resumable
    from onebit.evidence import executors, grid
    from onebit.learn import Job as TrainingJob

    check_range("--jobs", jobs, 1, 1024)
    varied = parse_over(over)
    base = TrainingJob.from_yaml(job)
    folder = output or Path("runs") / f"sweep-{job.stem}"
    try:
        grid.cells(base, varied)
    except ValueError as error:
        raise ValueError(f"--over {error}" if varied else f"{job}: {error}") from None
    if not resume and (folder / grid.ROWS).exists():
        raise ValueError(
            f"--output {folder} holds a sweep already: --resume goes on with it, another --output starts a new one"
        )
    with resumable(lambda: f"the same command with --resume goes on with the sweep in {folder}"):
        rows = grid.run(base, varied, folder, executor=executors.executor(executor, jobs), progress=not json)
    found = grid.table(varied, rows)
    if json:
        print_json({"folder": folder, "table": found, "rows": rows})
    else:
        _print(found, [key for key in varied if key != grid.SEED], grid.RESULTS)
        print(f"Rows: {folder / grid.ROWS}; runs: {folder / 'runs'}")
    failed = [row for row in rows if row.error is not None]
    for row in failed:
        note(f"onebit sweep: {row.name} failed: {row.error}")
    if failed:
        note(f"onebit sweep: {len(failed)} of {len(rows)} runs failed; --resume tries them again")
    return 2 if failed else 0


def _print(found: list[dict[str, Any]], keys: list[str], results: dict[str, str]) -> None:
    shown = [name for name in results if any(entry[name] is not None for entry in found)]
    columns = [*(f"<{key}>" for key in keys), "runs", *(results[name] for name in shown)]
    rows = [
        [
            *(_text(entry["settings"][key]) for key in keys),
            entry["runs"],
            *("-" if entry[name] is None else _spread(name, entry[name]) for name in shown),
        ]
        for entry in found
    ]
    print_table("", columns, rows)


def _spread(name: str, value: Any) -> str:
    """Accuracies in per cent, losses as they are."""
    factor, digits, unit = (100, 2, " %") if name.endswith("accuracy") else (1, 4, "")
    mean = f"{factor * value.mean:.{digits}f}"
    return mean + unit if value.std is None else f"{mean} +- {factor * value.std:.{digits}f}{unit}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text.dumps(value)


def parse_over(texts: tuple[str, ...]) -> dict[str, list[Any]]:
    """``("model.scheme=biper,null", "recipe.seed=0,1")`` as names and values.

    Example:
        >>> parse_over(("model.scheme=biper,null", "recipe.seed=0,1", "recipe.milestones=[[2],[2,4]]"))
        {'model.scheme': ['biper', None], 'recipe.seed': [0, 1], 'recipe.milestones': [[2], [2, 4]]}
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or not values or not all(part.isidentifier() for part in key.split(".")):
            raise ValueError(f"--over must be KEY=VALUE,VALUE, such as recipe.seed=0,1,2, got {text!r}")
        if key in found:
            raise ValueError(f"--over {key} is given twice: put its values into one")
        found[key] = _values(values)
        for i, value in enumerate(found[key]):
            if value in found[key][:i]:
                raise ValueError(f"--over {key} must have each value once, got {_text(value)} twice")
    return found


def _values(text: str) -> list[Any]:
    whole = _value(text)
    return whole if isinstance(whole, list) else [_value(part) for part in text.split(",")]


def _value(text: str) -> Any:
    try:
        return json_text.loads(text)
    except ValueError:
        return text
