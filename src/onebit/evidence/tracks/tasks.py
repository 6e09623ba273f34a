"""What is learned: tasks on public data, each with its network, its recipe and as many examples as a scale can pay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from onebit.core.registry import Registry, unknown
from onebit.learn import Job, ModelSpec, Recipe

#: Smoke: seconds, for tests. Small: most trainings below half a minute on one core. Paper: the whole data, on a GPU.
SCALES = ("smoke", "small", "paper")
#: Methods that are compared unless others are asked for: the eight operators of [Qin2023], BiPer, ReSTE.
METHODS = ("bnn", "xnor", "dorefa", "bireal", "xnor++", "react", "recu", "fda", "biper", "reste")
#: What the float twin is called among the methods.
FLOAT = "float"
PAPER = Recipe(epochs=200, batch_size=128, learning_rate=1e-3, validation=0.0, reestimate_in_order=True)


@dataclass(frozen=True)
class Task:
    """A data set, and how a network of customary architecture is trained on it at small scale.

    Args:
        data: name of the data set.
        about: what is learned, in a few words.
        architecture: of the accuracy track, one of :data:`ARCHITECTURES`.
        sizes: of that network.
        epochs, learning_rate, batch_size: of Adam with a cosine schedule.
        examples, test_examples: of the data set.
        images: whether the inputs are images: what can be corrupted.
    """

    data: str
    about: str
    architecture: str
    sizes: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 8
    learning_rate: float = 3e-3
    batch_size: int = 64
    examples: int | None = 4000
    test_examples: int | None = 2000
    images: bool = True

    @property
    def recipe(self) -> Recipe:
        """Without what differs between runs: seed, further settings."""
        return Recipe(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            augment=False,
            validation=0.0,
            reestimate_batches=8,
            reestimate_in_order=True,
            threads=1,
        )


@dataclass(frozen=True)
class Architecture:
    """A network by name.

    Args:
        model: in ``onebit.nn.models``.
        family: ``"CNN"``, ``"MLP"``, ``"transformer"``, ``"recurrent"`` or ``"points"``.
        sizes: of the network in the architecture track: about 18,000 weights of bits (ResNet-20: 67,000).
        learning_rate: that suits it better than the task's.
    """

    model: str
    family: str
    sizes: Mapping[str, Any] = field(default_factory=dict)
    learning_rate: float | None = None


ARCHITECTURES: Registry[Architecture] = Registry("architecture")
TASKS: Registry[Task] = Registry("task")


def job(
    task: str,
    method: str,
    seed: int,
    scale: str = "small",
    architecture: str | None = None,
    recipe: Mapping[str, Any] | None = None,
    examples: int | None = None,
) -> Job:
    """The training of one network.

    Args:
        task: in :data:`TASKS`.
        method: name of a scheme, or :data:`FLOAT`.
        seed: of weights and the order of examples.
        scale: one of :data:`SCALES`.
        architecture: in :data:`ARCHITECTURES`; that of the task where ``None``.
        recipe: fields of the recipe that differ.
        examples: of the training part at scale small, other than the task's.

    Raises:
        KeyError: no such task or architecture.
        ValueError: no such scale.

    Example:
        >>> made = job("mnist", "bnn", seed=1)
        >>> made.model.name, made.model.scheme, made.recipe.seed
        ('convnet', 'bnn', 1)
    """
    if scale not in SCALES:
        raise ValueError(unknown("scale", scale, SCALES))
    of, chosen = TASKS[task], ARCHITECTURES[architecture or TASKS[task].architecture]
    sizes = dict(chosen.sizes if architecture is not None else of.sizes)
    base = of.recipe if chosen.learning_rate is None else replace(of.recipe, learning_rate=chosen.learning_rate)
    trained, tested = examples or of.examples, of.test_examples
    if scale == "smoke":
        base, trained, tested = replace(base, epochs=1), 128, 64
    if scale == "paper":
        base, trained, tested, sizes = PAPER, None, None, {}
    spec = ModelSpec(chosen.model, sizes, None if method == FLOAT else method)
    return Job(spec, of.data, replace(base, seed=seed, **(recipe or {})), examples=trained, test_examples=tested)


for name, architecture in {
    "mlp": Architecture("mlp", "MLP", {"width": 96, "depth": 2}),
    "convnet": Architecture("convnet", "CNN", {"width": 24, "depth": 4}),
    "vgg-small": Architecture("vgg-small", "CNN", {"width": 8}),
    "resnet20": Architecture("resnet20", "CNN", {"width": 8}),
    "vit": Architecture("vit", "transformer", {"width": 48, "depth": 1}),
    "transformer": Architecture("transformer", "transformer", {"width": 48, "depth": 1}),
    "gru-classifier": Architecture("gru-classifier", "recurrent", {"width": 56}),
    "dfsmn": Architecture("dfsmn", "CNN"),
    "pointnet": Architecture("pointnet", "points"),
}.items():
    ARCHITECTURES.add(name, architecture)

for task in (
    Task("digits", "digits of 8x8", "convnet", {"width": 16, "depth": 3, "stem_stride": 1}, examples=None),
    Task("mnist", "handwritten digits", "convnet", {"width": 16}),
    Task("fashion-mnist", "clothes", "convnet", {"width": 16}),
    Task("cifar10-jpeg", "objects, in JPEG", "convnet", {"width": 16, "widen": 2}),
    Task("fsdd", "spoken digits", "dfsmn", examples=None, test_examples=None, images=False),
    Task("shapes3d-points", "generated clouds of points", "pointnet", epochs=6, examples=1000, images=False),
    Task("sst2", "sentiment of sentences", "transformer", epochs=4, test_examples=None, images=False),
    Task("cola", "grammar of sentences", "transformer", epochs=4, test_examples=None, images=False),
    Task("adult", "incomes, a table", "mlp", {"width": 64}, images=False),
):
    TASKS.add(task.data, task)
