"""``onebit pack``: a trained network as one small file."""

from __future__ import annotations

from pathlib import Path

from onebit.cli.arguments import Model, Name, OptionalPath, Output, Shape, Sizes
from onebit.cli.model import check_fit, described, example_input, parse_shape, resolve
from onebit.cli.output import note, print_json, progress


def pack(
    model: Model,
    /,
    *,
    output: Output = None,
    input: Shape = "",
    data: Name = "",
    scheme: Name = "",
    size: Sizes = (),
    weights: OptionalPath = None,
    samples: int = 100,
    json: bool = False,
) -> None:
    """Turn a trained network into one small file that the engine runs without PyTorch.

    Says how many output bits and predictions of the file differ from PyTorch on test examples.

    Example: onebit pack runs/digits -o digits.onebit

    Args:
        model: a run folder, a registered model, or package.module:factory.
        output: the file; by default the model's name with .onebit in this folder.
        input: sizes of one example, such as 3,32,32; those of the data set by default.
        data: a data set; its classes and normalisation go into the file. That of the run by default.
        scheme: of a registered model; see `onebit list schemes`.
        size: NAME=VALUE of a registered model, such as width=32; several may follow.
        weights: a safetensors file to load into a model that is no run.
        samples: compare the file with PyTorch on so many test examples.
        json: print JSON.
    """
    from onebit.core.errors import check_range

    check_range("--samples", samples, 0, 10_000)
    shape = parse_shape(input)
    found = resolve(model, data, scheme, size, weights)
    if not found.trained:
        note(
            f"onebit pack: {model} has not been trained, so the file will be right by chance only; --weights loads some"
        )
    path = output or Path(Path(model.partition(":")[2] or model).name + ".onebit")
    example = example_input(found.data, shape)
    check_fit(found.model, example)
    from onebit import deploy

    with progress("packing", quiet=json):
        compared = example_input(found.data, shape, samples) if samples else None
        report = deploy.pack(found.model, example, path, samples=compared, meta=described(found.data))
    if json:
        print_json({"file": path, "report": report})
    else:
        print(report)
