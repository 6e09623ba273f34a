"""A recipe: everything that decides how a network is trained, apart from the network and the data."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onebit.core.errors import UNREADABLE, check_positive, check_range, reason, require, shown
from onebit.core.files import write_text
from onebit.core.registry import unknown
from onebit.data import Augment

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("cosine", "linear", "step", "constant")
PRECISIONS = ("no", "bf16", "fp16")
KEEPS = ("last", "best")


def check_int(name: str, value: int, low: int) -> None:
    """``ValueError`` where ``value`` is no integer of ``low`` or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name} must be an integer of {low} or more, got {shown(value)}")


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(unknown(f"{name}:", value, allowed))


@dataclass(frozen=True)
class Stage:
    """One stage of a training in several; the optimizer and the learning-rate schedule start afresh in each.

    Args:
        epochs: 1 or more.
        learning_rate, weight_decay: ``None`` takes the recipe's.
    """

    epochs: int
    learning_rate: float | None = None
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        check_int("epochs of a stage", self.epochs, 1)
        if self.learning_rate is not None:
            check_positive("learning_rate of a stage", self.learning_rate)
        if self.weight_decay is not None:
            check_range("weight_decay of a stage", self.weight_decay, 0)


@dataclass(frozen=True)
class Distillation:
    """Learn from a teacher's outputs too: ``(1 - weight) CE + weight T^2 KL(teacher / T || student / T)`` [Hinton2015].

    Args:
        weight: 0..1.
        temperature: T, above 0.
    """

    weight: float = 0.5
    temperature: float = 4.0

    def __post_init__(self) -> None:
        check_range("weight of distillation", self.weight, 0, 1)
        check_positive("temperature of distillation", self.temperature)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; checked when it is made.

    Args:
        epochs: passes over the training examples; 0: the sum of the stages, or 10 without stages.
        batch_size: examples of one optimizer step, over all processes. The rest of an epoch that fills no batch is left
            out; the order changes every epoch.
        optimizer: ``"sgd"``, ``"adam"`` or ``"adamw"``.
        learning_rate: the highest one.
        momentum, nesterov: of SGD.
        weight_decay: on all parameters; added to the gradient (``sgd``, ``adam``) or decoupled (``adamw``).
        schedule: ``"cosine"`` or ``"linear"`` to 0, ``"step"`` (times ``gamma`` at each of ``milestones``) or
            ``"constant"``; per step.
        warmup_epochs: epochs (or a fraction) in which the learning rate rises linearly, at the start of each stage.
        milestones: epochs of a stage, ascending.
        gamma: factor of ``"step"``.
        clip_latent: the latent weights of quantized layers are clamped to ``[-c, c]`` after each step; ``None``: not.
        label_smoothing: share of the target spread over all classes, 0..1.
        distillation: learn from a teacher (given to ``fit``) as well.
        gradient_clip: largest Euclidean norm of all gradients together.
        reestimate_batches: before every evaluation and at the end the statistics of batch norms are computed anew over
            so many training batches; 0: running averages. Weights of bits that flip make running averages stale.
        reestimate_in_order: norm by norm, as evaluation has it (:func:`onebit.learn.reestimate`); a pass for each norm.
        augment: ``true``: as is customary for the data set; ``false``: none; or an ``Augment``.
        stages: training in several stages, such as real and then binary weights.
        validation: share of the training examples held out to choose by, 0..0.5; the test part is never chosen by.
        patience: stop after so many epochs without a better validation accuracy.
        keep: ``"last"`` or ``"best"``: the weights of which epoch remain, best by validation in the last stage.
        precision: ``"no"`` (float32), ``"bf16"`` or, not on the CPU, ``"fp16"`` arithmetic through Accelerate.
        channels_last: memory order of image tensors.
        threads: of PyTorch on the CPU; ``None`` leaves it as it is. Bits depend on it.
        seed: of everything random.

    Example:
        >>> Recipe(epochs=3, optimizer="sgd", learning_rate=0.1).total_epochs
        3
        >>> Recipe(optimizer="sdg")
        Traceback (most recent call last):
            ...
        ValueError: unknown optimizer: 'sdg' (did you mean 'sgd'?); known: adam, adamw, sgd
    """

    epochs: int = 0
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    clip_latent: float | None = None
    label_smoothing: float = 0.0
    distillation: Distillation | None = None
    gradient_clip: float | None = None
    reestimate_batches: int = 32
    reestimate_in_order: bool = False
    augment: bool | Augment = True
    stages: tuple[Stage, ...] = ()
    validation: float = 0.1
    patience: int | None = None
    keep: str = "last"
    precision: str = "no"
    channels_last: bool = False
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, 0)
        check_int("batch_size", self.batch_size, 1)
        check_int("reestimate_batches", self.reestimate_batches, 0)
        check_int("seed", self.seed, 0)
        for name in ("patience", "threads"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1)
        _check_choice("optimizer", self.optimizer, OPTIMIZERS)
        _check_choice("schedule", self.schedule, SCHEDULES)
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("keep", self.keep, KEEPS)
        check_positive("learning_rate", self.learning_rate)
        check_range("momentum", self.momentum, 0, 1)
        check_range("weight_decay", self.weight_decay, 0)
        check_range("warmup_epochs", self.warmup_epochs, 0)
        check_positive("gamma", self.gamma)
        check_range("label_smoothing", self.label_smoothing, 0, 1)
        check_range("validation", self.validation, 0, 0.5)
        for name in ("clip_latent", "gradient_clip"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if self.nesterov and not (self.optimizer == "sgd" and self.momentum > 0):
            raise ValueError("nesterov needs optimizer sgd with momentum above 0")
        if list(self.milestones) != sorted(set(self.milestones)) or any(m < 1 for m in self.milestones):
            raise ValueError(f"milestones must be ascending epochs from 1, got {list(self.milestones)}")
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError("milestones belong to schedule step, which needs them")
        if not self.validation and (self.patience is not None or self.keep == "best"):
            raise ValueError("patience and keep: best need a validation share above 0")
        if self.stages and self.epochs not in (0, sum(stage.epochs for stage in self.stages)):
            raise ValueError(
                f"epochs must be 0 or the sum of the stages, {sum(s.epochs for s in self.stages)}, got {self.epochs}"
            )

    @property
    def every_stage(self) -> tuple[Stage, ...]:
        """The stages, one that is the whole training where none were given."""
        return self.stages or (Stage(self.epochs or 10),)

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages together."""
        return sum(stage.epochs for stage in self.every_stage)

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as YAML and JSON have them."""
        fields = dataclasses.fields(self)
        return {f.name: _plain(getattr(self, f.name)) for f in fields if getattr(self, f.name) != f.default}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a YAML or JSON mapping; ``ValueError`` names an unknown key and the nearest known one."""
        return from_mapping(cls, values, "recipe")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {k: _plain(v) for k, v in dataclasses.asdict(value).items() if v is not None}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


