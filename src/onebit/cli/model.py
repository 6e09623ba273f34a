"""What MODEL on the command line stands for: a run folder, a registered name, or ``package.module:factory``."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from onebit.core.errors import require
from onebit.core.registry import unknown

if TYPE_CHECKING:
    import torch
    from torch import nn

    from onebit.data import Dataset


class Resolved(NamedTuple):
    """A network that the command line named.

    Args:
        model: in evaluation mode.
        name: what it was called.
        data: the set that it was trained on or is to be judged on, where one was named.
        trained: whether its weights can come from a training: those of a registered model without ``weights`` cannot.
    """

    model: nn.Module
    name: str
    data: Dataset | None
    trained: bool


def resolve(
    text: str,
    data: str = "",
    scheme: str = "",
    sizes: Sequence[str] = (),
    weights: Path | None = None,
    load_data: bool = True,
) -> Resolved:
    """The network that ``text`` names.

    Args:
        text: a run folder, a name in ``nn.models.registry``, or ``package.module:factory`` (a network, or a function
            without arguments that returns one).
        data: name of a data set; that of the run where empty.
        scheme, sizes: of a registered model; ``NAME=VALUE`` each.
        weights: a safetensors file to load into a model that is no run.
        load_data: whether the data set is wanted.

    Raises:
        ValueError, KeyError: one sentence on what is wrong with which argument.
    """
    require("torch", "train", "building networks")
    from onebit.data import load
    from onebit.nn import models

    if os.path.isdir(text):
        from onebit.learn import load_run

        if scheme or sizes or weights:
            raise ValueError(
                "--scheme, --size and --weights belong to models without a run; the run folder has its own"
            )
        run = load_run(text)
        chosen = data or run.data
        return Resolved(run.model, text, load(chosen) if load_data and chosen else None, True)
    dataset = load(data) if data else None
    if ":" in text:
        if scheme or sizes:
            raise ValueError("--scheme and --size belong to registered models; a factory decides both itself")
        model = _from_factory(text)
    elif text in models.registry:
        model = registered(text, scheme, sizes, dataset)
    else:
        also = "; a run folder and package.module:factory are allowed as well"
        if os.sep in text:
            raise ValueError(f"MODEL {text!r} is no folder with a run" + also)
        raise ValueError(unknown("model", text, models.registry) + also)
    if weights is not None:
        from onebit.learn import checkpoints

        checkpoints.load_model(weights, model)
    return Resolved(model.eval(), text, dataset, weights is not None or ":" in text)


def registered(name: str, scheme: str, sizes: Sequence[str], dataset: Dataset | None) -> nn.Module:
    """The registered model ``name``, sizes that follow from ``dataset`` filled in; weights from seed 0."""
    from onebit.learn import ModelSpec

    chosen = parse_sizes(sizes)
    check_sizes(name, chosen)
    spec = ModelSpec(name, chosen, scheme or None)
    return (spec.fitted(dataset) if dataset is not None else spec).build(seed=0)


def check_sizes(name: str, sizes: Collection[str]) -> None:
    """``ValueError`` where the registered model ``name`` has no such size."""
    from onebit.nn import models

    known = [size for size in inspect.signature(models.registry[name]).parameters if size != "scheme"]
    for size in sizes:
        if size not in known:
            raise ValueError("--size: " + unknown(f"size of model {name!r}:", size, known))


def parse_sizes(texts: Sequence[str]) -> dict[str, Any]:
    """``["width=32", "downsample=[1,3]"]`` as keyword arguments.

    Example:
        >>> parse_sizes(["width=32", "activation=hardtanh", "downsample=[1,3]"])
        {'width': 32, 'activation': 'hardtanh', 'downsample': [1, 3]}
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--size must be NAME=VALUE, such as width=32, got {text!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _from_factory(text: str) -> nn.Module:
    from torch import nn

    module_name, _, attribute = text.partition(":")
    # A factory of one's own lies where one works, which is not on the path of an installed command.
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"MODEL {text!r}: there is no module {error.name!r} here or on the path") from error
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ValueError(f"MODEL {text!r}: " + unknown(f"name in {module_name}:", attribute, public))
    made = getattr(module, attribute)
    try:
        model = made() if callable(made) and not isinstance(made, nn.Module) else made
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"MODEL {text!r} cannot be called without arguments: {said}") from error
    if not isinstance(model, nn.Module):
        raise ValueError(f"MODEL {text!r} must give a torch.nn.Module, got {type(model).__name__}")
    return model


def example_input(dataset: Dataset | None, shape: Sequence[int], count: int = 2) -> torch.Tensor:
    """``count`` normalised test examples of ``dataset``, or normal random numbers of ``shape`` without one."""
    import torch

    from onebit.data import normalize

    if dataset is not None:
        return normalize(dataset.test.images[:count], dataset.mean, dataset.std)
    if not shape:
        raise ValueError("give --data NAME or --input SIZES (of one example, such as 3,32,32)")
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


def described(dataset: Dataset | None) -> dict[str, Any] | None:
    """What a packed or exported file says about the images that it takes and the classes that it knows."""
    if dataset is None:
        return None
    return {"class_names": list(dataset.class_names), "mean": list(dataset.mean), "std": list(dataset.std)}


def check_fit(model: nn.Module, example: torch.Tensor) -> None:
    """``ValueError`` where the network cannot take ``example``."""
    import torch

    try:
        with torch.no_grad():
            model(example)
    except (RuntimeError, ValueError, IndexError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"the network does not take inputs of shape {tuple(example.shape)}: {said}") from error


def parse_shape(text: str) -> tuple[int, ...]:
    """``"3,32,32"`` or ``"3x32x32"`` as sizes; empty for none.

    Example:
        >>> parse_shape("3,224,224"), parse_shape("")
        ((3, 224, 224), ())
    """
    if not text:
        return ()
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise ValueError(f"--input must be sizes above 0 with commas between them, such as 3,32,32, got {text!r}")
    return tuple(map(int, parts))
