"""The page of the engine's speed, from the newest records of its benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onebit.evidence import lowbit
from onebit.evidence.engine import FORMS, Bench, newest, peers, table
from onebit.evidence.engine.layers import Layer
from onebit.evidence.engine.networks import Measured
from onebit.evidence.records import made
from onebit.evidence.site.plots import figure

MARKS = {"conv 3x3": "o", "conv 1x1": "s", "linear": "^"}
ABOVE: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.45, 1.0), "ncols": 2, "fontsize": 8}
SAID = {"bits": "bits out", "float": "float and bits out"}


def engine(results: Path) -> dict[str, Any]:
    """What the engine's page shows; without a record it says how to make one."""
    bench = newest(results)
    said = f"Not measured yet: onebit bench engine --results {results}"
    page: dict[str, Any] = {"lead": [said], "sections": [], "made": []} if bench is None else _page(bench)
    matrices = lowbit.newest(results)
    if matrices is not None:
        section = _section("Linear layers of language models", matrices.table, [figure(rates(matrices), *_RATES)])
        page["sections"].append(section | {"lead": matrices.heading})
        page["made"].append(made(matrices.command, matrices.date, matrices.made_on))
    return page


def _page(bench: Bench) -> dict[str, Any]:
    sections = []
    if bench.ceilings:
        sections.append(_section("Ceiling", table.ceilings(bench), []))
    if bench.layers:
        figures = [
            figure(roofline(bench), "roofline", _ROOFLINE),
            figure(ratios(bench.layers), "ratios of layers", _RATIOS, 1 + 0.28 * len(bench.layers)),
        ]
        sections.append(_section("Layers of bits", table.layers(bench.layers), figures))
        sections.append(_section("GMAC/s of the same layers", table.rates(bench.layers), []))
    if bench.networks:
        figures = [
            figure(bars(bench.networks), "ratios of networks", "One image on one thread; medians."),
            figure(times(bench.networks), "where the time goes", "The engine's time on one image, one thread."),
        ]
        sections.append(_section("Networks of bits", table.networks(bench.networks), figures))
        sections.append(_section("Files, loading, memory", table.files(bench.networks), []))
        sections.append(_section("Where the time goes", table.kinds(bench.networks), []))
    lead = [*table.heading(bench).split("\n"), *table.notes(bench)]
    return {"lead": lead, "sections": sections, "made": [made(bench.command, bench.date, bench.made_on)]}


_ROOFLINE = (
    "Circles: 3x3 convolutions, squares: 1x1, triangles: linear layers. Bytes: what a layer must read and write at "
    "least. Flat: the bare micro-kernel; slanted: copying."
)
_RATIOS = "The form that gives float32 and bits; medians of runs that took turns."


def roofline(bench: Bench):
    """Draws every layer over its multiply-accumulates per byte, under the ceilings of arithmetic and of memory."""

    def draw(axes: Any) -> None:
        rows = bench.layers
        intensity = [row.macs / row.bytes[form] for row in rows for form in FORMS]
        x = np.geomspace(min(intensity) / 2, max(intensity) * 2, 64)
        top = rows[0].ceiling * rows[0].threads / 1e9
        roofs = [(row.rate / 1e9 * rows[0].threads, row.isa) for row in bench.ceilings if row.arithmetic == "bits"]
        low = min(row.rate(form) for row in rows for form in FORMS) / 1e9
        drawn: list[float] = []
        for rate, name in roofs or [(top, rows[0].isa)]:
            if rate > low and all(abs(rate / other - 1) > 0.1 for other in drawn):
                drawn.append(rate)
                names = [other for near, other in roofs if abs(near / rate - 1) <= 0.1] or [name]
                axes.axhline(rate, color="#000000", linewidth=0.8)
                axes.annotate(", ".join(names), (x[-1], rate), ha="right", va="bottom", fontsize=8)
        for copied in bench.copying:
            line = np.minimum(x * copied.rate / 1e9, top)
            axes.plot(x, line, color="#000000", linewidth=0.8, linestyle="--")
            at = int(np.searchsorted(line, top * 0.5))
            if 0 < at < len(x):
                axes.annotate(copied.level, (x[at], line[at]), ha="right", va="bottom", fontsize=8)
        for form in FORMS:
            for kind, mark in MARKS.items():
                chosen = [row for row in rows if row.kind == kind]
                label = SAID[form] if kind == rows[0].kind else None
                given = [row.macs / row.bytes[form] for row in chosen]
                reached = [row.rate(form) / 1e9 for row in chosen]
                axes.plot(given, reached, mark, color=f"C{FORMS.index(form)}", label=label, markersize=5)
        axes.set(xscale="log", yscale="log", xlabel="multiply-accumulates per byte", ylabel="GMAC/s")
        axes.legend(loc="lower right", fontsize=8)

    return draw


