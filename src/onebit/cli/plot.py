"""``onebit plot``: pictures drawn from the components themselves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from onebit.cli.arguments import OutputWithDefault
from onebit.cli.output import print_json


def plot(
    what: Positional[Literal["operators"]] = "operators",
    /,
    *,
    output: OutputWithDefault = Path("operators.svg"),
    low: float = -2.0,
    high: float = 2.0,
    json: bool = False,
) -> None:
    """Draw the value and the gradient of every operator into one picture.

    Example: onebit plot operators --output operators.svg

    Args:
        what: what to draw.
        output: the file to write; its ending (.svg, .png, .pdf) says which format.
        low: left end of the x axis.
        high: right end of the x axis.
        json: print the points of the curves as JSON and write no file.
    """
    from onebit.nn import operators

    if json:
        keys = ("x", "forward", "gradient")
        print_json({n: dict(zip(keys, operators.curve(n, low, high, 101))) for n in operators.registry})
        return
    from onebit.core.errors import require
    from onebit.core.files import atomic

    formats = (".svg", ".png", ".pdf")
    if output.suffix not in formats:
        raise ValueError(f"--output must end in {', '.join(formats)}, got {str(output)!r}")
    matplotlib = require("matplotlib", "train", "plotting operators")
    matplotlib.use("agg")
    from matplotlib import pyplot

    names = list(operators.registry)
    columns = 3
    rows = math.ceil(len(names) / columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4 * columns, 3 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for name, axis in zip(names, axes.flat):
        operators.plot(name, axis, low, high)
        axis.set_title(name)
    with atomic(output) as part:
        figure.savefig(part, format=output.suffix[1:], metadata={"Date": None} if output.suffix == ".svg" else None)
    print(f"{len(names)} operators drawn: {output}")
