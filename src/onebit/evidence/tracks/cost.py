"""The cost track: parameters and operations of networks of bits, counted, not measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onebit.evidence.engine.networks import needed_bytes
from onebit.evidence.sweep import Row
from onebit.evidence.tracks.accuracy import figures
from onebit.evidence.tracks.complexity import captured, count
from onebit.evidence.tracks.network import Network, OfNetworks, Results, networks
from onebit.evidence.tracks.overall import UNVERIFIED, compression_ratio, overall, speedup_ratio
from onebit.evidence.tracks.tasks import FLOAT
from onebit.evidence.tracks.track import Phase, Plan, Summary, register, with_twin
from onebit.ir import cost, passes

VERSION = "cost 1"
Counts = Mapping[str, Any]


def measure(given: dict[str, Any], root: str) -> dict[str, Any]:
    """Count one network.

    Returns:
        What :func:`onebit.evidence.tracks.complexity.count` gives, ``ace`` (multiply-accumulates weighted by the bits
        of both sides), ``bytes`` of the numbers of the packed file.
    """
    network = Network.of(given)
    graph = captured(network.build(), network.examples())
    return {**count(graph), "ace": cost.ace(graph), "bytes": needed_bytes(passes.optimize(graph))}


def parameters(found: Counts) -> float:
    """r_c: how many times fewer 32-bit words the parameters take."""
    return compression_ratio(found["bit_parameters"] + found["real_parameters"], found["real_parameters"])


def operations(found: Counts) -> float:
    """r_s: how many times fewer multiply-accumulates, 64 on bits being one."""
    return speedup_ratio(found["bit_macs"] + found["real_macs"], found["real_macs"])


def every_operation(found: Counts) -> float:
    """The same where additions, products and comparisons of elements count as much as a multiply-accumulate."""
    real = found["real_macs"] + found["elementwise"]
    return speedup_ratio(found["bit_macs"] + real, real)


@register
class Cost(OfNetworks):
    """Compression and speed-up in theory, of networks that need no training."""

    name = "cost"
    title = "Theoretical complexity"
    question = "How many fewer words of parameters and operations do networks of bits take?"
    parts = "parameters and operations"

    def phases(self, plan: Plan) -> list[Phase]:
        return [Phase(measure, [network.settings() for network in networks(plan, with_twin(plan))], VERSION)]

    def field(self, results: Sequence[Counts]) -> str:
        return ", ".join(f"{parameters(made):.1f} / {operations(made):.1f}" for made in results)

    def summary(self, rows: Sequence[Row]) -> Summary:
        found = Results(rows)
        twins = found.of(FLOAT)
        table, metrics = [], {}
        for method in found.methods:
            made = found.of(method)
            line = [method, *["-"] * 5]
            if made is not None:
                metrics[method] = overall(
                    {"parameters": _each(made, parameters), "operations": _each(made, operations)}
                )
                line[1:4] = (_mean(_each(made, ratio)) for ratio in (parameters, operations, every_operation))
                if twins is not None:
                    line[4:] = (_mean([t[of] / m[of] for t, m in zip(twins, made)]) for of in ("ace", "bytes"))
            table.append([*line, *figures(metrics.get(method))])
        return Summary(
            ("method", "r_c", "r_s", "r_s, all", "ACE", "bytes", "overall", "mean ratio"),
            table,
            metrics,
            (
                "Times less than the float network, means over networks. r_c: words of parameters; bytes: as packed.",
                "r_s: multiply-accumulates, 64 on bits being one; all: operations on elements count as well.",
                *(self._about(found, name) for name in found.networks),
                UNVERIFIED,
            ),
        )

    @staticmethod
    def _about(found: Results, name: str) -> str:
        twin = found.results.get((FLOAT, name))
        size = "" if twin is None else f" {twin['real_parameters']:,} parameters, {twin['real_macs']:,} operations;"
        return f"{name}:{size} r_c {found.range(name, parameters)}, r_s {found.range(name, operations)}."


def _each(made: Sequence[Counts], ratio: Callable[[Counts], float]) -> list[float]:
    return [ratio(each) for each in made]


def _mean(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.2f}"
