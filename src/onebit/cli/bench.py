"""``onebit bench``: the evaluation tracks, and measurements of speed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from onebit.cli import tracks
from onebit.cli.arguments import Name, OptionalInt, OptionalPath
from onebit.cli.main import DONE
from onebit.cli.output import plain, print_json, progress

if TYPE_CHECKING:
    from onebit.evidence import engine, lowbit


def bench(
    track: Positional[
        Literal["engine", "lowbit", "accuracy", "architectures", "robustness", "training", "cost", "hardware"]
    ] = "engine",
    /,
    *,
    methods: Name = "",
    tasks: Name = "",
    architectures: Name = "",
    seeds: OptionalInt = None,
    scale: Literal["smoke", "small", "paper"] = "small",
    jobs: int = 1,
    executor: Literal["local", "ray"] = "local",
    folder: Path = Path("runs/tracks"),
    markdown: OptionalPath = None,
    parts: Name = "",
    quick: bool = False,
    threads: OptionalInt = None,
    isa: Name = "",
    results: OptionalPath = None,
    recorded: bool = False,
    json: bool = False,
) -> int:
    """Which method of binarization works on which problem, at what cost; and how fast the engine is.

    accuracy: ten methods on five tasks (images, speech, points, text). architectures: the same task in networks of
    several families. robustness: on corrupted images. training: time, memory, sensitivity to the optimizer. cost: bits
    and operations, without training. hardware: packed files in the engine. What was measured is kept: stopped at any
    moment, the same command goes on. Status 2 says that cells have failed; the others are in the table all the same.

    engine: the engine against its own ceiling, PyTorch, ONNX Runtime in float32 and in int8, in turns in one process;
    lowbit: linear layers of language models, ternary weights and bits. Some minutes on two cores that have nothing else
    to do.

    Example: onebit bench accuracy --methods bnn,react --tasks digits --jobs 2

    Example: onebit bench robustness --scale smoke

    Example: onebit bench engine --quick --parts layers

    Args:
        track: what is measured.
        methods: schemes with commas between them, see `onebit list schemes`; ten by default. The float twin is measured
            beside them. (accuracy to hardware)
        tasks: data sets with commas between them; by default those of the track. (accuracy to hardware)
        architectures: networks with commas between them; by default those of the track. (architectures, cost, hardware)
        seeds: runs of each cell; by default one or two. (accuracy to training)
        scale: smoke: seconds, to see that it works; small: minutes to an hour on two cores; paper: whole data sets and
            200 epochs, for a GPU. (accuracy to hardware)
        jobs: trainings at a time, one thread each; what is timed is done one after the other. (accuracy to hardware)
        executor: local: processes of this machine; ray: a Ray cluster, whose machines share --folder. (accuracy to
            hardware)
        folder: where trained networks and finished cells are kept. (accuracy to hardware)
        markdown: write the result there as well, as a Markdown document. (accuracy to hardware)
        parts: of ceiling (the bare micro-kernel), layers, networks, with commas between them; all by default. (engine)
        quick: fewer repetitions, networks at batch 1 only, for a first look. (engine, lowbit)
        threads: of the engine and its peers; by default one for layers, one and two for networks. (engine, lowbit)
        isa: instruction set of the engine; by default the fastest. (engine, lowbit)
        results: record what was measured in this folder, docs/results for the report; by default it is only printed.
        recorded: measure nothing, print the newest record in the folder of --results.
        json: print JSON.
    """
    from onebit.core.errors import check_range

    check_range("--threads", 1 if threads is None else threads, 1, 1024)
    check_range("--jobs", jobs, 1, 1024)
    ours: dict[str, Any] = {"parts": parts, "quick": quick, "threads": threads, "isa": isa}
    theirs: dict[str, Any] = {
        "methods": methods, "tasks": tasks, "architectures": architectures, "seeds": seeds, "markdown": markdown
    }  # fmt: skip
    timed = track in ("engine", "lowbit")
    for name, value in (theirs if timed else ours).items():
        if value not in ("", None, False):
            raise ValueError(f"--{name} has no meaning for track {track}: see `onebit bench --help`")
    if not timed:
        plan = {"scale": scale, "methods": methods, "tasks": tasks, "architectures": architectures, "seeds": seeds}
        means = {"jobs": jobs, "executor": executor, "folder": folder}
        return tracks.measure(track, plan, means, results, markdown, recorded, json)
    found: engine.Bench | lowbit.Bench
    if track == "lowbit":
        found = _lowbit(quick, 1 if threads is None else threads, isa, results, recorded, json)
    else:
        found = _engine(parts or "ceiling,layers,networks", quick, threads, isa, results, recorded, json)
    if json:
        print_json(plain(found.plain()))
    else:
        print(found)
    return DONE


def _engine(
    parts: str, quick: bool, threads: int | None, isa: str, results: Path | None, recorded: bool, quiet: bool
) -> engine.Bench:
    from onebit.evidence import engine

    chosen = [part.strip() for part in parts.split(",")]
    if recorded:
        folder = Path("docs/results") if results is None else results
        found = engine.newest(folder)
        if found is None:
            raise ValueError(f"{folder / engine.JOURNAL} holds no record: make one with --results {folder}")
        found = found.only(chosen)
    else:
        command = "onebit bench engine"
        command += "" if chosen == list(engine.PARTS) else f" --parts {','.join(chosen)}"
        command += " --quick" if quick else ""
        command += "" if threads is None else f" --threads {threads}"
        command += f" --isa {isa}" if isa else ""
        with progress("timing the engine", engine.steps(chosen, quick, threads), quiet=quiet) as advance:
            found = engine.bench(chosen, quick, threads, isa or None, command, advance)
        if results is not None:
            engine.append(found, results)
    return found


def _lowbit(
    quick: bool, threads: int, isa: str, results: Path | None, recorded: bool, quiet: bool
) -> lowbit.Bench:
    from onebit.evidence import lowbit

    if recorded:
        folder = Path("docs/results") if results is None else results
        kept = lowbit.newest(folder)
        if kept is None:
            raise ValueError(f"{folder / lowbit.JOURNAL} holds no record: make one with --results {folder}")
        return kept
    shapes, batches = (lowbit.SHAPES[:1], lowbit.BATCHES[:2]) if quick else (lowbit.SHAPES, lowbit.BATCHES)
    command = f"onebit bench lowbit{' --quick' if quick else ''} --threads {threads}{f' --isa {isa}' if isa else ''}"
    with progress("timing linear layers", len(shapes) * len(batches), quiet=quiet) as advance:
        found = lowbit.bench(
            shapes, batches, threads=threads, isa=isa, repeats=7 if quick else 15, command=command, advance=advance
        )
    if results is not None:
        lowbit.append(found, results)
    return found
