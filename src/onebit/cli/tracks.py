"""``onebit bench accuracy`` and the other evaluation tracks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onebit.cli.main import CANNOT_RUN, DONE
from onebit.cli.output import note, plain, print_json


def measure(
    name: str,
    chosen: Mapping[str, Any],
    means: Mapping[str, Any],
    results: Path | None,
    markdown: Path | None,
    recorded: bool,
    json: bool,
) -> int:
    """Measure a track, or read its newest record, and print it.

    Args:
        name: of the track.
        chosen: ``scale``, ``methods``, ``tasks``, ``architectures``, ``seeds`` as flags gave them.
        means: ``jobs``, ``executor``, ``folder``.
        results: folder of records.
        markdown: a file to write as well.
        recorded: measure nothing.
        json: print JSON.
    """
    from onebit.core.errors import resumable
    from onebit.core.files import write_text
    from onebit.evidence import tracks
    from onebit.evidence.executors import executor

    track = tracks.registry[name]
    if recorded:
        place = Path("docs/results") if results is None else results
        found = tracks.newest(place, name)
        if found is None:
            raise ValueError(f"{place} holds no record of track {name}: make one with --results {place}")
    else:
        plan = tracks.Plan(**_plan(chosen))
        folder = Path(means["folder"])
        with resumable(lambda: f"the same command goes on with what is in {folder}"):
            rows = tracks.run(
                track, plan, folder, jobs=means["jobs"],
                executor=executor(means["executor"], means["jobs"]), progress=not json,
            )  # fmt: skip
        found = tracks.Record.now(track, plan.scale, _command(name, chosen), rows)
        if results is not None:
            note(f"recorded in {tracks.append(found, results)}")
    if markdown is not None:
        write_text(markdown, tracks.markdown(found))
    if json:
        print_json(plain(found.plain()))
    else:
        print(tracks.text(found))
    for row in found.failed:
        note(f"onebit bench: {row.name} failed: {row.error}")
    return CANNOT_RUN if found.failed else DONE


def _plan(chosen: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: tuple(filter(None, map(str.strip, chosen[name].split(",")))) for name in NAMES if chosen[name]}
    return {"scale": chosen["scale"], "seeds": chosen["seeds"], **given}


NAMES = ("methods", "tasks", "architectures")


def _command(track: str, chosen: Mapping[str, Any]) -> str:
    flags = [f"--{name} {chosen[name]}" for name in (*NAMES, "seeds") if chosen[name]]
    return " ".join(["onebit bench", track, "--scale", chosen["scale"], *flags])

