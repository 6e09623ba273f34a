"""The demo's result as one self-contained HTML page: no script, no address of another file, light and dark."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from onebit.core.errors import require
from onebit.core.files import write_text
from onebit.evidence import templates
from onebit.evidence.demo import Demo, Sample
from onebit.evidence.operators import cards
from onebit.evidence.report import lead, notes, table
from onebit.evidence.svg import Series, bit_filters, line_chart

FILTERS = 16  # output and input channels that are shown at most


def write(demo: Demo, path: Path, command: str) -> None:
    """Write the page of ``demo`` to ``path``, whole or not at all.

    Args:
        demo: what was measured.
        path: the file.
        command: the command that measured it, printed on the page.
    """
    write_text(path, render(demo, command))


def render(demo: Demo, command: str) -> str:
    """The page as text."""
    columns, rows = table(demo)
    filters = demo.filters[:FILTERS, :FILTERS] if demo.filters is not None else None
    return templates.render(
        "demo.html.jinja",
        title=f"A network of bits on {demo.data}",
        lead=lead(demo),
        columns=columns,
        rows=rows,
        notes=notes(demo),
        training=_training(demo),
        samples=[_sample(s) for s in demo.samples],
        samples_note="The mistakes come first, where there are any; then the first examples of the test part.",
        filters=bit_filters(filters, "first filters of the first layer of bits") if filters is not None else "",
        filters_note=_filters_note(demo, filters),
        operators=cards(),
        made=[
            f"Printed by: {command}",
            f"Network: {demo.model}, {', '.join(f'{k} {v}' for k, v in demo.sizes.items())}; scheme {demo.scheme}; "
            f"seed {demo.seed}; {demo.train_examples} training and {demo.test_examples} test examples.",
            "Versions: " + ", ".join(f"{k} {v}" for k, v in demo.versions.items()) + ".",
        ],
    )


def _training(demo: Demo) -> list[dict[str, str]]:
    charts = []
    for key, title in (
        ("loss", "Training loss"),
        ("accuracy", "Training accuracy, %"),
        ("flip_rate", "Bits flipped, %"),
    ):
        factor = 1.0 if key == "loss" else 100.0
        lines = [
            Series(label, range(1, len(history.get(key, ())) + 1), [factor * v for v in history.get(key, ())], style)
            for label, history, style in (
                ("network of bits", demo.bits_history, "a"),
                ("float twin", demo.float_history, "b"),
            )
        ]
        svg = line_chart([line for line in lines if any(map(math.isfinite, line.y))], "epoch")
        if svg:
            charts.append({"title": title, "svg": svg})
    return charts


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "image": image_uri(sample.image),
        "label": sample.label,
        "predicted": sample.predicted,
        "percent": f"{100 * sample.probability:.0f}",
        "right": sample.label == sample.predicted,
    }


def image_uri(image: np.ndarray) -> str:
    """The image ``(C, H, W)`` uint8 (1 or 3 channels) as a PNG inside a ``data:`` address."""
    pillow = require("PIL.Image", "train", "writing the page")
    pixels = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    file = io.BytesIO()
    pillow.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _filters_note(demo: Demo, shown: np.ndarray | None) -> str:
    if shown is None:
        return "The network has no convolution of bits."
    outputs, inputs, rows, columns = demo.filters.shape  # type: ignore[union-attr]
    return (
        f"Each square of {rows}x{columns} is one filter, filled where the weight is +1. One row an output channel (the "
        f"first {shown.shape[0]} of {outputs}), one column an input channel (the first {shown.shape[1]} of {inputs})."
    )
