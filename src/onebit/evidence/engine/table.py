"""The tables of the benchmark as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onebit.core.tables import plain_table
from onebit.evidence.engine import peers
from onebit.evidence.engine.layers import ENGINE
from onebit.evidence.engine.shape import FORMS

if TYPE_CHECKING:
    from onebit.evidence.engine.layers import Layer
    from onebit.evidence.engine.networks import Measured
    from onebit.evidence.engine.record import Bench
    from onebit.evidence.engine.timing import Timing

Table = tuple[Sequence[str], list[list[str]]]
SHORT = {peers.TORCH: "PyTorch", peers.ORT: "ORT float32", peers.ORT_INT8: "ORT int8"}


def text(bench: Bench) -> str:
    """All tables, with what stands above and below them."""
    parts = [heading(bench)]
    if bench.ceilings:
        parts += [
            "Ceiling: the bare micro-kernel on data in the first-level cache, one thread",
            _plain(ceilings(bench)),
        ]
        copied = ", ".join(f"{row.level} {row.rate / 1e9:.0f} GB/s" for row in bench.copying)
        parts += [f"Copying, read and written: {copied}."]
    if bench.layers:
        first = bench.layers[0]
        parts += [
            f"Layers of bits on {_threads(first.threads)}, {first.isa}: microseconds (minimum), share of the ceiling, "
            "and how many times as fast as the peer",
            _plain(layers(bench.layers)),
            "GMAC/s of the same layers",
            _plain(rates(bench.layers)),
        ]
    if bench.networks:
        parts += [
            "Networks of bits and their float twins: milliseconds (minimum), and how many times as fast the engine is",
            _plain(networks(bench.networks)),
            f"Loading, first run, and peak memory of one image on one thread, {bench.networks[0].isa}",
            _plain(files(bench.networks)),
            "Where the engine's time goes, one image on one thread",
            _plain(kinds(bench.networks)),
        ]
    return "\n\n".join([*parts, *notes(bench)])


def heading(bench: Bench) -> str:
    """Machine, versions and how it was measured."""
    made = bench.made_on
    clock = next((row.clock for row in bench.ceilings if row.clock), None)
    said = f"{clock / 1e9:.2f} GHz" if clock else "clock not known"
    versions = ", ".join(f"{name} {version}" for name, version in bench.versions.items())
    return (
        f"{made['cpu']}, {made['cores']} cores{f', {said}' if bench.ceilings else ''}; "
        f"onebit {made['onebit']}, {versions}\n"
        "Medians of runs that took turns in one process, minima in brackets."
    )


def ceilings(bench: Bench) -> Table:
    """The bare micro-kernel."""
    rows = [
        [
            row.isa,
            row.arithmetic,
            f"{row.rate / 1e9:.0f}",
            "clock not known" if row.per_cycle is None else f"{row.per_cycle:.0f}",
        ]
        for row in bench.ceilings
    ]
    return ["instruction set", "numbers", "GMAC/s", "MAC a cycle"], rows


def layers(rows: Sequence[Layer]) -> Table:
    """Time, share of the ceiling and ratios."""
    names = _peers(row.peers for row in rows)
    columns = ["layer", "shape", "bits out us", "of ceiling", "float+bits out us", "of ceiling"]
    columns += [f"x {SHORT.get(name, name)}" for name in names]
    made = []
    for row in rows:
        line = [row.kind, row.shape]
        for form in FORMS:
            line += [_time(row.engine[form], 1e6), f"{row.share(form):.0%}"]
        made.append(line + [_times(row.ratio("float", name)) for name in names])
    return columns, made


def rates(rows: Sequence[Layer]) -> Table:
    """Multiply-accumulates per second of every engine."""
    names = _peers(row.peers for row in rows)
    columns = ["layer", "shape", "ceiling", "bits out", "float+bits out", *(SHORT.get(name, name) for name in names)]
    made = []
    for row in rows:
        line = [row.kind, row.shape, f"{row.ceiling * row.threads / 1e9:.0f}"]
        line += [f"{row.rate(form) / 1e9:.0f}" for form in FORMS]
        made.append(line + [f"{row.macs / row.peers[n].median / 1e9:.0f}" if n in row.peers else "-" for n in names])
    return columns, made


def networks(rows: Sequence[Measured]) -> Table:
    """Latency of every network at every batch and number of threads."""
    names = _peers(run.peers for row in rows for run in row.runs)
    columns = ["network", "batch", "threads", "engine ms", "x one thread"]
    for name in names:
        columns += [f"{SHORT.get(name, name)} ms", "x"]
    made = []
    for row in rows:
        for run in row.runs:
            one = row.run(run.batch, 1)
            speedup = None if one is None or run.threads == 1 else one.engine.median / run.engine.median
            line = [f"{row.name} {row.size}x{row.size}", str(run.batch), str(run.threads)]
            line += [_time(run.engine, 1e3), _times(speedup, 2)]
            for name in names:
                line += [_time(run.peers[name], 1e3) if name in run.peers else "-", _times(run.ratio(name))]
            made.append(line)
    return columns, made


def files(rows: Sequence[Measured]) -> Table:
    """Size of the file, time of loading and of the first run, memory."""
    columns = ["network", "engine", "file KiB", "of its numbers", "load ms", "first run ms", "peak MiB", "growth KiB"]
    made = []
    for row in rows:
        for name in [ENGINE, *(name for name in row.memory if name != ENGINE)]:
            ours, taken = name == ENGINE, row.memory.get(name)
            made.append(
                [
                    row.name,
                    "onebit" if ours else SHORT.get(name, name),
                    f"{row.file_bytes / 1024:.0f}" if ours else "",
                    f"{row.file_bytes / row.needed_bytes:.3f}" if ours else "",
                    _time(row.load[name], 1e3) if name in row.load else "-",
                    _time(row.first[name], 1e3) if name in row.first else "-",
                    "-" if taken is None else f"{taken.peak / 2**20:.1f}",
                    "-" if taken is None else f"{taken.growth / 1024:.0f}",
                ]
            )
    return columns, made


def kinds(rows: Sequence[Measured]) -> Table:
    """Share of the time by what it is spent on."""
    names = list(dict.fromkeys(what for row in rows for what in row.time if what != "rest"))
    return (
        ["time in", *(row.name for row in rows)],
        [[what, *(f"{row.time[what]:.1%}" if what in row.time else "" for row in rows)] for what in [*names, "rest"]],
    )


def notes(bench: Bench) -> list[str]:
    """What the reader should know: who ran in integers, who was left out."""
    said = []
    rows: list[Layer | Measured] = [*bench.layers, *bench.networks]
    integer = [
        sum(row.nodes[peers.ORT_INT8].get(kind, 0) for kind in _INTEGER) for row in rows if peers.ORT_INT8 in row.nodes
    ]
    if integer:
        found = {kind for row in rows for kind in row.nodes.get(peers.ORT_INT8, {}) if kind in _INTEGER}
        said.append(
            f"ORT int8: quant_pre_process, then quantize_static (QDQ, uint8 x int8, a scale a channel); in its "
            f"optimized graphs {sum(integer)} products of {len(integer)} networks are {', '.join(sorted(found))}."
        )
    skipped = {(name, why) for row in rows for name, why in row.skipped.items()}
    said += [f"Left out: {peers.LABELS.get(name, name)}: {why}." for name, why in sorted(skipped)]
    if bench.networks:
        said.append(
            "Peak memory: of a process that loads the network and runs one image, above what importing took; growth: "
            "of the peak over further runs. The file's numbers: bits, 8-bit integers and floats, as dense as they are."
        )
    return said


_INTEGER = tuple(kind for kinds in peers.INTEGER_PRODUCTS.values() for kind in kinds)


def _peers(found: Iterable[dict[str, Timing]]) -> list[str]:
    return list(dict.fromkeys(name for timings in found for name in timings))


def _time(timing: Timing, scale: float) -> str:
    digits = 2 if timing.median * scale < 10 else 1 if timing.median * scale < 1000 else 0
    return f"{timing.median * scale:.{digits}f} ({timing.minimum * scale:.{digits}f})"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _times(ratio: float | None, digits: int = 1) -> str:
    return "-" if ratio is None else f"{ratio:.{digits}f}"


def _plain(table: Table) -> str:
    columns, rows = table
    left = {0, 1} if columns[1] in ("shape", "numbers", "engine") else {0}
    return plain_table(columns, rows, right=[i for i in range(len(columns)) if i not in left])
