"""What one run of the benchmark of linear layers finds: rows, a table, a line of a journal."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onebit.core import journal
from onebit.core.errors import UNREADABLE, reason
from onebit.core.tables import plain_table
from onebit.evidence.engine import Timing, latency
from onebit.evidence.engine.peers import torch_threads
from onebit.evidence.lowbit.matrices import BITS, CACHES, PEERS, Matrices, Ours

#: The journal in the folder of results.
JOURNAL = "bench/lowbit.jsonl"
#: (inputs, outputs) of the matrices, and rows of the input.
SHAPES = ((4096, 4096), (4096, 11008), (11008, 4096))
BATCHES = (1, 4, 16)
LABELS = {
    "ternary": "onebit ternary, int8",
    "bit": "onebit bits, int8",
    "torch_float32": "PyTorch float32",
    "torch_bfloat16": "PyTorch bfloat16",
    "onnxruntime_int8": "ONNX Runtime int8",
    "onnxruntime_4bit": "ONNX Runtime MatMulNBits",
}


@dataclass(frozen=True)
class Row:
    """One matrix times some rows.

    Args:
        name: who multiplies, see :data:`LABELS`.
        inputs, outputs, batch: rows (batch, inputs) times a matrix (outputs, inputs).
        weight_bytes: of one matrix as it lies in memory, scales included.
        matrices: how many different ones a call goes through.
        time: of one.
        read: of a plain read of the same bytes in the same turns; None for peers.
    """

    name: str
    inputs: int
    outputs: int
    batch: int
    weight_bytes: int
    matrices: int
    time: Timing
    read: Timing | None

    @property
    def rate(self) -> float:
        """Bytes of weights per second."""
        return self.weight_bytes / self.time.median

    @property
    def share(self) -> float | None:
        """The share of the rate of a plain read."""
        return None if self.read is None else self.read.median / self.time.median


@dataclass(frozen=True)
class Bench:
    """The rows of ``onebit bench lowbit``; ``str`` is the table."""

    command: str
    date: str
    made_on: dict[str, Any]
    threads: int
    cache_bytes: int
    rows: list[Row]

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Bench:
        """A line of the journal.

        Raises:
            ValueError: it is something else.
        """
        try:
            return cls(**dict(record) | {"rows": [_row(row) for row in record["rows"]]})
        except UNREADABLE as error:
            raise ValueError(f"this is no record of low-bit linear layers: {reason(error)}") from None

    def plain(self) -> dict[str, Any]:
        """As a line of the journal."""
        return asdict(self)

    @property
    def heading(self) -> str:
        """The machine, and what a call is."""
        through = f"each call goes through {CACHES} x {self.cache_bytes >> 20} MiB of weights"
        return f"{self.made_on['cpu']}; {self.command}, {self.date[:10]}; threads: {self.threads}; {through}"

    @property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows."""
        columns = ["matrix", "rows", "weights", "us", "minimum", "GB/s", "of a plain read"]
        rows = [
            [
                f"{row.inputs} x {row.outputs}",
                str(row.batch),
                LABELS[row.name],
                f"{row.time.median * 1e6:.1f}",
                f"{row.time.minimum * 1e6:.1f}",
                f"{row.rate / 1e9:.1f}",
                "" if row.share is None else f"{row.share:.0%}",
            ]
            for row in self.rows
        ]
        return columns, rows

    def __str__(self) -> str:
        return f"{self.heading}\n\n{plain_table(*self.table, right=[1, 3, 4, 5, 6])}"


def bench(
    shapes: Sequence[tuple[int, int]] = SHAPES,
    batches: Sequence[int] = BATCHES,
    *,
    threads: int = 1,
    isa: str = "",
    repeats: int = 15,
    cache_bytes: int | None = None,
    command: str = "onebit bench lowbit",
    advance: Callable[[], object] = lambda: None,
) -> Bench:
    """Time matrices of these (inputs, outputs) with these numbers of rows.

    Args:
        threads: of all.
        isa: of the engine; empty: the fastest.
        repeats: timed calls of each, in turns.
        cache_bytes: of the last-level cache; None: what the system says.
        advance: called after each of ``len(shapes) * len(batches)`` steps.
    """
    from onebit.learn.environment import describe

    cache = last_level_cache() if cache_bytes is None else cache_bytes
    rows = []
    with tempfile.TemporaryDirectory() as folder, torch_threads(threads):
        for inputs, outputs in shapes:
            opened: list[Matrices] = [Ours(kind, inputs, outputs, cache, threads, isa) for kind in BITS]
            opened += [
                peer(inputs, outputs, cache, threads, Path(folder)) for peer in PEERS
            ]
            for batch in batches:
                rows += _measure(opened, batch, repeats)
                advance()
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return Bench(command, made, describe(), threads, cache, rows)


def append(found: Bench, results: Path) -> None:
    """Add what was measured to the journal in the folder ``results``."""
    path = results / JOURNAL
    path.parent.mkdir(parents=True, exist_ok=True)
    journal.append(path, found.plain())


def newest(results: Path) -> Bench | None:
    """The newest record in the folder ``results``; None without one.

    Raises:
        ValueError: the journal holds something else; the text names it.
    """
    try:
        found = [Bench.read(record) for record in journal.read(results / JOURNAL)]
    except ValueError as error:
        raise ValueError(f"{results / JOURNAL}: {error}") from None
    return max(found, key=lambda bench: bench.date, default=None)


def last_level_cache(cpu: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Bytes of the largest cache of a processor as the system tells it, 32 MiB where it does not."""
    found = [0]
    for size in cpu.glob("index*/size"):
        text = size.read_text().strip()
        unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
        found.append(int(text.rstrip("KM")) * unit)
    return max(found) or 32 << 20


def _row(given: Mapping[str, Any]) -> Row:
    read = None if given["read"] is None else Timing(**given["read"])
    return Row(**dict(given) | {"time": Timing(**given["time"]), "read": read})


def _measure(opened: Sequence[Matrices], batch: int, repeats: int) -> list[Row]:
    calls: dict[str, Callable[[], object]] = {}
    for one in opened:
        calls[one.name] = one.call(batch)
        if isinstance(one, Ours):
            calls[f"read {one.name}"] = one.read
    found = latency(calls, repeats, warmup=1)
    return [
        Row(
            one.name,
            one.inputs,
            one.outputs,
            batch,
            one.weight_bytes,
            one.count,
            found[one.name] / one.count,
            found[f"read {one.name}"] / one.count if isinstance(one, Ours) else None,
        )
        for one in opened
    ]
