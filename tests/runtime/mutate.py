"""A deterministic fuzzer of packed files that knows their grammar.

    python -m tests.runtime.mutate --count 100000           every reader on that many mutants
    python -m tests.runtime.mutate --count 1 --start 1234   one mutant again
    python -m tests.runtime.mutate --emit | ./fuzz_load -   to a reader outside, as frames (length, bytes)
    python -m tests.runtime.mutate --seeds FOLDER           the files that the mutants are made of
    python -m tests.runtime.mutate --count 2000 --texts     every sentence that they are refused with, once

A reader may accept a mutant or raise ``ValueError`` with one sentence; everything else is a finding, and so are a hang,
a process that dies, a load that allocates more than the file's size allows, and one reader accepting what the other
refuses. What is accepted is run with small inputs by both, and the bits compared.
"""

from __future__ import annotations

import argparse
import os
import re
import struct
import sys
import traceback
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from onebit.cli.output import progress

from .mutants import good_files, mutant
from .watch import watch


def read_native(data: bytes) -> Any:
    """The engine's model."""
    from onebit.runtime.model import Model

    return Model(data, max_memory=1 << 26)


def read_interpreter(data: bytes) -> Any:
    """The interpreter's model."""
    from onebit.runtime.model import Model

    return Model(data, isa="interpreter", max_memory=1 << 26)


def verdict(read: Callable[[bytes], Any], data: bytes) -> tuple[Any, str]:
    """The model, or None and why not. Anything but ``ValueError`` passes through."""
    try:
        return read(data), "accepted"
    except ValueError as error:
        return None, str(error)


def small_inputs(model: Any, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Inputs for a model with every symbol of this size; no array above a megabyte."""
    from onebit.runtime.port import Gate

    arrays = []
    for port in model.inputs:
        gate = Gate("input", port)
        symbols = {symbol: size for dim in port.shape if isinstance(dim, str) for symbol in dim.split("*")}
        if gate.nbytes(symbols) > 1 << 20:
            raise ValueError("too large to try")
        values = rng.normal(size=gate.shape(symbols)) * 2
        arrays.append(np.where(values < 0, -1, 1).astype(np.int8) if port.dtype == "bit" else values.astype(gate.dtype))
    return arrays


def outcome(model: Any, arrays: list[np.ndarray]) -> list[np.ndarray] | str:
    """What a run gives, and the state after it; or the error."""
    try:
        results = model.run(*arrays)
    except ValueError as error:
        return str(error)
    return [*(results if isinstance(results, tuple) else (results,)), *model.state.values()]


def differ(a: list[np.ndarray] | str, b: list[np.ndarray] | str) -> bool:
    """Whether two outcomes differ; any NaN equals any NaN, -0.0 is not 0.0."""
    if isinstance(a, str) or isinstance(b, str):
        if any(isinstance(said, str) and "memory" in said for said in (a, b)):  # each counts its own
            return False
        return isinstance(a, str) != isinstance(b, str)
    return len(a) != len(b) or any(
        x.dtype != y.dtype
        or not np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
        or (x.dtype.kind == "f" and not np.array_equal(np.signbit(x) & (x == 0), np.signbit(y) & (y == 0)))
        for x, y in zip(a, b, strict=True)
    )


#: Counting memory makes a load several times slower: it is done for one mutant of so many.
COUNTED = 5


def load_bound(size: int) -> int:
    """Bytes that the Python reader may hold while it loads a file of this size (docs/file-format.md)."""
    return (1 << 20) + 64 * size


#: What a person should never read: other languages' words, and errors that passed through.
RAW = re.compile(r"std::|KeyError|TypeError|Traceback|<class|object at 0x|\bnullopt\b|NoneType|JSONDecodeError")


def is_sentence(text: str) -> bool:
    """Whether an error is one line of a length that a person reads, without the insides of the program."""
    return 0 < len(text) <= 600 and text.isprintable() and not RAW.search(text)


def finding(index: int) -> str | None:
    """What is wrong with how the readers treat mutant ``index``; None for nothing."""
    try:
        return _finding(index, mutant(index))
    except Exception as error:  # anything but ValueError, whatever it is
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"mutant {index}: {type(error).__name__}: {error} ({place.filename}, line {place.lineno})"


def _finding(index: int, data: bytes) -> str | None:
    native, why_native = verdict(read_native, data)
    if index % COUNTED == 0:
        tracemalloc.start()
    reference, why_reference = verdict(read_interpreter, data)
    held = tracemalloc.get_traced_memory()[1]  # 0 where nothing is counted
    tracemalloc.stop()
    if held > load_bound(len(data)):
        return f"mutant {index}: the Python reader held {held} bytes for a file of {len(data)}"
    for why in (why_native, why_reference):
        if not is_sentence(why):
            return f"mutant {index}: no sentence: {why!r}"
    if (native is None) != (reference is None):
        return f"mutant {index}: the engine says {why_native!r}, the interpreter {why_reference!r}"
    if native is None:
        return None
    for size in (0, 1, 3):
        try:
            arrays = small_inputs(native, size, np.random.default_rng(index))
        except ValueError:
            continue
        ours, theirs = outcome(native, arrays), outcome(reference, arrays)
        if differ(ours, theirs):
            return f"mutant {index}, size {size}: the engine gives {ours!r}, the interpreter {theirs!r}"
    return None


def texts(index: int) -> str | None:
    """How both readers refuse mutant ``index``; None where they take it."""
    data = mutant(index)
    said = [verdict(read, data)[1] for read in (read_native, read_interpreter)]
    return None if said[0] == "accepted" else "\n".join(said)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="number of mutants")
    parser.add_argument("--start", type=int, default=0, help="the first mutant")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--limit", type=float, default=60, help="seconds that one mutant may take")
    parser.add_argument("--emit", action="store_true", help="write the mutants out instead of judging them")
    parser.add_argument("--seeds", type=Path, help="write the files that mutants are made of into this folder")
    parser.add_argument("--texts", action="store_true", help="print the sentences of refusals, numbers left out")
    arguments = parser.parse_args()
    numbers = range(arguments.start, arguments.start + arguments.count)
    if arguments.seeds:
        arguments.seeds.mkdir(parents=True, exist_ok=True)
        for name, file in good_files().items():
            (arguments.seeds / name.replace(" ", "-")).write_bytes(file)
        return 0
    if arguments.emit:
        for data in map(mutant, numbers):
            sys.stdout.buffer.write(struct.pack("<Q", len(data)) + data)
        return 0
    judge = texts if arguments.texts else finding
    found = set() if arguments.texts else []
    with progress("mutated files", len(numbers)) as advance:
        for problem in watch(judge, numbers, arguments.jobs, arguments.limit, advance):
            if arguments.texts:
                found |= {re.sub(r"'[^']*'", "'...'", re.sub(r"\d+", "0", line)) for line in problem.splitlines()}
            else:
                found.append(problem)
                print(problem, flush=True)
    if arguments.texts:
        print("\n".join(sorted(found)))
        return 0
    print(f"{arguments.count} mutants of {len(good_files())} files, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
