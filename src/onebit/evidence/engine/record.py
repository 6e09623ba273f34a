"""What one run of the benchmark found, as values and as a line of a journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from onebit.core import journal
from onebit.core.errors import UNREADABLE, reason
from onebit.evidence.engine import table
from onebit.evidence.engine.ceiling import Ceiling, Copying
from onebit.evidence.engine.layers import Layer
from onebit.evidence.engine.memory import Memory
from onebit.evidence.engine.networks import Measured, Run
from onebit.evidence.engine.timing import Timing

#: The journal in the folder of results.
JOURNAL = "bench/engine.jsonl"
#: Distributions of the peers.
PACKAGES = ("torch", "onnxruntime", "openvino")


@dataclass(frozen=True)
class Bench:
    """The rows of ``onebit bench engine``; ``str`` is the tables.

    Args:
        command: that measured it.
        date: of the measurement, ISO 8601.
        made_on: processor, commit and versions, see :func:`onebit.learn.environment.describe`.
        versions: of the peers.
        ceilings: the bare micro-kernel.
        copying: copying memory.
        layers: single layers.
        networks: whole networks.
    """

    command: str
    date: str
    made_on: dict[str, Any]
    versions: dict[str, str]
    ceilings: list[Ceiling] = field(default_factory=list)
    copying: list[Copying] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    networks: list[Measured] = field(default_factory=list)

    @classmethod
    def now(cls, command: str, **parts: Any) -> Bench:
        """What has just been measured, by ``command``."""
        from onebit.learn.environment import describe

        versions = {}
        for package in PACKAGES:
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
        return cls(command, datetime.now(UTC).isoformat(timespec="seconds"), describe(), versions, **parts)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Bench:
        """A line of the journal.

        Raises:
            ValueError: it is something else.
        """
        try:
            given = dict(record)
            return cls(
                **given
                | {
                    "ceilings": [Ceiling(**row) for row in given["ceilings"]],
                    "copying": [Copying(**row) for row in given["copying"]],
                    "layers": [_layer(row) for row in given["layers"]],
                    "networks": [_network(row) for row in given["networks"]],
                }
            )
        except UNREADABLE as error:
            raise ValueError(f"this is no record of the engine's benchmark: {reason(error)}") from None

    def plain(self) -> dict[str, Any]:
        """As a line of the journal."""
        return asdict(self)

    def only(self, parts: Sequence[str]) -> Bench:
        """With these parts alone, of :data:`onebit.evidence.engine.PARTS`."""
        kept = self if "ceiling" in parts else replace(self, ceilings=[], copying=[])
        kept = kept if "layers" in parts else replace(kept, layers=[])
        return kept if "networks" in parts else replace(kept, networks=[])

    def __str__(self) -> str:
        return table.text(self)


def append(bench: Bench, results: Path) -> None:
    """Add what was measured to the journal in the folder ``results``."""
    path = results / JOURNAL
    path.parent.mkdir(parents=True, exist_ok=True)
    journal.append(path, bench.plain())


def newest(results: Path) -> Bench | None:
    """The newest record in the folder ``results``; None without one.

    Raises:
        ValueError: the journal holds something else; the text names it.
    """
    records = journal.read(results / JOURNAL)
    try:
        found = [Bench.read(record) for record in records]
    except ValueError as error:
        raise ValueError(f"{results / JOURNAL}: {error}") from None
    return max(found, key=lambda bench: bench.date, default=None)


def _timings(given: Mapping[str, Any]) -> dict[str, Timing]:
    return {name: Timing(**timing) for name, timing in given.items()}


def _layer(given: Mapping[str, Any]) -> Layer:
    return Layer(**dict(given) | {name: _timings(given[name]) for name in ("engine", "peers")})


def _network(given: Mapping[str, Any]) -> Measured:
    runs = [
        Run(**dict(run) | {"engine": Timing(**run["engine"]), "peers": _timings(run["peers"])}) for run in given["runs"]
    ]
    memory = {name: Memory(**taken) for name, taken in given["memory"].items()}
    timings = {name: _timings(given[name]) for name in ("load", "first")}
    return Measured(**dict(given) | timings | {"runs": runs, "memory": memory})
