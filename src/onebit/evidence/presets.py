"""What the demo trains on each data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from onebit.data import Augment
from onebit.learn import Recipe


@dataclass(frozen=True)
class Preset:
    """What is trained on one data set, bits and float twin alike.

    Args:
        recipe: of the training; the test part is the only held-out one, nothing is chosen by it.
        sizes: arguments of the model ``convnet``.
        exact: compare engine and interpreter on so many test examples; 0 for all (the interpreter is slow).
    """

    recipe: Recipe
    sizes: dict[str, Any]
    exact: int = 500


# Stem and head of int8: in a network this small, float32 ones would be a tenth of the file.
ENDS = {"stem": "int8", "head": "int8"}
FLOAT_ENDS = {"stem": "float", "head": "float"}
SMALL = {"width": 32, "widen": 2, "downsample": [1], "depth": 5} | ENDS
LARGE = {"width": 64, "widen": 2, "downsample": [2], "depth": 6} | ENDS
IMAGES = Recipe(epochs=12, learning_rate=0.003, validation=0.0, channels_last=True)

PRESETS = {
    # Layers as small as those for digits gain nothing from several threads, and lose much on a machine that is busy.
    "digits": Preset(
        Recipe(epochs=8, batch_size=32, learning_rate=0.01, validation=0.0, threads=1),
        {"width": 64, "depth": 5, "stem_stride": 1} | ENDS,
        exact=0,
    ),
    "mnist": Preset(replace(IMAGES, augment=Augment(crop=2)), SMALL),
    "fashion-mnist": Preset(replace(IMAGES, augment=Augment(crop=1, flip=True)), SMALL),
    "cifar10-jpeg": Preset(replace(IMAGES, epochs=20, augment=Augment(crop=4, flip=True)), LARGE),
    "cifar10": Preset(replace(IMAGES, epochs=20, augment=Augment(crop=4, flip=True)), LARGE),
}
