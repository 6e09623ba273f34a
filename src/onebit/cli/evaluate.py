"""``onebit eval``: how good a trained network is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onebit.cli.arguments import Model, Name, OptionalPath, Sizes
from onebit.cli.model import resolve
from onebit.cli.output import note, print_json, progress
from onebit.core.errors import check_range

if TYPE_CHECKING:
    from onebit.learn import Metrics


def evaluate(
    model: Model,
    /,
    *,
    data: Name = "",
    scheme: Name = "",
    size: Sizes = (),
    weights: OptionalPath = None,
    limit: int = 0,
    json: bool = False,
) -> None:
    """Loss and accuracy of a network in PyTorch on the test part of a data set; of cola also Matthews' correlation.

    Example: onebit eval runs/digits

    Args:
        model: a run folder, a registered model, or package.module:factory.
        data: a data set; that of the run by default.
        scheme: of a registered model; see `onebit list schemes`.
        size: NAME=VALUE of a registered model, such as width=32; several may follow.
        weights: a safetensors file to load into a model that is no run.
        limit: use so many test examples only; 0 for all.
        json: print JSON.
    """
    check_range("--limit", limit, 0)
    found = resolve(model, data, scheme, size, weights)
    if found.data is None:
        raise ValueError("--data is required for a model that is no run; see `onebit list data`")
    if not found.trained:
        note(f"onebit eval: {model} has not been trained, so expect chance accuracy; --weights loads some")
    from onebit import learn

    dataset = found.data.limit(test=limit) if limit else found.data
    with progress(f"{dataset.name}, {len(dataset.test)} examples", quiet=json):
        metrics = learn.evaluate(found.model, dataset)
    if json:
        print_json({"model": model, "data": dataset.name, **metrics.to_dict()})
    else:
        print(said(metrics, dataset.name))


def said(metrics: Metrics, name: str) -> str:
    """How good a network is on the test part of the data set ``name``, as one line."""
    parts = [f"{100 * metrics.accuracy:.2f} % of {metrics.count} test examples of {name} are right"]
    if metrics.matthews is not None:
        parts.append(f"Matthews' correlation {metrics.matthews:.4f}")
    return ", ".join([*parts, f"loss {metrics.loss:.4f}"])
