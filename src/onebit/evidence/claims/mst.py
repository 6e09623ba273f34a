"""MST-compression [Vo2023]: channels of a layer of bits computed from one another along a spanning tree."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from onebit.core.errors import Unsupported
from onebit.evidence.claims import mst_networks, mst_speed
from onebit.evidence.claims.base import (
    FAILS,
    HOLDS,
    IN_PART,
    REPORTED,
    Figure,
    Row,
    Settings,
    Statement,
    Verdict,
    register,
)
from onebit.evidence.statistics import Interval, paired

PAPER = (
    "the published set-up (binary VGG-small and ResNet on CIFAR-10, ResNet-18 on ImageNet, hundreds of epochs) needs a "
    "GPU: train it with `onebit train` and onebit.nn.tree_distance_"
)
ABSTRACT = "none was to be had: the abstract says 'negligible accuracy drops'"
UNREAD = (
    "the paper's text was not to be had: the identity, the cost model and the schedule are derived, or read from its "
    "abstract"
)
GAIN, LOSS = 1.8, 1.0
DECAY = 1e-3
#: Network, data set, training examples, epochs, weights of the distance.
SMALL: tuple[tuple[str, str, int | None, int, tuple[float, ...]], ...] = (
    ("mlp", "digits", None, 30, (0.5, 1.0, 3.0)),
    ("mlp", "mnist", 5000, 10, (0.5, 1.0, 3.0)),
    ("cnn", "digits", None, 15, (1.0, 3.0, 10.0)),
)
SMOKE: tuple[tuple[str, str, int | None, int, tuple[float, ...]], ...] = (("mlp", "digits", 200, 2, (1.0,)),)


def _trainings(scale: str, plain: bool) -> list[Settings]:
    """The runs of every network: without the distance, and unless ``plain`` with it, with its star and with decay."""
    if scale == "paper":
        raise Unsupported(PAPER)
    cells, seeds = (SMOKE, 1) if scale == "smoke" else (SMALL, 3)
    found: list[Settings] = []
    for network, data, examples, epochs, weights in cells:
        of = {"network": network, "data": data, "examples": examples, "epochs": epochs}
        ways: list[tuple[str, float, float]] = [("mst", 0.0, 0.0)]
        if not plain:
            ways += [("mst", weight, 0.0) for weight in weights] + [("mst", 0.0, DECAY)]
            ways += [("centre", 1.0, 0.0)] if (network, data) == ("mlp", "digits") else []
        for mode, weight, decay in ways:
            found += [{**of, "mode": mode, "weight": weight, "decay": decay, "seed": seed} for seed in range(seeds)]
    return found


def _groups(rows: Sequence[Row]) -> dict[tuple[str, str], dict[tuple[str, float, float], list[Row]]]:
    """Rows by network and data set, and by mode, weight and decay, in the order of the seeds."""
    found: dict[tuple[str, str], dict[tuple[str, float, float], list[Row]]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        cell = found.setdefault((row["network"], row["data"]), {})
        cell.setdefault((row["mode"], row["weight"], row["decay"]), []).append(row)
    return found


def _mean(rows: Sequence[Row], name: str) -> float:
    return statistics.fmean(row[name] for row in rows)


class Exact(Statement):
    """A trained network on test pictures, every value of its graph compared; and random layers."""

    text = "In reuse order a layer gives the outputs of the plain layer, bit for bit."
    threshold = (
        "no value differs: of a trained convolutional network on 64 test pictures, and of 1,000 random layers (linear, "
        "convolutions with groups, strides, padding and dilation)"
    )
    published = "none: a property of the method"
    unverified = UNREAD
    measure = staticmethod(mst_networks.exact)

    def runs(self, scale: str) -> list[Settings]:
        if scale == "paper":
            raise Unsupported(PAPER)
        if scale == "smoke":
            return [{"data": "digits", "examples": 100, "epochs": 1, "layers": 20, "seed": 0}]
        return [{"data": "mnist", "examples": 1000, "epochs": 1, "layers": 1000, "seed": 0}]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        wrong, drawn = sum(row["wrong"] for row in rows), sum(row["wrong_random"] for row in rows)
        layers, random = sum(row["reused_layers"] for row in rows), sum(row["layers"] for row in rows)
        return Verdict(
            HOLDS if not wrong + drawn and layers else FAILS,
            f"{wrong} values differ in the trained network, whose {layers} layers of bits are in reuse order, and "
            f"{drawn} in {random} random layers.",
            {"different values, trained network": wrong, "different values, random layers": drawn},
            baselines=("plain order",),
        )


class BeyondChance(Statement):
    """The networks of the third statement, trained without the distance."""

    text = "Kernels of trained layers are more like one another than random ones."
    threshold = "none is set: that of random kernels is about 2 already, and the difference is reported"
    published = "none was to be had; 59 % mean similarity of kernels in arXiv 1810.02068"
    unverified = UNREAD
    measure = staticmethod(mst_networks.train)

    def runs(self, scale: str) -> list[Settings]:
        return _trainings(scale, plain=True)

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        said: list[str] = []
        numbers: dict[str, float] = {}
        intervals: dict[str, Interval] = {}
        for (network, data), cell in _groups(rows).items():
            [found] = cell.values()
            name, ratio, chance = f"{network} on {data}", _mean(found, "ratio"), _mean(found, "chance")
            said.append(f"{name}: {ratio:.2f} trained, {chance:.2f} random")
            numbers |= {f"ratio, {name}": ratio, f"ratio of chance, {name}": chance}
            numbers[f"stored share of the plain bits, {name}"] = _mean(found, "stored")
            if len(found) > 1:
                intervals[f"ratio - chance, {name}"] = paired([r["ratio"] for r in found], [r["chance"] for r in found])
        return Verdict(REPORTED, "Reuse ratio of " + "; ".join(said) + ".", numbers, intervals, ("random kernels",))


class Learned(Statement):
    """The same networks with the tree distance, its star, weight decay; clusters and stars over the same kernels."""

    text = "A distance loss in training makes kernels alike at a negligible loss of accuracy."
    threshold = (
        f"for some weight of the distance the mean reuse ratio is at least {GAIN} times that of the network without "
        f"it, at a mean test accuracy at most {LOSS:g} point lower, with the perceptron on digits and on MNIST and the "
        "convolutional network on digits; in part: on some of them"
    )
    published = ABSTRACT
    unverified = UNREAD
    measure = staticmethod(mst_networks.train)

    def runs(self, scale: str) -> list[Settings]:
        return _trainings(scale, plain=False)

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        said: list[str] = []
        reached: list[bool] = []
        numbers: dict[str, float] = {}
        intervals: dict[str, Interval] = {}
        for (network, data), cell in _groups(rows).items():
            name, plain = f"{network} on {data}", cell["mst", 0.0, 0.0]
            base, right = _mean(plain, "ratio"), 100 * _mean(plain, "test")
            for (mode, weight, decay), found in cell.items():
                way = f"weight decay {decay:g}" if decay else f"{mode}, weight {weight:g}" if weight else "without"
                numbers |= {
                    f"accuracy, {name}, {way}": 100 * _mean(found, "test"),
                    f"ratio, {name}, {way}": _mean(found, "ratio"),
                    f"depth, {name}, {way}": _mean(found, "depth"),
                    f"ratio of the best star, {name}, {way}": _mean(found, "star"),
                    f"ratio of clusters, {name}, {way}": _mean(found, "clusters"),
                    f"stored share of the plain bits, {name}, {way}": _mean(found, "stored"),
                    f"share by lists of places, {name}, {way}": _mean(found, "index"),
                }
            ours = {w: found for (mode, w, decay), found in cell.items() if mode == "mst" and w and not decay}
            fair = [w for w in ours if 100 * _mean(ours[w], "test") >= right - LOSS] or list(ours)
            best = max(fair, key=lambda w: _mean(ours[w], "ratio"))
            ratio, accuracy = _mean(ours[best], "ratio"), 100 * _mean(ours[best], "test")
            reached.append(ratio >= GAIN * base and accuracy >= right - LOSS)
            said.append(
                f"{name}: ratio {base:.2f} -> {ratio:.2f} ({ratio / base:.1f} times), accuracy {right:.1f} -> "
                f"{accuracy:.1f} %, stored bits {_mean(plain, 'stored'):.2f} -> {_mean(ours[best], 'stored'):.2f}, at "
                f"weight {best:g}"
            )
            if len(plain) > 1:
                after, before = ([100 * row["test"] for row in found] for found in (ours[best], plain))
                intervals[f"accuracy with - without, {name}"] = paired(after, before)
        outcome = HOLDS if all(reached) else IN_PART if any(reached) else FAILS
        baselines = ("no distance", "weight decay", "clusters of kernels with a star each", "the best star")
        return Verdict(outcome, "; ".join(said) + ".", numbers, intervals, baselines)

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        def draw(axes: Any) -> None:
            for color, ((network, data), cell) in enumerate(_groups(rows).items()):
                for (mode, weight, decay), found in cell.items():
                    marker = "x" if decay else "s" if mode == "centre" else "o" if weight else "*"
                    axes.scatter(
                        [row["ratio"] for row in found],
                        [100 * row["test"] for row in found],
                        color=f"C{color}",
                        marker=marker,
                        label=f"{network}, {data}" if marker == "*" else None,
                    )
            axes.set(xlabel="reuse ratio", ylabel="test accuracy, %")
            axes.legend()

        text = (
            "Every run: without the distance (stars), with it (circles), with its star (squares), with decay (crosses)."
        )
        return [Figure("accuracy-and-ratio", text, draw)]


class Optimal(Statement):
    """Random kernels."""

    text = "The minimum spanning tree needs the fewest operations of all trees."
    threshold = "its total is at most that of the best star, and that at most that of a random tree, on every draw"
    published = "none: a property of minimum spanning trees"
    unverified = UNREAD
    measure = staticmethod(mst_networks.trees)
    LIMITS = (1, 2, 3, 4, 6, 8, 12, 16)

    def runs(self, scale: str) -> list[Settings]:
        if scale == "paper":
            raise Unsupported(PAPER)
        sizes = ((16, 27),) if scale == "smoke" else ((64, 27), (64, 64), (64, 144), (64, 576), (128, 1152))
        limits = list(self.LIMITS[: 2 if scale == "smoke" else None])
        seeds = range(1 if scale == "smoke" else 5)
        return [{"channels": c, "entries": n, "limits": limits, "seed": seed} for seed in seeds for c, n in sizes]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        ordered = [row["total"] <= row["star"] <= row["random"] for row in rows]
        gain = statistics.fmean(row["star"] / max(1, row["total"]) for row in rows)
        return Verdict(
            HOLDS if all(ordered) else FAILS,
            f"In {sum(ordered)} of {len(rows)} draws; the best star is {gain:.2f} times as long.",
            {"draws": len(rows), "draws in order": sum(ordered), "star / tree": gain},
            baselines=("best star", "random tree"),
        )

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        def draw(axes: Any) -> None:
            for channels, entries in sorted({(row["channels"], row["entries"]) for row in rows}):
                row = next(row for row in rows if (row["channels"], row["entries"]) == (channels, entries))
                limits = sorted(map(int, row["limited"]))
                totals = [row["limited"][str(limit)] / row["total"] for limit in limits]
                axes.plot(limits, totals, marker="o", label=f"{channels} kernels of {entries}")
            axes.set(xlabel="greatest depth", ylabel="total / total of the minimum spanning tree")
            axes.legend()

        return [Figure("depth", "What a limit of the depth costs (a heuristic, but for depth 1).", draw)]


class Depth(Optimal):
    """The same draws."""

    text = "Among minimum spanning trees the one of least depth is worth looking for."
    threshold = (
        "from ties by depth and a centre for the root, the mean depth is at most 1/1.3 of that of the first tree that "
        "Prim's algorithm finds from channel 0, for kernels of 27, 64 and 144 bits each"
    )
    published = "none was to be had: the abstract names the tree of minimum depth"

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        ratios = {}
        for entries in sorted({row["entries"] for row in rows}):
            found = [row for row in rows if row["entries"] == entries]
            ratios[entries] = _mean(found, "first_depth") / _mean(found, "depth")
        judged = [ratio for entries, ratio in ratios.items() if entries <= 144]
        outcome = HOLDS if min(judged) >= 1.3 else IN_PART if max(judged) >= 1.3 else FAILS
        said = ", ".join(f"{ratio:.2f} at {entries} bits" for entries, ratio in ratios.items())
        return Verdict(
            outcome,
            f"The first tree is deeper by a factor of {said}.",
            {f"depth of the first / of ours, {entries} bits": ratio for entries, ratio in ratios.items()},
            baselines=("the first tree found from channel 0",),
        )

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        return []


class Speed(Statement):
    """A program of its own that holds one input of 512 examples a vector, against the engine on the same layer."""

    text = "In reuse order a layer of bits takes less time."
    threshold = (
        "with random kernels (ratio about 2) it takes less time than the engine's plain kernel at every size, one "
        "thread, 512 examples side by side, bits already in that order; in part: with kernels of a ratio of about 6"
    )
    published = "of custom hardware, not to be had; on a CPU none"
    unverified = f"{UNREAD}; a processor is not the hardware that the paper has in mind"
    measure = staticmethod(mst_speed.speed)

    def runs(self, scale: str) -> list[Settings]:
        if scale == "paper":
            raise Unsupported("the paper's hardware is not to be had")
        sizes = ((16, 72),) if scale == "smoke" else ((64, 576), (128, 1152), (256, 2304))
        most = {"vectors": 1, "repeats": 2} if scale == "smoke" else {"vectors": 8, "repeats": 30}
        return [
            {"channels": c, "entries": n, "share": share, **most, "seed": 0} for c, n in sizes for share in (0.5, 0.14)
        ]

    def judge(self, rows: Sequence[Row], scale: str) -> Verdict:
        if any(row["wrong"] for row in rows):
            return Verdict(FAILS, "The three ways do not give the same bits.")
        quick = {
            share: all(row["reused"] < row["engine"] for row in rows if row["share"] == share)
            for share in {row["share"] for row in rows}
        }
        outcome = HOLDS if all(quick.values()) else IN_PART if quick[0.14] else FAILS
        said = [
            f"{row['channels']} kernels of {row['entries']}, ratio {row['ratio']:.1f}: {1e6 * row['engine']:.0f} us "
            f"the engine, {1e6 * row['planes']:.0f} us one input a vector, {1e6 * row['reused']:.0f} us in reuse order"
            for row in rows
        ]
        numbers = {
            f"engine / reuse order, {row['channels']} x {row['entries']}, ratio {row['ratio']:.1f}": row["engine"]
            / row["reused"]
            for row in rows
        }
        text = "; ".join(said) + ". Turning examples into that order is not counted, and single examples gain nothing."
        return Verdict(outcome, text, numbers, baselines=("the engine", "the same program in plain order"))


register("mst-compression", Exact(), BeyondChance(), Learned(), Optimal(), Depth(), Speed())
