"""Charts of a track: the ratios of its parts, the overall metric by method, cost against accuracy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from onebit.evidence.site.plots import figure
from onebit.evidence.svg import ticks
from onebit.evidence.tracks.accuracy import Scores
from onebit.evidence.tracks.cells import Cell
from onebit.evidence.tracks.overall import Overall
from onebit.evidence.tracks.record import Record
from onebit.evidence.tracks.tasks import FLOAT
from onebit.evidence.tracks.track import Track

INK, GREY = "#000000", "#8a8a86"
BEST, WORST = "C0", "C1"
#: So many methods have a radar each, those of the largest overall metrics.
MOST = 10
Found = Mapping[str, Overall]


def ranked(found: Found) -> list[str]:
    """Methods, those of the largest overall metric first; without the float twin, which is the measure."""
    return sorted((name for name in found if name != FLOAT), key=lambda name: -found[name].metric)


def bars(track: Track, found: Found) -> dict[str, str]:
    """The overall metric of each method, the mean ratio beside it."""
    methods = ranked(found)
    top = max(found[name].metric for name in methods)

    def draw(axes: Any) -> None:
        axes.barh(methods, [found[name].metric for name in methods], height=0.7, color=BEST, alpha=0.75)
        axes.plot([found[name].mean for name in methods], methods, "|", color=INK, markersize=11, markeredgewidth=1.6)
        for name in methods:  # right of everything, so that no line runs through them
            said = f"{found[name].metric:.3f} ({found[name].mean:.3f})"
            axes.annotate(said, (max(1.0, top) * 1.05, name), va="center", fontsize=8)
        axes.axvline(1, color=INK, linewidth=0.8, linestyle="--")
        axes.set_xticks(ticks(0, max(1.0, top)))
        axes.set(xlabel="overall metric", xlim=(0, max(1.0, top) * 1.4))
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)

    caption = "Bars: the overall metric; ticks and brackets: the mean ratio. Dashed: the float twin."
    return figure(draw, f"overall metric of each method, {track.title.lower()}", caption, 0.9 + 0.26 * len(methods))


def grouped(track: Track, found: Found) -> dict[str, str]:
    """The ratios of few parts, a bar each."""
    methods = ranked(found)
    parts = list(found[methods[0]].parts)

    def draw(axes: Any) -> None:
        height = 0.8 / len(parts)
        for number, part in enumerate(parts):
            places = [at + (number - (len(parts) - 1) / 2) * height for at in range(len(methods))]
            lengths = [found[name].parts.get(part, 0.0) for name in methods]
            axes.barh(places, lengths, height, label=part, color=f"C{number}", alpha=0.85)
        axes.axvline(1, color=INK, linewidth=0.8, linestyle="--")
        axes.set_yticks(range(len(methods)), methods)
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set(xlabel=track.label)
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, fontsize=8)

    caption = f"{track.label[:1].upper()}{track.label[1:]}, by {track.parts}. Dashed: the float twin."
    height = 1.2 + (0.14 + 0.13 * len(parts)) * len(methods)
    return figure(draw, f"ratios of {track.parts} by method", caption, height)


def radar(track: Track, found: Found) -> dict[str, str]:
    """The parts as axes: best and worst method, the others thin."""
    methods = ranked(found)
    marked = {methods[0]: BEST, methods[-1]: WORST} if len(methods) > 1 else {methods[0]: BEST}
    centre, edge = _range(found, methods)

    def draw(axes: Any) -> None:
        parts = _spokes(axes, found, methods, marked, (centre, edge))
        angles = [2 * math.pi * at / len(parts) for at in range(len(parts))]
        axes.set_thetagrids([math.degrees(angle) for angle in angles], parts, fontsize=8)
        for label, angle in zip(axes.get_xticklabels(), angles):
            side = math.sin(angle)
            label.set_horizontalalignment("center" if abs(side) < 0.1 else "left" if side > 0 else "right")
        axes.tick_params(axis="y", labelsize=7)
        axes.tick_params(axis="x", pad=1)
        rings = ticks(centre, edge, 6)
        axes.set_yticks(rings, [f"{ring:g}" for ring in rings])
        axes.set_rlabel_position(180 / len(parts))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.1), ncols=3, fontsize=8)

    others = ", thin: the others" if len(methods) > 2 else ""
    begins = f" The centre is {centre:g}, not 0." if centre else ""
    caption = f"Best and worst by the overall metric{others}. Circle: 1, the float twin; outwards is better.{begins}"
    return figure(draw, f"{track.label} by {track.parts}, every method", caption, 4.2, projection="polar")


def small(track: Track, found: Found) -> list[dict[str, str]]:
    """One small radar a method, its line over those of all others."""
    methods = ranked(found)
    limits = _range(found, methods)

    def drawn(method: str) -> Callable[[Any], None]:
        def draw(axes: Any) -> None:
            parts = _spokes(axes, found, methods, {method: BEST}, limits)
            axes.set_xticks([2 * math.pi * at / len(parts) for at in range(len(parts))], [""] * len(parts))
            axes.tick_params(axis="y", labelleft=False, labelright=False)

        return draw

    return [
        figure(
            drawn(method),
            f"{track.label} by {track.parts}: {method}",
            f"{method} {found[method].metric:.3f}",
            1.8,
            width=1.8,
            projection="polar",
        )
        for method in methods[:MOST]
    ]


def _range(found: Found, methods: Sequence[str]) -> tuple[float, float]:
    """Centre and edge: where all ratios are near one another, not from 0, which would make one line of them."""
    values = [ratio for name in methods for ratio in found[name].parts.values()] + [1.0]
    least = math.floor(10 * min(values)) / 10
    centre = least - 0.1 if least >= 0.6 else 0.0
    return centre, max(values) + 0.03 * (max(values) - centre)


def _spokes(axes: Any, found: Found, methods: Sequence[str], marked: Mapping[str, str], limits: Any) -> list[str]:
    """Every method's line around the parts, the first one at the top, clockwise; the parts."""
    parts = list(found[methods[0]].parts)
    angles = [2 * math.pi * at / len(parts) for at in range(len(parts))]
    around = [2 * math.pi * at / 120 for at in range(121)]
    axes.set_theta_offset(math.pi / 2)
    axes.set_theta_direction(-1)
    axes.plot(around, [1.0] * len(around), color=INK, linewidth=1.0, linestyle="--", label="float twin")
    for name in sorted(methods, key=lambda name: name in marked):
        values = [found[name].parts.get(part, math.nan) for part in parts]
        style = {"color": marked[name], "linewidth": 2.0, "label": name} if name in marked else {"color": GREY}
        axes.plot([*angles, angles[0]], [*values, values[0]], **{"linewidth": 0.6, "alpha": 1.0} | style)
    axes.set_ylim(*limits)
    axes.spines["polar"].set_visible(False)
    return parts