def ratios(rows: Sequence[Layer]):
    """Draws how many times as fast as its peers each layer is."""
    names = [f"{row.kind} {row.shape}" for row in rows]
    return _grouped(names, [row.peers for row in rows], lambda i, peer: rows[i].ratio("float", peer))


def bars(rows: Sequence[Measured]):
    """Draws how many times as fast as its float twin in each peer every network is."""
    runs = [(row.name, run) for row in rows if (run := row.run(1, 1)) is not None]
    return _grouped([name for name, _ in runs], [run.peers for _, run in runs], lambda i, peer: runs[i][1].ratio(peer))


_RATES = ("matrices a second", "One row, float32 or int8; medians. Weights come from memory, not from the caches.")


def rates(bench: lowbit.Bench):
    """Draws how many matrices a second everybody multiplies one row by."""
    shapes = list(dict.fromkeys((row.inputs, row.outputs) for row in bench.rows))
    least = min(row.batch for row in bench.rows)

    def draw(axes: Any) -> None:
        height = 0.8 / len(lowbit.LABELS)
        places = np.arange(len(shapes))
        for number, (name, label) in enumerate(lowbit.LABELS.items()):
            found = {(row.inputs, row.outputs): row for row in bench.rows if row.name == name and row.batch == least}
            lengths = [1 / found[shape].time.median if shape in found else 0 for shape in shapes]
            axes.barh(places + (number - (len(lowbit.LABELS) - 1) / 2) * height, lengths, height, label=label)
        axes.set_yticks(places, [f"{inputs} x {outputs}" for inputs, outputs in shapes], fontsize=8)
        axes.invert_yaxis()
        axes.set(xlabel="matrices a second")
        axes.legend(**ABOVE)

    return draw


def _grouped(names: Sequence[str], timings: Sequence[Any], ratio: Any):
    found = list(dict.fromkeys(name for given in timings for name in given))

    def draw(axes: Any) -> None:
        height = 0.8 / max(len(found), 1)
        places = np.arange(len(names))
        for number, peer in enumerate(found):
            lengths = [ratio(i, peer) or 0 for i in range(len(names))]
            at = places + (number - (len(found) - 1) / 2) * height
            axes.barh(at, lengths, height, label=peers.LABELS.get(peer, peer))
        axes.set_yticks(places, names, fontsize=8)
        axes.invert_yaxis()
        axes.axvline(1, color="#000000", linewidth=0.8)
        least = min((bar.get_width() for bar in axes.patches if bar.get_width()), default=1)
        axes.set(xlabel="times as fast as", xscale="log")
        axes.set_xlim(left=min(1, least / 2 if least < 1 else 1))  # on this scale a bar's length is from 1
        axes.xaxis.set_major_formatter("{x:g}")
        axes.legend(**ABOVE)

    return draw


def times(rows: Sequence[Measured]):
    """Draws the shares of the engine's time, one bar a network."""
    kinds = list(dict.fromkeys(kind for row in rows for kind in row.time if kind != "rest"))
    shown = [kind for kind in kinds if any(row.time.get(kind, 0) >= 0.02 for row in rows)][:6]

    def draw(axes: Any) -> None:
        left = np.zeros(len(rows))
        names = [row.name for row in rows]
        for kind in shown:
            lengths = np.array([100 * row.time.get(kind, 0) for row in rows])
            axes.barh(names, lengths, left=left, label=kind)
            left += lengths
        axes.barh(names, np.maximum(100 - left, 0), left=left, label="other", color="#888888")
        axes.invert_yaxis()
        axes.set(xlabel="% of the time", xlim=(0, 100))
        axes.legend(**ABOVE)

    return draw


def _section(title: str, made: table.Table, figures: list[dict[str, str]]) -> dict[str, Any]:
    columns, rows = made
    return {"title": title, "lead": "", "figures": figures, "columns": columns, "rows": rows}
