"""``onebit export``: a network for other people's programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from onebit.cli.arguments import Model, Name, OptionalInt, OptionalPath, Output, Shape, Sizes
from onebit.cli.model import check_fit, described, example_input, parse_shape, resolve
from onebit.cli.output import note, print_json, progress
from onebit.core.errors import check_range, require

if TYPE_CHECKING:
    from onebit.ir import Graph

RANDOM = 100
SUFFIX = {"onnx": ".onnx", "qonnx": ".qonnx.onnx"}


def export(
    model: Model,
    /,
    *,
    to: Literal["onnx", "qonnx"],
    output: Output = None,
    data: Name = "",
    samples: OptionalInt = None,
    input: Shape = "",
    scheme: Name = "",
    size: Sizes = (),
    weights: OptionalPath = None,
    json: bool = False,
) -> int:
    """Write a network as a file for other people's programs, check that file, and run it beside the engine.

    ONNX has standard operators only, for ONNX Runtime and others. QONNX has a node for everything that is one bit or a
    few, for FINN, hls4ml and others. The table says in how many samples any bit inside the network has changed.

    Status 1 says that more than 0.1 % of the samples have a changed bit or another prediction.

    Example: onebit export runs/digits --to onnx -o digits.onnx

    Example: onebit export digits.onebit --to qonnx --data digits --samples 50

    Args:
        model: a run folder, a packed file, a registered model, or package.module:factory.
        to: the format.
        output: the file; by default the model's name with .onnx or .qonnx.onnx in this folder.
        data: compare on the test part of this data set; that of the run by default, random numbers without one.
        samples: compare on so many samples, 0 for none; all of the test part by default, or 100 random ones.
        input: sizes of one example, such as 3,32,32; those of the data set by default.
        scheme: of a registered model; see `onebit list schemes`.
        size: NAME=VALUE of a registered model, such as width=32; several may follow.
        weights: a safetensors file to load into a model that is no run.
        json: print JSON.
    """
    if samples is not None:
        check_range("--samples", samples, 0)
    packed = model.endswith(".onebit") or Path(model).is_file()
    path = output or Path((Path(model).stem if packed else Path(model.partition(":")[2] or model).name) + SUFFIX[to])
    if packed and path.resolve() == Path(model).resolve():
        raise ValueError(f"--output must be another file than MODEL, got {path} for both")
    require("onnx", "train", "exporting ONNX")
    if samples != 0:
        require("onnxruntime", "train", "comparing with ONNX Runtime")
        if to == "qonnx":
            require("qonnx", "export", "running QONNX files (--samples 0 only writes them)")
    from onebit.deploy import export as deploy

    with progress("reading", quiet=json):
        if packed:
            if input or scheme or size or weights:
                raise ValueError("--input, --scheme, --size and --weights belong to models; a packed file has its own")
            graph, dataset = _packed(model, data)
        else:
            graph, dataset = _captured(model, data, scheme, size, weights, input)
    count = samples if samples is not None else len(dataset.test) if dataset is not None else RANDOM
    inputs, said = _inputs(graph, dataset, count)
    if dataset is None and count:
        note(
            "onebit export: no data set was named, so the inputs compared are random; --data NAME takes real ones"
        )
    with progress("comparing with the engine", len(inputs[0]) if count else None, quiet=json) as advance:
        report = deploy.export(graph, path, to, inputs=inputs if count else None, advance=advance)
    if json:
        print_json({"file": path, "samples": said, "report": report, "holds": report.holds})
    else:
        print(report)
        if count:
            print(f"Samples: {said}.")
    return 0 if report.holds else 1


def _packed(path: str, data: str) -> tuple[Graph, Any]:
    """The graph of a packed file, and the data set to compare on where one is named."""
    from onebit import ir
    from onebit.cli.output import packed_file

    graph = ir.load(packed_file(Path(path)))
    if not data:
        return graph, None
    from onebit.data import load

    dataset = load(data)
    want, given = next(iter(graph.inputs.values())).shape[1:], tuple(dataset.test.images.shape[1:])
    if tuple(want) != given:
        raise ValueError(f"--data {data} has examples of shape {given}, and {path} takes {tuple(want)}")
    return graph, dataset


def _captured(model: str, data: str, scheme: str, size: Any, weights: Path | None, shape: str) -> tuple[Graph, Any]:
    """The graph of a network in PyTorch, and the data set to compare on where it has or is given one."""
    sizes = parse_shape(shape)
    found = resolve(model, data, scheme, size, weights)
    if not found.trained:
        note(
            f"onebit export: {model} has not been trained, so it will be right by chance only; --weights loads some"
        )
    example = example_input(found.data, sizes)
    check_fit(found.model, example)
    from onebit import deploy

    return deploy.prepare(found.model, example, meta=described(found.data)), found.data


def _inputs(graph: Graph, dataset: Any, count: int) -> tuple[list[Any], str]:
    """What the file is compared on: the first test examples, or random numbers; and that in words."""
    if dataset is not None:
        from onebit.data import normalize

        meta = graph.meta if graph.meta.get("mean") else {"mean": dataset.mean, "std": dataset.std}
        images = normalize(dataset.test.images[:count], meta["mean"], meta["std"])
        first = f"the first {len(images)} of" if len(images) < len(dataset.test) else "all"
        return [images.numpy()], f"{first} {len(dataset.test)} test examples of {dataset.name}"
    import numpy as np

    from onebit.deploy.export import random_inputs

    return random_inputs(graph, count, np.random.default_rng(0)), "random inputs"
