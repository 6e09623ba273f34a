"""``onebit bench``: measurements of speed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from onebit.cli.arguments import Name, OptionalInt, OptionalPath
from onebit.cli.output import plain, print_json, progress

if TYPE_CHECKING:
    from onebit.evidence import engine, lowbit


def bench(
    track: Positional[Literal["engine", "lowbit"]] = "engine",
    /,
    *,
    parts: str = "ceiling,layers,networks",
    quick: bool = False,
    threads: OptionalInt = None,
    isa: Name = "",
    results: OptionalPath = None,
    recorded: bool = False,
    json: bool = False,
) -> None:
    """Time the engine against its own ceiling, PyTorch, ONNX Runtime in float32 and in int8, in turns in one process.

    Some minutes on two cores that have nothing else to do; --quick takes about one.

    lowbit: linear layers of language models, ternary weights and bits, against a plain read of the same bytes, PyTorch
    and ONNX Runtime (int8, 4 bits).

    Example: onebit bench engine --quick --parts layers

    Args:
        track: what is measured.
        parts: of engine: of ceiling (the bare micro-kernel), layers, networks, with commas between them.
        quick: fewer repetitions, networks at batch 1 only, for a first look.
        threads: of the engine and its peers; by default one for layers, one and two for networks.
        isa: instruction set of the engine; by default the fastest.
        results: record what was measured in this folder, docs/results for the report; by default it is only printed.
        recorded: measure nothing, print the parts of the newest record in the folder of --results.
        json: print JSON.
    """
    from onebit.core.errors import check_range

    check_range("--threads", 1 if threads is None else threads, 1, 1024)
    found: engine.Bench | lowbit.Bench
    if track == "lowbit":
        found = _lowbit(quick, 1 if threads is None else threads, isa, results, recorded, json)
    else:
        found = _engine(parts, quick, threads, isa, results, recorded, json)
    if json:
        print_json(plain(found.plain()))
    else:
        print(found)


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
