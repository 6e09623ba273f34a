"""``onebit run``: a packed file on pictures, or on the test part of a data set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onebit import examples
from onebit.cli import picture
from onebit.cli.arguments import Files, Name, OptionalFile
from onebit.cli.output import in_seconds, note, packed_file, print_json, progress
from onebit.core.errors import check_range, require

BATCH = 100


def run(
    file: OptionalFile = None,
    images: Files = (),
    /,
    *,
    data: Name = "",
    example: bool = False,
    limit: int = 0,
    invert: bool = False,
    threads: int = 1,
    isa: Name = "",
    json: bool = False,
) -> None:
    """Run a packed file: on pictures, for the class of each and its probability, or on a test set, for the accuracy.

    A picture is scaled to the size that the network takes, made grey where it takes one channel, and normalised as the
    training images were. Networks trained on MNIST or digits expect light ink on a dark ground.

    Example: onebit run network.onebit digit.png

    Example: onebit run network.onebit --data mnist

    Example: onebit run --example

    Args:
        file: the packed file.
        images: pictures in any common format.
        data: a data set; see `onebit list data`.
        example: run the trained networks that come with the package on the pictures that do; pictures that are given
            go to the one for MNIST.
        limit: use so many examples of the test part only; 0 for all.
        invert: swap light and dark in the pictures.
        threads: of the engine.
        isa: instruction set of the engine; see `onebit list engine`. The best of this machine by default.
        json: print JSON.
    """
    from onebit import runtime

    check_range("--limit", limit, 0)
    check_range("--threads", threads, 1, 1024)

    def load(path: Path) -> runtime.Model:
        return runtime.load(packed_file(path), threads=threads, isa=isa or None)

    if example:
        if data:
            raise ValueError("give either --example or --data, got both")
        given = (file, *images) if file is not None else ()
        names = ("mnist",) if given else examples.NAMES
        found = [_pictures(load(examples.network(name)), given or examples.pictures(name), invert) for name in names]
        _print([row for rows in found for row in rows], json)
        return
    if file is None:
        raise ValueError("FILE is required and not given; --example runs the networks that come with the package")
    if bool(images) == bool(data):
        raise ValueError("give either pictures or --data NAME, got " + ("both" if data else "neither"))
    if data:
        _accuracy(load(file), file, data, limit, json)
    else:
        _print(_pictures(load(file), images, invert), json)


def _pictures(model, paths: Sequence[Path], invert: bool) -> list[dict[str, Any]]:
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or not all(isinstance(size, int) for size in shape[1:]):
        raise ValueError(f"the network takes inputs of shape ({', '.join(map(str, shape))}), which are no pictures")
    rows = []
    for path in paths:
        pixels = picture.read(path, *shape[1:], invert=invert)
        if not invert and picture.looks_inverted(pixels, model.meta.get("mean", [])):
            note(f"onebit run: light and dark of {path} are unlike those of the training images; --invert swaps them")
        found = scores(model, model.normalize(pixels))
        if np.isnan(found).any() or not np.isfinite(found.max()):
            raise ValueError(f"the network gives scores for {path} that are not finite, which name no class")
        probabilities = softmax(found)[0]
        best = int(probabilities.argmax())
        names = model.class_names or [str(i) for i in range(len(probabilities))]
        rows.append(
            {
                "file": path,
                "class": names[best],
                "probability": float(probabilities[best]),
                "probabilities": dict(zip(names, probabilities)),
            }
        )
    return rows


def _print(rows: list[dict[str, Any]], json: bool) -> None:
    if json:
        print_json(rows)
        return
    for row in rows:
        said = f"{row['class']} ({100 * row['probability']:.0f} %)"
        print(said if len(rows) == 1 else f"{row['file']}: {said}")


def _accuracy(model, file: Path, name: str, limit: int, json: bool) -> None:
    require("torch", "train", "loading data sets")
    from onebit import data

    dataset = data.load(name)
    split = dataset.limit(test=limit).test if limit else dataset.test
    images, labels = split.images.numpy(), split.labels.numpy()
    want = tuple(model.inputs[0].shape)[1:]
    if tuple(images.shape[1:]) != tuple(want):
        raise ValueError(
            f"--data {name} has examples of shape {tuple(images.shape[1:])}, and {file} takes {tuple(want)}"
        )
    if not len(labels):
        raise ValueError(f"--data {name} has no test examples")
    right, seconds, chosen = 0, 0.0, []
    with progress(f"{name}, {len(labels)} examples", len(labels), quiet=json) as advance:
        for start in range(0, len(labels), BATCH):
            batch = images[start : start + BATCH]
            batch = model.normalize(batch) if dataset.is_images else batch
            began = time.perf_counter()
            found = scores(model, batch)
            predicted = found.argmax(1)
            seconds += time.perf_counter() - began
            chosen.append(predicted)
            right += int(((predicted == labels[start : start + BATCH]) & ~np.isnan(found).any(1)).sum())
            advance(len(batch))
    result = {
        "file": file,
        "data": name,
        "examples": len(labels),
        "right": right,
        "accuracy": right / len(labels),
        **_customary(dataset.metric, np.concatenate(chosen), labels),
        "seconds_per_example": seconds / len(labels),
        "isa": model.isa,
        "threads": model.threads,
    }
    if json:
        print_json(result)
        return
    share = f"{100 * result['accuracy']:.2f} % of {len(labels)} test examples of {name} are right"
    if "matthews" in result:
        share += f", Matthews' correlation {result['matthews']:.4f}"
    each = in_seconds(result["seconds_per_example"])
    print(f"{share} ({each} each in batches of {BATCH}, {model.isa}, threads: {model.threads})")


def _customary(metric: str, predicted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What the data set is judged by besides accuracy."""
    if metric != "matthews":
        return {}
    import torch

    from onebit.learn import matthews

    return {"matthews": matthews(torch.from_numpy(predicted), torch.from_numpy(labels))}


def scores(model, x: np.ndarray) -> np.ndarray:
    """The first output of ``model`` for ``x``: ``(N, classes)`` float64; ``ValueError`` where it has another shape."""
    y = model.run(x)
    first = np.asarray(y[0] if isinstance(y, tuple) else y, dtype=np.float64)
    if first.ndim != 2 or not first.shape[1]:
        raise ValueError(f"the first output of the network must be (N, classes), it is {model.outputs[0]}")
    return first


def softmax(x: np.ndarray) -> np.ndarray:
    """``exp(x) / sum(exp(x))`` along the last axis.

    Example:
        >>> softmax(np.zeros((1, 4))).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
