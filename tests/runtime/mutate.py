"""A deterministic fuzzer of packed files that knows their grammar.

    python -m tests.runtime.mutate --count 100000           every reader on that many mutants
    python -m tests.runtime.mutate --count 1 --start 1234   one mutant again
    python -m tests.runtime.mutate --emit | ./fuzz_load -   to a reader outside, as frames (length, bytes)

A reader may accept a mutant or raise ``ValueError``; everything else is a finding, and so is one reader accepting what
the other refuses. What is accepted is run with small inputs by both, and the bits compared.
"""

from __future__ import annotations

import argparse
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from .mutants import mutant


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
        return isinstance(a, str) != isinstance(b, str)
    return any(
        x.dtype != y.dtype
        or not np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
        or (x.dtype.kind == "f" and not np.array_equal(np.signbit(x) & (x == 0), np.signbit(y) & (y == 0)))
        for x, y in zip(a, b, strict=True)
    )


def finding(index: int) -> str | None:
    """What is wrong with how the readers treat mutant ``index``; None for nothing."""
    try:
        return _finding(index, mutant(index))
    except Exception as error:  # anything but ValueError, whatever it is
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"mutant {index}: {type(error).__name__}: {error} ({place.filename}, line {place.lineno})"


def _finding(index: int, data: bytes) -> str | None:
    native, why_native = verdict(read_native, data)
    reference, why_reference = verdict(read_interpreter, data)
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


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100000, help="number of mutants")
    parser.add_argument("--start", type=int, default=0, help="the first mutant")
    parser.add_argument("--emit", action="store_true", help="write the mutants out instead of judging them")
    arguments = parser.parse_args()
    found = 0
    for index in range(arguments.start, arguments.start + arguments.count):
        if arguments.emit:
            data = mutant(index)
            sys.stdout.buffer.write(struct.pack("<Q", len(data)) + data)
            continue
        problem = finding(index)
        if problem:
            found += 1
            print(problem)
    if not arguments.emit:
        print(f"{arguments.count} mutants, {found} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