class Point(NamedTuple):
    """One method on one task.

    Args:
        group: the task, or the architecture.
        method: its name.
        score: per cent, mean over the seeds.
        operations: multiply-accumulates, 64 on bits being one.
        bytes: of the parameters: a bit each, and 32 bits.
    """

    group: str
    method: str
    score: float
    operations: float
    bytes: float


#: What has a colour of its own, where a record is drawn as cost against accuracy.
GROUPS: Mapping[str, Callable[[Cell], str]] = {
    "accuracy": lambda cell: cell.task,
    "architectures": lambda cell: cell.architecture,
}


#: Fields of a point, and what an axis says of them.
COSTS = (("operations", "multiply-accumulates, 64 on bits being one"), ("bytes", "bytes of parameters"))


def points(record: Record) -> list[Point]:
    """Cost and accuracy of every method on every task; none for tracks that do not train for accuracy."""
    group = GROUPS.get(record.track)
    if group is None:
        return []
    scores = Scores(record.rows, group)
    costs: dict[tuple[str, str], list[Any]] = {}
    for row in record.rows:
        if row.result is not None:
            cell = Cell.of(row.settings)
            costs.setdefault((cell.method, group(cell)), []).append(row.result)
    return [
        Point(
            part,
            method,
            100 * statistics.fmean(scores.values[method, part]),
            statistics.fmean(each["real_macs"] + each["bit_macs"] / 64 for each in found),
            statistics.fmean(4 * each["real_parameters"] + each["bit_parameters"] / 8 for each in found),
        )
        for (method, part), found in costs.items()
    ]


def against(found: Sequence[Point], cost: str, said: str) -> dict[str, str]:
    """Accuracy over a cost, ``"operations"`` or ``"bytes"``: rings are float twins, points methods, a colour a task."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    groups = list(dict.fromkeys(point.group for point in found))

    def draw(axes: Any) -> None:
        for number, group in enumerate(groups):
            color = f"C{number % 7}"
            bits = [point for point in found if point.group == group and point.method != FLOAT]
            twin = [point for point in found if point.group == group and point.method == FLOAT]
            for point in twin:
                axes.plot(getattr(point, cost), point.score, "o", markersize=8, markerfacecolor="none", color=color)
            if twin and bits:
                best = max(bits, key=lambda point: point.score)
                ends = [best, *twin]
                axes.plot([getattr(p, cost) for p in ends], [p.score for p in ends], color=color, linewidth=0.8)
            at = [getattr(point, cost) for point in bits]
            axes.plot(at, [p.score for p in bits], ".", color=color, markersize=7, alpha=0.8, label=group)
        axes.set(xscale="log", xlabel=said, ylabel="accuracy or other measure, %")
        costs = [getattr(point, cost) for point in found]
        steps = (1, 2, 5) if max(costs) < 300 * max(min(costs), 1) else (1,)  # more labels would overlap
        axes.xaxis.set_major_locator(LogLocator(subs=steps))
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=3, fontsize=8)

    caption = "Points: methods; rings: float twins; a line joins the best method and its twin."
    return figure(draw, f"accuracy over {said}", caption, 3.4)
