"""The network that claims about binarization are re-checked on at small scale, and its training.

A float stem and three binary 3x3 convolutions of 16, 32 and 32 channels, each with batch norm and hard tanh; the map is
halved before the second. Weights start from He's normal distribution. Everything but how a value becomes a bit is the
same in every run of a statement.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from onebit import data, learn
from onebit.core.errors import Unsupported
from onebit.data import Dataset
from onebit.learn import Recipe
from onebit.nn.layers import Conv2d
from onebit.nn.operators import Operator, registry
from onebit.nn.quantizers import Quantizer

WIDTHS = (16, 32, 32)


def settings(scale: str, paper: str, smoke_epochs: int = 1, **small: Any) -> dict[str, Any]:
    """``data``, ``examples`` and ``epochs`` of the runs at a scale.

    Args:
        scale: one of ``claims.SCALES``; ``Unsupported`` with the sentence ``paper`` at scale paper.
        paper: what the published set-up would take.
        smoke_epochs: at scale smoke, on 100 digits.
        **small: what differs from all digits at scale small.
    """
    if scale == "paper":
        raise Unsupported(paper)
    if scale == "smoke":
        return {"data": "digits", "examples": 100, "epochs": smoke_epochs}
    return {"data": "digits", "examples": None} | small


def network(
    weight: Callable[[], Quantizer | None], activation: Callable[[], Quantizer | None], dataset: Dataset
) -> nn.Sequential:
    """The network for a data set; a quantizer is made for each layer, ``None`` leaves its side real.

    Shape: ``(N, C, H, W)`` with H and W at least 4, to ``(N, classes)``.
    """
    channels, classes = dataset.input_shape[0], dataset.num_classes
    layers: list[nn.Module] = [nn.Conv2d(channels, WIDTHS[0], 3, padding=1, bias=False), *_after(WIDTHS[0])]
    before = WIDTHS[0]
    for place, width in enumerate(WIDTHS):
        if place == 1:
            layers.append(nn.MaxPool2d(2))
        shape = (before, width, 3, 1, 1)
        layers.append(Conv2d(*shape, bias=False, weight_quantizer=weight(), input_quantizer=activation()))
        layers += _after(width)
        before = width
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def _after(width: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(width), nn.Hardtanh()]


def binary_layers(model: nn.Module) -> list[Conv2d]:
    """The layers whose weights become bits."""
    return [module for module in model.modules() if isinstance(module, Conv2d) and module.weight_quantizer is not None]


@functools.cache
def load(name: str, examples: int | None = None, test: int | None = None) -> Dataset:
    """A data set, or so many of its training and test examples, the same for every seed."""
    return data.load(name).limit(examples, test)


def train(
    make: Callable[[Dataset], nn.Module],
    dataset: Dataset,
    seed: int,
    on_epoch: Callable[[nn.Module], None] | None = None,
    teacher: nn.Module | None = None,
    **recipe: Any,
) -> tuple[nn.Module, learn.History]:
    """Make a network from a seed and train it: SGD with momentum 0.9, cosine, batches of 64, no augmentation.

    Args:
        make: the network for a data set; its weights are drawn from ``seed``.
        dataset: what to train and test on.
        seed: of the weights and the order of the examples.
        on_epoch: called with the network after each epoch; its gradients are those of the epoch's last batch.
        teacher: what the recipe's distillation learns from.
        **recipe: further or other fields of ``Recipe``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make(dataset)
    chosen: dict[str, Any] = {
        "optimizer": "sgd",
        "batch_size": 64,
        "augment": False,
        "validation": 0.0,
        "threads": 1,
    } | recipe
    history = learn.fit(
        model,
        dataset,
        Recipe(seed=seed, **chosen),
        teacher=teacher,
        progress=False,
        on_epoch=None if on_epoch is None else lambda _: on_epoch(model),
    )
    return model, history


class Gain(Operator):
    """Another operator applied to ``gain * x``: the same sign, ``gain`` times the gradient.

    Forward: ``y = sign(gain x)``. Backward: ``dL/dx = gain k(gain x) * dL/dy`` with k of the other operator.

    Args:
        operator: name of an operator without a schedule.
        gain: above 0.
    """

    def __init__(self, operator: str, gain: float) -> None:
        super().__init__()
        self.inner, self.gain = registry[operator](), gain

    def hard(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.inner.hard(self.gain * x)

    def gradient(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.gain * self.inner.gradient(self.gain * x)
