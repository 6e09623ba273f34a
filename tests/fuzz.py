"""Random graphs through passes, packed file and engine, for as long as one likes.

    python -m tests.fuzz --count 100000                      seeds 0 to 99,999, a process a core
    python -m tests.fuzz --start 1234 --count 1              one seed again
    python -m tests.fuzz --replay build/fuzz/seed-1234.onebit   a saved case again

What must hold is in ``tests/graphs/checks.py``: each pass keeps what the graph computes, and the engine gives the
interpreter's bits on every instruction set and number of threads. Every tenth seed multiplies random matrices as well.
A process that dies or stands still is a finding too. Findings are shrunk to few nodes and saved with their inputs;
exit status 1 if there are any.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

from tests.engine.build import ISAS
from tests.engine.products import check_product
from tests.graphs import case as cases
from tests.graphs.checks import check
from tests.graphs.isolated import Farm, signature
from tests.graphs.shrink import shrink

from onebit.cli.output import progress

FOLDER = Path("build/fuzz")
MOST_FINDINGS = 10
PATIENCE = 300.0  # seconds that one graph may take


def one(seed: int) -> None:
    """Everything that must hold of one seed; raises what does not."""
    check(cases.random_case(seed), seed)
    if seed % 10 == 0:
        check_product(seed)


def keep(seed: int, why: str, folder: Path, seconds: float) -> str:
    """Shrink the case of a seed, save it, and say how to see it again."""
    try:
        case = cases.random_case(seed)
    except Exception as error:
        return f"seed {seed}: {why}; the graph cannot be made: {type(error).__name__}: {error}"

    def fails(smaller: cases.Case) -> str | None:
        return signature(lambda: check(smaller, seed))

    sort = fails(case)
    if sort is None:
        return f"seed {seed}: {why}; not of the graph, or it does not happen again: --start {seed} --count 1"
    small = shrink(case, lambda smaller: fails(smaller) == sort, seconds=seconds)
    folder.mkdir(parents=True, exist_ok=True)
    path, beside = cases.save(small, folder / f"seed-{seed}.onebit", f"turn {seed}; {why}")
    return (
        f"seed {seed}: {why}\n{cases.text(small)}\nSaved as {path} and {beside}; again with\n"
        f"    python -m tests.fuzz --replay {path} --turn {seed}"
    )


def replay(path: Path, turn: int) -> int:
    """Check a saved case."""
    case = cases.load(path)
    print(cases.text(case))
    try:
        check(case, turn)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    print("Nothing is wrong with it")
    return 0


def elapsed(since: float) -> str:
    """The time since then: ``12 min 3 s``."""
    minutes, seconds = divmod(round(time.monotonic() - since), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="how many graphs (100000)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one a core)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where findings are saved ({FOLDER})")
    parser.add_argument("--shrink", type=float, default=60.0, help="seconds to make one finding smaller (60)")
    parser.add_argument("--replay", type=Path, help="check this saved case instead")
    parser.add_argument("--turn", type=int, default=0, help="of --replay: which threads meet which instruction set")
    options = parser.parse_args()
    warnings.simplefilter("error")  # a pass or a kind that warns is a finding
    if options.replay:
        try:
            return replay(options.replay, options.turn)
        except (OSError, ValueError) as error:
            print(f"tests.fuzz: {error}", file=sys.stderr)
            return 2
    begin = time.monotonic()
    findings: list[tuple[int, str]] = []
    seeds = range(options.start, options.start + options.count)
    done = 0
    with progress("random graphs", options.count) as advance:
        said = begin
        for count, found in Farm(one, seeds, options.jobs, PATIENCE):
            done += count
            advance(count)
            findings += found
            for seed, why in found:
                print(f"seed {seed}: {why}", file=sys.stderr, flush=True)
            if not sys.stderr.isatty() and time.monotonic() - said > 60:
                said = time.monotonic()
                print(f"{done} of {len(seeds)} graphs, {elapsed(begin)}, {len(findings)} findings", file=sys.stderr)
            if len(findings) >= MOST_FINDINGS:
                break
    for seed, why in sorted(findings):
        print(keep(seed, why, options.folder, options.shrink), flush=True)
    took = elapsed(begin)
    if findings:
        print(f"{done} random graphs in {took}, {len(findings)} findings")
        return 1
    print(f"{done} random graphs in {took}: passes, packed file, engine ({', '.join(ISAS)}) and interpreter agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
