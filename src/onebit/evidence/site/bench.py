"""The page of the engine's speed, from the newest record of its benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onebit.core import journal
from onebit.evidence.site.plots import svg
from onebit.evidence.site.views import made

RECORDS = "bench/engine.jsonl"


def engine(results: Path) -> dict[str, Any]:
    """What the engine's page shows; without a record it says how to make one."""
    records = journal.read(results / RECORDS)
    if not records:
        command = f"onebit bench engine --results {results}"
        return {"lead": [f"Not measured yet: {command}"], "figures": [], "columns": [], "rows": [], "made": []}
    try:
        newest = max(records, key=lambda record: record["date"])
        return _page(newest)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{results / RECORDS} holds something else than records of the benchmark: {error}") from None


def _page(record: Mapping[str, Any]) -> dict[str, Any]:
    layers = record["layers"]
    names = [f"{row['shape']}, {row['form']} out" for row in layers]
    ratios = [row["peer"]["median"] / row["engine"]["median"] for row in layers]
    shares = [row["macs"] / row["engine"]["median"] / row["ceiling"] / row["threads"] for row in layers]
    first = layers[0]
    ceiling = max(row["ceiling"] for row in layers)

    def bars(axes: Any) -> None:
        axes.barh(names, ratios)
        axes.invert_yaxis()
        axes.axvline(1, color="#000000", linewidth=0.8)
        axes.set(xlabel="times as fast as ONNX Runtime float32")

    def ceilings(axes: Any) -> None:
        axes.barh(names, [100 * share for share in shares])
        axes.invert_yaxis()
        axes.set(xlabel="% of what the bare micro-kernel reaches", xlim=(0, 100))

    rows = [
        (
            name,
            f"{row['engine']['median'] * 1e6:.1f}",
            f"{row['peer']['median'] * 1e6:.1f}",
            f"{row['macs'] / row['engine']['median'] / 1e9:.0f}",
            f"{100 * share:.0f} %",
            f"{ratio:.1f}",
        )
        for name, row, share, ratio in zip(names, layers, shares, ratios)
    ]
    threads = "1 thread" if first["threads"] == 1 else f"{first['threads']} threads"
    return {
        "lead": [
            f"Binary 3x3 convolutions of a ResNet-18 at batch 1 on {threads}, {first['isa']}: "
            f"{min(ratios):.1f} to {max(ratios):.1f} times as fast as ONNX Runtime's float32 ones in the same process, "
            f"at {100 * min(shares):.0f} to {100 * max(shares):.0f} % of the bare micro-kernel's {ceiling / 1e9:.0f} "
            "billion multiply-accumulates a second.",
        ],
        "figures": [
            {"svg": svg(bars, "ratio of speeds by layer"), "caption": "Medians of runs that took turns."},
            {
                "svg": svg(ceilings, "share of the ceiling by layer"),
                "caption": "Medians; bare kernel in the same run.",
            },
        ],
        "columns": ["layer", "engine, us", "ONNX Runtime, us", "GMAC/s", "of the ceiling", "times as fast"],
        "rows": rows,
        "made": [made(record["command"], record["date"], record["made_on"])],
    }
