"""``onebit plot``: pictures drawn from the components themselves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from onebit.cli.arguments import Name, OptionalFile, OptionalPath, Output
from onebit.cli.output import print_json

FORMATS = (".svg", ".png", ".pdf")
End = Annotated[float | None, arg(metavar="NUMBER", help_behavior_hint="")]


def plot(
    what: Positional[Literal["operators", "network", "corruptions"]] = "operators",
    file: OptionalFile = None,
    /,
    *,
    image: OptionalPath = None,
    data: Name = "",
    output: Output = None,
    low: End = None,
    high: End = None,
    json: bool = False,
) -> None:
    """Draw the value and the gradient of every operator, or the way of a picture through a packed network, its bits
    layer by layer, or what every kind of corruption makes of a picture, in its five severities.

    Example: onebit plot operators --output operators.svg

    Example: onebit plot network --output network.svg

    Example: onebit plot corruptions --data digits --output corruptions.svg

    Args:
        what: what to draw.
        file: the packed file of network; the one for MNIST that comes with the package by default.
        image: the picture for network, or for corruptions, scaled to 32x32 there; a 7 that comes with the package by
            default.
        data: a data set of images, whose first test image is the picture for corruptions.
        output: the file to write, by default operators.svg, network.svg or corruptions.svg in this folder. Operators
            and corruptions: its ending (.svg, .png, .pdf) says which format; operators: without an ending it is a
            folder that gets an .svg file for each.
        low: left end of the x axis of operators; by default the axis shows four periods of a wave, else -2 to 2.
        high: right end of the x axis.
        json: print the points of the curves, the bits of the network, or how far each corrupted picture is from the
            picture (root mean square, of levels 0 to 255), as JSON and write no file.
    """
    if what != "operators" and (low is not None or high is not None):
        raise ValueError(f"--low and --high are the ends of the axis of operators, and {what} has none")
    if what != "network" and file is not None:
        raise ValueError(f"FILE belongs to network, got {file}")
    if what == "operators" and image is not None:
        raise ValueError(f"--image belongs to network and corruptions, got {image}")
    if what != "corruptions" and data:
        raise ValueError(f"--data belongs to corruptions, got {data}")
    if what == "network":
        _network(file, image, output, json)
    elif what == "corruptions":
        _corruptions(image, data, output or Path("corruptions.svg"), json)
    else:
        _operators(output or Path("operators.svg"), low, high, json)


def _operators(output: Path, low: float | None, high: float | None, json: bool) -> None:
    from onebit.nn import operators

    def ends(name: str) -> tuple[float, float]:
        usual = operators.span(name)
        return (usual[0] if low is None else low), (usual[1] if high is None else high)

    names = list(operators.registry)
    if json:
        keys = ("x", "forward", "gradient")
        print_json({name: dict(zip(keys, operators.curve(name, *ends(name), 101))) for name in names})
        return
    if output.suffix not in (*FORMATS, ""):
        raise ValueError(f"--output must end in {', '.join(FORMATS)}, got {str(output)!r}")
    for name in names:
        operators.curve(name, *ends(name), 2)  # what is wrong with the ends is said before anything is drawn
    pyplot = _pyplot()
    if output.suffix:
        columns = 3
        rows = math.ceil(len(names) / columns)
        figure, axes = pyplot.subplots(
            rows, columns, figsize=(4 * columns, 3 * rows), squeeze=False, layout="constrained"
        )
        for axis in axes.flat[len(names) :]:
            axis.set_visible(False)
        for name, axis in zip(names, axes.flat):
            operators.plot(name, axis, *ends(name))
            axis.set_title(name)
        _save(figure, output)
    else:
        output.mkdir(parents=True, exist_ok=True)
        for name in names:
            figure, axis = pyplot.subplots(figsize=(4, 2.6))
            figure.subplots_adjust(left=0.12, right=0.98, bottom=0.18, top=0.97)
            operators.plot(name, axis, *ends(name))
            axis.set_title("")
            _save(figure, output / f"{name}.svg")
            pyplot.close(figure)
    print(f"{len(names)} operators drawn: {output}")


def _pyplot() -> Any:
    from onebit.core.errors import require

    require("matplotlib", "train", "plotting operators").use("agg")
    pyplot = require("matplotlib.pyplot", "train", "plotting operators")
    pyplot.rcParams["svg.hashsalt"] = "onebit"  # the same plot is the same text
    return pyplot


def _save(figure: Any, path: Path) -> None:
    from onebit.core.files import atomic

    with atomic(path) as part:
        figure.savefig(part, format=path.suffix[1:], metadata={"Date": None} if path.suffix == ".svg" else None)


def _network(file: Path | None, image: Path | None, output: Path | None, json: bool) -> None:
    from onebit import examples, ir, runtime
    from onebit.cli import picture
    from onebit.cli.output import packed_file
    from onebit.cli.run import scores
    from onebit.core.files import write_text
    from onebit.evidence import passage

    output = output or Path("network.svg")
    if output.suffix != ".svg":
        raise ValueError(f"--output must end in .svg, got {str(output)!r}")
    if file is None:
        file = examples.network("mnist")
    model = runtime.load(packed_file(file))
    shape = tuple(model.inputs[0].shape)
    if len(model.inputs) != 1 or len(shape) != 4 or not all(isinstance(size, int) for size in shape[1:]):
        raise ValueError(f"{file} takes {', '.join(map(str, model.inputs))}, which is no picture")
    image = image or next(path for path in examples.pictures("mnist") if path.stem == "7")
    channels, height, width = (int(size) for size in shape[1:])
    pixels = picture.read(image, channels, height, width)
    x = model.normalize(pixels)
    maps = passage.bits(ir.load(file), x)
    if not maps:
        raise ValueError(f"{file} makes no map of bits that could be drawn")
    found = scores(model, x)[0]
    if json:
        print_json({"scores": found, "bits": maps})
        return
    names = model.class_names or [str(number) for number in range(len(found))]
    write_text(output, passage.drawing(pixels[0].mean(0).astype("uint8"), maps, found.tolist(), names))
    print(f"{len(maps)} layers of bits drawn: {output}")


def _corruptions(image: Path | None, data: str, output: Path, json: bool) -> None:
    from onebit.data import CORRUPTIONS, corrupt

    if output.suffix not in FORMATS:
        raise ValueError(f"--output must end in {', '.join(FORMATS)}, got {str(output)!r}")
    picture = _clean(image, data)
    rows = {kind: [picture, *(corrupt(picture, kind, severity) for severity in range(1, 6))] for kind in CORRUPTIONS}
    if json:
        far = {
            kind: [round(float((x.double() - picture).square().mean().sqrt()), 2) for x in row[1:]]
            for kind, row in rows.items()
        }
        print_json(far)
        return
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(len(rows), 6, figsize=(7.6, 1.1 * len(rows)), layout="constrained")
    for axis, name in zip(axes[0], ("clean", 1, 2, 3, 4, 5)):
        axis.set_title(name)
    for (kind, row), line in zip(rows.items(), axes):
        line[0].set_ylabel(kind.replace("_", " "), rotation=0, horizontalalignment="right", verticalalignment="center")
        for x, axis in zip(row, line):
            axis.imshow(x[0].permute(1, 2, 0).expand(-1, -1, 3), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
    _save(figure, output)
    print(f"{len(rows)} corruptions in 5 severities drawn: {output}")


def _clean(image: Path | None, data: str) -> Any:
    """The picture that corruptions are shown on, ``(1, C, H, W)`` uint8."""
    import torch

    from onebit import examples
    from onebit.cli import picture
    from onebit.data import load

    if data and image is not None:
        raise ValueError(f"either --image or --data, got {image} and {data}")
    if data:
        found = load(data)
        if not found.is_images:
            raise ValueError(f"--data must name a data set of images, and the inputs of {data} are none")
        return found.test.images[:1]
    if image is not None:
        return torch.from_numpy(picture.read(image, 3, 32, 32))
    seven = next(path for path in examples.pictures("mnist") if path.stem == "7")
    return torch.from_numpy(picture.read(seven, 1, 28, 28))
