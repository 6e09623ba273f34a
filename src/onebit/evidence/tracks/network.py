"""The networks whose cost and speed are asked for, untrained: neither follows from what a network has learned."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from onebit import data
from onebit.core.progress import Progress
from onebit.data import Dataset, Split, normalize
from onebit.evidence.sweep import Row
from onebit.evidence.tracks.accuracy import Accuracy
from onebit.evidence.tracks.tasks import FLOAT, job
from onebit.evidence.tracks.track import Plan, Track
from onebit.learn import ModelSpec
from onebit.nn import broadcast

#: Networks of published sizes, whose data cannot be had: model, sizes, shape of an example, classes.
PUBLISHED: dict[str, tuple[str, dict[str, Any], tuple[int, ...], int]] = {
    "resnet18": ("resnet18", {"block": "bireal"}, (3, 224, 224), 1000),
}
#: Of the inputs of published sizes, which are random.
RANDOM = 2


class Network(NamedTuple):
    """A network by name, and the examples it is for.

    Args:
        name: of the network, whatever the method: of its task, of its architecture where that was chosen.
        method: name of the scheme, ``"float"`` for the float twin.
        model: what :class:`onebit.learn.ModelSpec` says of it.
        data: name of the data set, of :data:`PUBLISHED` where there is none.
    """

    name: str
    method: str
    model: dict[str, Any]
    data: str

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Network:
        """Of a cell's settings."""
        return cls(settings["network"], settings["method"], settings["model"], settings["data"])

    def settings(self) -> dict[str, Any]:
        """Of a cell about it."""
        return {"network": self.name, "method": self.method, "model": self.model, "data": self.data}

    @property
    def twin(self) -> Network:
        """The same in floats."""
        spec = {name: value for name, value in self.model.items() if not name.startswith("scheme")}
        return self._replace(method=FLOAT, model=spec)

    def examples(self) -> Dataset:
        """What it is for; few or random examples of it."""
        return examples(self.data)

    def build(self, seed: int = 0) -> nn.Module:
        """With random weights, as after training: its schedules have ended, it is in evaluation mode."""
        model = ModelSpec(**self.model).fitted(self.examples()).build(seed)
        broadcast(model, Progress.complete())
        return model.eval()


@functools.lru_cache(maxsize=16)
def examples(name: str) -> Dataset:
    """64 examples of a data set, or random images of a published size; kept, since all methods ask for the same."""
    if name not in PUBLISHED:
        return data.load(name).limit(64, 64)
    _, _, shape, classes = PUBLISHED[name]
    images = torch.randint(0, 256, (RANDOM, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(images, torch.zeros(RANDOM, dtype=torch.int64))
    return Dataset(name, split, split, classes, tuple(str(label) for label in range(classes)))


def inputs(dataset: Dataset) -> torch.Tensor:
    """Training examples as a network takes them."""
    return normalize(dataset.train.inputs, dataset.mean, dataset.std)


def networks(plan: Plan, methods: Iterable[str]) -> list[Network]:
    """Every network of a plan by every method: those of the accuracy track's tasks and of published sizes, unless
    tasks or architectures are asked for."""
    smoke = plan.scale == "smoke"
    tasks = plan.tasks or (("digits",) if smoke else ("mnist",) if plan.architectures else Accuracy.tasks)
    found = []
    for method in methods:
        for task in tasks:
            for architecture in plan.architectures or (None,):
                made = job(task, method, 0, plan.scale, architecture)
                name = task if architecture is None else architecture if len(tasks) == 1 else f"{task} {architecture}"
                found.append(Network(name, method, made.model.to_dict(), task))
        if not (smoke or plan.tasks or plan.architectures):
            for name, (model, sizes, _, _) in PUBLISHED.items():
                spec = ModelSpec(model, sizes, None if method == FLOAT else method)
                found.append(Network(name, method, spec.to_dict(), name))
    return found


class OfNetworks(Track):
    """A track whose cells are about networks; what else there is has no method."""

    def line(self, settings: Mapping[str, Any]) -> str:
        return settings.get("method", "others")

    def column(self, settings: Mapping[str, Any]) -> str:
        return settings.get("network", "others")


class Results:
    """What was measured of networks, by method and network.

    Args:
        rows: of cells about networks.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        found = [(Network.of(row.settings), row.result) for row in rows]
        self.methods = list(dict.fromkeys(network.method for network, _ in found))
        self.networks = list(dict.fromkeys(network.name for network, _ in found))
        self.results = {(network.method, network.name): made for network, made in found if made is not None}

    def of(self, method: str) -> list[dict[str, Any]] | None:
        """Results of all networks, in their order; ``None`` where one is missing."""
        made = [self.results.get((method, name)) for name in self.networks]
        return None if None in made else made  # type: ignore[return-value]

    def range(self, network: str, value: Callable[[dict[str, Any]], float], form: str = ".1f") -> str:
        """Lowest and highest of a network's values over the methods of bits, as a text."""
        values = [value(made) for (method, name), made in self.results.items() if name == network and method != FLOAT]
        ends = [format(end, form) for end in (min(values), max(values))] if values else ["-"]
        return " to ".join(dict.fromkeys(ends))
