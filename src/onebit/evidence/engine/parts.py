"""The whole benchmark: ceiling, layers, networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from onebit.core.errors import check_range
from onebit.evidence.engine import ceiling, layers, networks
from onebit.evidence.engine.record import Bench
from onebit.evidence.engine.shape import SHAPES

PARTS = ("ceiling", "layers", "networks")
#: Timed runs of each layer and network, and seconds spent on each ceiling.
FULL, QUICK = (30, 20, 0.5), (6, 4, 0.05)


def steps(parts: Sequence[str] = PARTS, quick: bool = False, threads: int | None = None) -> int:
    """How often :func:`bench` calls ``advance``."""
    _check_parts(parts)
    counts = {
        "ceiling": 1,
        "layers": len(SHAPES),
        "networks": len(networks.NETWORKS) * len(_batches(quick)) * len(networks.default_threads(threads)),
    }
    return sum(counts[part] for part in parts)


def bench(
    parts: Sequence[str] = PARTS,
    quick: bool = False,
    threads: int | None = None,
    isa: str | None = None,
    command: str = "onebit bench engine",
    advance: Callable[[], object] = lambda: None,
) -> Bench:
    """What ``onebit bench engine`` measures.

    Args:
        parts: of :data:`PARTS`.
        quick: fewer repetitions, networks at batch 1 alone.
        threads: of the engine and its peers; None: one for layers, one and two for networks.
        isa: instruction set of the engine; the fastest by default. Ceilings are of all, or of this one.
        command: written into the record.
        advance: called after each layer and each run of a network.

    Raises:
        ValueError: an unknown part, a number out of its range, an instruction set that the machine has not or that has
            no micro-kernel.
    """
    _check_parts(parts)
    check_range("threads", 1 if threads is None else threads, 1, 1024)
    known = ceiling.isas()
    if isa is not None and isa not in known:
        raise ValueError(f"--isa must be one of {', '.join(known)} on this machine, got {isa!r}")
    for_layers, for_networks, seconds = QUICK if quick else FULL
    found: dict[str, Any] = {}
    if "ceiling" in parts:
        found["ceilings"] = ceiling.ceilings(known if isa is None else [isa], seconds)
        found["copying"] = ceiling.copying(seconds)
        advance()
    if "layers" in parts:
        found["layers"] = layers.measure_all(
            SHAPES, advance, threads=threads or 1, repeats=for_layers, isa=isa, seconds=seconds / 5
        )
    if "networks" in parts:
        found["networks"] = [
            networks.measure(
                network, _batches(quick), networks.default_threads(threads), for_networks, isa=isa, advance=advance
            )
            for network in networks.NETWORKS
        ]
    return Bench.now(command, **found)


def _check_parts(parts: Sequence[str]) -> None:
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"--parts must be of {', '.join(PARTS)}, got {part!r}")


def _batches(quick: bool) -> tuple[int, ...]:
    return networks.BATCHES[:1] if quick else networks.BATCHES
