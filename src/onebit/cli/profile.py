"""``onebit profile``: where the time of a run goes, operation by operation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onebit.cli.arguments import Name, OptionalFile, Sizes
from onebit.cli.output import in_bytes, in_count, in_seconds, packed_file, plain, print_json, print_table, progress

if TYPE_CHECKING:
    from onebit.runtime import Operation, Port, Profile


def profile(
    file: OptionalFile = None,
    /,
    *,
    example: bool = False,
    batch: int = 1,
    size: Sizes = (),
    repeats: int = 50,
    threads: int = 1,
    isa: Name = "",
    json: bool = False,
) -> None:
    """Print where the time of a run goes: the operations of the engine, the nodes that each does, and its seconds.

    A product and the pointwise nodes after it are one operation. Nodes are numbered as `onebit inspect` numbers them.
    The inputs are random numbers; whole numbers are 0, since tables may be looked up with them. What no
    operation explains, the rest, is Python, the copies at the border and state tensors.

    Example: onebit profile network.onebit

    Example: onebit profile network.onebit --batch 32 --threads 4

    Example: onebit profile language.onebit --size length=128

    Example: onebit profile --example

    Args:
        file: the packed file.
        example: profile the network for MNIST that comes with the package.
        batch: sizes of the inputs that the file leaves open.
        size: NAME=VALUE of one such size, where there are several, such as length=128; several may follow.
        repeats: timed runs.
        threads: of the engine.
        isa: instruction set of the engine; see `onebit list engine`. The best of this machine by default.
        json: print JSON.
    """
    from onebit import examples, runtime
    from onebit.core.errors import check_range

    check_range("--batch", batch, 1)
    check_range("--repeats", repeats, 1)
    check_range("--threads", threads, 1, 1024)
    if example == (file is not None):
        raise ValueError("give either FILE or --example, got " + ("both" if example else "neither"))
    path = packed_file(file) if file is not None else examples.network("mnist")
    model = runtime.load(path, threads=threads, isa=isa or None)
    inputs = random_inputs(model.inputs, batch, size)
    with progress(f"{repeats} runs of {path.name}", quiet=json):
        found = model.profile(*inputs, repeats=repeats)
    if json:
        rows = [plain(operation) | {"what": operation.what} for operation in found.operations]
        print_json({"file": path} | plain(found) | {"operations": rows})
    else:
        _print(path, [port._replace(shape=x.shape) for port, x in zip(model.inputs, inputs)], found)


def random_inputs(ports: Sequence[Port], batch: int, sizes: Sequence[str] = ()) -> list[np.ndarray]:
    """Arrays that fit the inputs of a packed network.

    Args:
        ports: the inputs.
        batch: every symbol of a shape that ``sizes`` does not name.
        sizes: ``NAME=VALUE`` each.

    Returns:
        Normal random numbers, random bytes, bits and booleans; integers of 32 and 64 bits are 0.
    """
    from onebit.cli.model import parse_sizes
    from onebit.core.registry import unknown
    from onebit.runtime.port import Gate, factors

    names = {name: batch for port in ports for dim in port.shape for name in factors(dim)[1]}
    for name, value in parse_sizes(sizes).items():
        if name not in names:
            raise ValueError(unknown("size", name, names))
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"--size {name} must be an integer of 1 or more, got {value}")
        names[name] = value
    rng = np.random.default_rng(0)

    def array(port: Port) -> np.ndarray:
        shape = Gate("input", port).shape(names)
        try:
            return values(port, shape)
        except (MemoryError, ValueError):
            raise ValueError(f"input {port._replace(shape=shape)} is more than the memory of this machine") from None

    def values(port: Port, shape: tuple[int, ...]) -> np.ndarray:
        if port.dtype == "bit":
            return (2 * rng.integers(0, 2, shape) - 1).astype(np.int8)
        if port.dtype in ("int32", "int64"):
            return np.zeros(shape, port.dtype)
        if port.dtype == "float32":
            return rng.standard_normal(shape, np.float32)
        return rng.integers(0, 2 if port.dtype == "bool" else 128, shape).astype(port.dtype)

    return [array(port) for port in ports]


def _print(path: Path, inputs: Iterable[Port], found: Profile) -> None:
    print_table(
        f"{path}: {'; '.join(map(str, inputs))}; {found.isa}, threads: {found.threads}, {found.repeats} runs",
        ("nodes", "<operation>", "<result>", "median", "least", "share", "macs", "macs/s", "read", "written"),
        (
            (
                spans(operation.nodes),
                " + ".join([operation.what, *operation.kinds[1:]]),
                f"{operation.output.dtype} {'x'.join(map(str, operation.output.shape))}",
                in_seconds(operation.median),
                in_seconds(operation.minimum),
                f"{100 * operation.share:.1f} %",
                *_macs([operation]),
                in_bytes(operation.bytes_read),
                in_bytes(operation.bytes_written),
            )
            for operation in found.operations
        ),
    )
    explained = found.rest + sum(operation.median for operation in found.operations)
    print_table(
        "by kind",
        ("operation", "count", "median", "share", "macs", "macs/s"),
        (
            *(_summed(what, same, explained) for what, same in by_what(found.operations)),
            _summed("all operations", found.operations, explained),
            ("the rest", "", in_seconds(found.rest), f"{100 * found.rest / explained:.1f} %", "", ""),
            ("the sum", "", in_seconds(explained), "100.0 %", *_macs(found.operations, explained)),
        ),
        [
            f"A whole run took {in_seconds(found.median)} in the median, {in_seconds(found.minimum)} at least."
            + (" The machine has other work: more repeats make it clearer." if found.median > 1.2 * explained else "")
        ],
    )


def _summed(what: str, same: Sequence[Operation], whole: float) -> tuple[str, int, str, str, str, str]:
    seconds = sum(operation.median for operation in same)
    return what, len(same), in_seconds(seconds), f"{100 * seconds / whole:.1f} %", *_macs(same)


def _macs(operations: Sequence[Operation], seconds: float | None = None) -> tuple[str, str]:
    macs = sum(operation.macs for operation in operations)
    seconds = sum(operation.median for operation in operations) if seconds is None else seconds
    return (in_count(macs), in_count(macs / seconds)) if macs and seconds else ("", "")


def by_what(operations: Iterable[Operation]) -> list[tuple[str, list[Operation]]]:
    """The operations of each kind, those that take longest first."""
    same: dict[str, list[Operation]] = {}
    for operation in operations:
        same.setdefault(operation.what, []).append(operation)
    return sorted(same.items(), key=lambda item: -sum(operation.median for operation in item[1]))


def spans(numbers: Iterable[int]) -> str:
    """Numbers in few letters.

    Example:
        >>> spans([2, 3, 4, 7, 9, 10])
        '2-4, 7, 9-10'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
