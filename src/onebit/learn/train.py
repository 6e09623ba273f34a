"""A training job that can be written down: a model by name, a data set by name, a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from onebit.core.registry import unknown
from onebit.data import Dataset, load
from onebit.data import registry as data_registry
from onebit.learn.fit import fit
from onebit.learn.history import History, Row
from onebit.learn.recipe import Recipe, check_int, from_mapping, read_yaml, write_yaml
from onebit.learn.run import load_run
from onebit.learn.spec import ModelSpec

#: Fields of a job that may be left out.
OPTIONAL = ("teacher", "start", "examples", "test_examples")


@dataclass(frozen=True)
class Job:
    """What ``onebit train`` does, from flags or from a file.

    As YAML::

        model: {name: resnet20, sizes: {width: 16}, scheme: biper}
        data: cifar10
        recipe: {epochs: 30, optimizer: sgd, learning_rate: 0.1}
        teacher: runs/float        # a finished run, for distillation; may be left out
        start: runs/float          # a finished run, whose weights are the first ones; may be left out

    Args:
        model: what to train.
        data: name of the data set.
        recipe: how.
        teacher: folder of the run to distil from.
        start: folder of the run whose weights training begins from.
        examples, test_examples: of the training and the test part, every class by its share, the same for every seed;
            ``None``: all.
    """

    model: ModelSpec
    data: str
    recipe: Recipe = field(default_factory=Recipe)
    teacher: str | None = None
    start: str | None = None
    examples: int | None = None
    test_examples: int | None = None

    def __post_init__(self) -> None:
        if self.data not in data_registry:
            raise ValueError(unknown("data set", self.data, data_registry))
        for name in ("examples", "test_examples"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Job:
        """The job of a mapping; ``ValueError`` names an unknown key and the nearest known one."""
        return from_mapping(cls, values, "job")

    @classmethod
    def from_yaml(cls, path: str | Path) -> Job:
        """The job that :meth:`to_yaml` wrote, or a person; the ``recipe.yaml`` of a run is one."""
        try:
            return cls.from_dict(read_yaml(path))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """As YAML and JSON have it; fields at their defaults are left out."""
        content = {"model": self.model.to_dict(), "data": self.data, "recipe": self.recipe.to_dict()}
        return content | {name: value for name in OPTIONAL if (value := getattr(self, name)) is not None}

    def load(self) -> Dataset:
        """The data set, with so many examples as the job wants."""
        return load(self.data).limit(self.examples, self.test_examples)

    def to_yaml(self, path: str | Path) -> None:
        """Write the job, atomically."""
        write_yaml(path, self.to_dict())

    def run(
        self, folder: str | Path | None = None, resume: bool = False, *, data: Dataset | None = None, **options: Any
    ) -> Result:
        """Do it: :func:`train`.

        Args:
            folder, resume, **options: of :func:`train`.
            data: what :meth:`load` gave, where it is at hand.
        """
        given: dict[str, Any] = {"teacher": self.teacher, "start": self.start}
        notes = {name: value for name in OPTIONAL if (value := getattr(self, name)) is not None}
        return train(self.model, data or self.load(), self.recipe, folder, resume, **given, notes=notes, **options)


@dataclass(frozen=True)
class Result:
    """What a job gives.

    Args:
        model: the trained network, in evaluation mode.
        spec: how it was built, with the sizes that followed from the data.
        data: the set it was trained on.
        history: what happened; ``history.test`` is the accuracy on the test part.
        folder: where everything lies, or ``None``.
    """

    model: nn.Module
    spec: ModelSpec
    data: Dataset
    history: History
    folder: Path | None


def train(
    spec: ModelSpec,
    data_name: str | Dataset,
    recipe: Recipe | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    *,
    teacher: str | Path | nn.Module | None = None,
    start: str | Path | nn.Module | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    notes: dict[str, Any] | None = None,
    **options: Any,
) -> Result:
    """Build a model for a data set, train it, save it with all that is needed to build it again.

    Args:
        spec: the model; ``num_classes``, ``in_channels``, ``in_features``, ``image_size`` follow from the data where
            the model has them and the spec does not give them. Its weights are drawn from the recipe's seed.
        data_name: name of a data set, or a set.
        recipe: how to train.
        folder: of the run; ``None``: nothing is saved.
        resume: go on with the run in ``folder`` if there is one.
        teacher: for ``recipe.distillation``: a network, or the folder of a finished run.
        start: a network of the same architecture, or the folder of a finished run of one, often the float twin:
            training begins from its weights. What it does not have - a quantizer's parameters - stays as it was drawn.
        on_epoch: called with every row of the history.
        notes: further entries of ``recipe.yaml``.
        **options: of :func:`onebit.learn.fit`.
    """
    recipe = recipe or Recipe()
    data = load(data_name) if isinstance(data_name, str) else data_name
    spec = spec.fitted(data)
    scheme = spec.built_scheme()
    if scheme is not None and scheme.stages > len(recipe.every_stage):
        # Its last stage is the one with bits: without it a float network would pass for one of bits.
        raise ValueError(
            f"scheme {spec.scheme!r} with these settings is trained in {scheme.stages} stages, "
            f"the recipe has {len(recipe.every_stage)}: give it stages"
        )
    folders = {"teacher": teacher, "start": start}
    named = {name: str(given) for name, given in folders.items() if isinstance(given, (str, Path))}
    network = load_run(named["teacher"]).model if "teacher" in named else teacher
    model = spec.build(recipe.seed)
    if start is not None:
        begin_from(model, load_run(named["start"]).model if "start" in named else start)  # type: ignore[arg-type]
    history = fit(
        model,
        data,
        recipe,
        folder=folder,
        resume=resume,
        teacher=network,  # type: ignore[arg-type]
        spec=spec,
        on_epoch=on_epoch,
        notes=named | (notes or {}),
        **options,
    )
    return Result(model, spec, data, history, Path(folder) if folder is not None else None)


def begin_from(model: nn.Module, start: nn.Module) -> None:
    """Give ``model`` the weights and statistics of ``start`` that it has a place for, by their names.

    Raises:
        ValueError: a parameter of ``start`` has no place of its shape in ``model``; the text names it.

    Example:
        >>> from onebit.nn import models
        >>> sizes = {"in_features": 4, "width": 8, "num_classes": 3}
        >>> twin, bits = models.build("mlp", **sizes), models.build("mlp", **sizes, scheme="bnn")
        >>> begin_from(bits, twin)
        >>> bool((bits[4].weight == twin[4].weight).all())
        True
    """
    places, parameters = model.state_dict(), dict(start.named_parameters())
    for name, value in start.state_dict().items():
        fits = name in places and places[name].shape == value.shape
        if fits:
            places[name].copy_(value)
        elif name in parameters:
            found = f"there has shape {tuple(places[name].shape)}" if name in places else "is not in it"
            raise ValueError(
                f"start must have the architecture of the model, and its parameter {name} of shape "
                f"{tuple(value.shape)} {found}"
            )
