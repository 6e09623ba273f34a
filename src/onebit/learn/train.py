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
from onebit.learn.recipe import Recipe, from_mapping, read_yaml, write_yaml
from onebit.learn.run import load_run
from onebit.learn.spec import ModelSpec


@dataclass(frozen=True)
class Job:
    """What ``onebit train`` does, from flags or from a file.

    As YAML::

        model: {name: resnet20, sizes: {width: 16}, scheme: biper}
        data: cifar10
        recipe: {epochs: 30, optimizer: sgd, learning_rate: 0.1}
        teacher: runs/float        # a finished run, for distillation; may be left out

    Args:
        model: what to train.
        data: name of the data set.
        recipe: how.
        teacher: folder of the run to distil from.
    """

    model: ModelSpec
    data: str
    recipe: Recipe = field(default_factory=Recipe)
    teacher: str | None = None

    def __post_init__(self) -> None:
        if self.data not in data_registry:
            raise ValueError(unknown("data set", self.data, data_registry))

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
        return content | ({"teacher": self.teacher} if self.teacher is not None else {})

    def to_yaml(self, path: str | Path) -> None:
        """Write the job, atomically."""
        write_yaml(path, self.to_dict())

    def run(self, folder: str | Path | None = None, resume: bool = False, **options: Any) -> Result:
        """Do it: :func:`train`."""
        return train(self.model, self.data, self.recipe, folder, resume, teacher=self.teacher, **options)


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
    on_epoch: Callable[[Row], None] | None = None,
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
        on_epoch: called with every row of the history.
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
    named = str(teacher) if isinstance(teacher, (str, Path)) else None
    network = load_run(named).model if named is not None else teacher
    model = spec.build(recipe.seed)
    history = fit(
        model,
        data,
        recipe,
        folder=folder,
        resume=resume,
        teacher=network,  # type: ignore[arg-type]
        spec=spec,
        on_epoch=on_epoch,
        notes={"teacher": named} if named is not None else None,
        **options,
    )
    return Result(model, spec, data, history, Path(folder) if folder is not None else None)