T = typing.TypeVar("T")


def from_mapping(cls: type[T], values: Any, said: str) -> T:
    """The dataclass ``cls`` from a mapping as YAML gives it, its fields converted to their declared types.

    Args:
        cls: a dataclass.
        values: field name to value.
        said: what the mapping is, for the errors.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{said} must be a mapping of names to values, got {shown(values)}")
    hints = typing.get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise ValueError(unknown(f"key of {said}", key, known))
    try:
        return cls(**{key: _convert(value, hints[key], f"{key} of {said}") for key, value in values.items()})
    except TypeError as error:
        raise ValueError(f"{said} is incomplete: {error}") from None


def _convert(value: Any, hint: Any, said: str) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        choices = typing.get_args(hint)
        if value is None and type(None) in choices:
            return None
        if isinstance(value, bool) and bool in choices:
            return value
        hint = next(choice for choice in choices if choice not in (type(None), bool))
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{said} must be a list, got {shown(value)}")
        return tuple(_convert(item, typing.get_args(hint)[0], said) for item in value)
    if typing.get_origin(hint) is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"{said} must be a mapping, got {shown(value)}")
        return dict(value)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_mapping(hint, value, said)  # type: ignore[arg-type]
    if hint is float and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-3 (no dot) as a text
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{said} must be a number, got {shown(value)}") from None
    if hint in (int, bool, str) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        names = {int: "an integer", bool: "true or false", str: "a text"}
        raise ValueError(f"{said} must be {names[hint]}, got {shown(value)}")
    return value


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file; ``ValueError`` in one sentence where it is none."""
    yaml = require("yaml", "train", "reading YAML recipes")
    try:
        return yaml.safe_load(Path(path).read_text())
    except (yaml.YAMLError, *UNREADABLE) as error:
        raise ValueError(f"{path} is no YAML file: {reason(error)}") from None


def write_yaml(path: str | Path, values: Any) -> None:
    """Write ``values`` as YAML, atomically, keys in their order."""
    yaml = require("yaml", "train", "writing YAML recipes")
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
