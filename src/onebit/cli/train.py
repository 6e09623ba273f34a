"""``onebit train``: a training job from flags, from a file, or from a file with flags on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tyro.conf import OmitArgPrefixes

from onebit.cli.arguments import Name, OptionalInt, OptionalPath, Output, Sizes
from onebit.cli.evaluate import said
from onebit.cli.flags import given, recipe_flags
from onebit.cli.model import check_sizes, parse_sizes
from onebit.cli.output import print_json
from onebit.core.errors import resumable
from onebit.core.registry import unknown

RecipeFlags: Any = recipe_flags()
NONE_GIVEN: Any = RecipeFlags()


def train(
    *,
    recipe: OptionalPath = None,
    model: Name = "",
    data: Name = "",
    scheme: Name = "",
    size: Sizes = (),
    teacher: Name = "",
    start: Name = "",
    examples: OptionalInt = None,
    test_examples: OptionalInt = None,
    output: Output = None,
    resume: bool = False,
    settings: OmitArgPrefixes[RecipeFlags] = NONE_GIVEN,  # type: ignore[valid-type]
    json: bool = False,
) -> None:
    """Train a network of bits (without a scheme: of float numbers) and save it with all it takes to build it again.

    A recipe file and the same settings as flags do the same thing; a flag given beside a file wins.

    Example: onebit train --model convnet --data digits --scheme biper --epochs 8 --lr 0.01 --output runs/digits

    Args:
        recipe: a YAML file with model, data and recipe; the recipe.yaml of a run is one.
        model: a registered model; see `onebit list models`.
        data: a data set; see `onebit list data`.
        scheme: how layers become bits; see `onebit list schemes`. Without one: the float network.
        size: NAME=VALUE of the model, such as width=32; several may follow.
        teacher: the folder of a finished run, for --distillation.
        start: the folder of a finished run of the same architecture, such as the float twin's: begin with its weights.
        examples: so many training examples, every class by its share; all by default.
        test_examples: so many test examples; all by default.
        output: the folder of the run; runs/DATA-MODEL-SCHEME by default.
        resume: go on with the run in that folder if there is one.
        settings: of the recipe.
        json: print the result as JSON and nothing else.
    """
    others = {"teacher": teacher, "start": start, "examples": examples, "test_examples": test_examples}
    job = _job(recipe, model, data, scheme, size, others, given(settings))
    folder = output or Path("runs") / "-".join([job.data, job.model.name, job.model.scheme or "float"])
    if not resume and (folder / "checkpoint.safetensors").exists():
        raise ValueError(
            f"--output {folder} holds a run already: --resume goes on with it, another --output starts a new one"
        )
    with resumable(lambda: f"the same command with --resume goes on with the run in {folder}"):
        result = job.run(folder, resume, progress=not json)
    if not _speaks():
        return
    test = result.history.test
    if json:
        print_json(
            {"folder": folder, "job": job.to_dict(), "test": test and test.to_dict(), "history": result.history.rows}
        )
        return
    if test is not None:
        print(said(test, job.data))
    print(f"The run is in {folder}; `onebit pack {folder}` makes a file for the engine of it")


def _speaks() -> bool:
    """Whether this process prints: the first of those that train together."""
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


def _job(recipe: Path | None, model: str, data: str, scheme: str, size: tuple[str, ...], others: dict, flags: dict):
    from onebit import learn
    from onebit.nn import models, schemes

    values: dict[str, Any] = {}
    if recipe is not None:
        values = learn.Job.from_yaml(recipe).to_dict()
    chosen = dict(values.get("model", {"name": "convnet"}))
    if model:
        if model not in models.registry:
            raise ValueError(unknown("model", model, models.registry))
        if model != chosen["name"]:
            chosen = {"name": model}
    if scheme:
        if scheme not in schemes.registry:
            raise ValueError(unknown("scheme", scheme, schemes.registry))
        chosen["scheme"] = scheme
    if size:
        chosen["sizes"] = {**chosen.get("sizes", {}), **parse_sizes(size)}
        check_sizes(chosen["name"], chosen["sizes"])
    values["model"] = chosen
    values["data"] = data or values.get("data", "digits")
    values["recipe"] = {**values.get("recipe", {}), **flags}
    values |= {name: value for name, value in others.items() if value not in ("", None)}
    return learn.Job.from_dict(values)
