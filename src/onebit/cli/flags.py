"""The fields of a recipe as flags of the command line: one definition, so that flags and files cannot drift apart."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from tyro.conf import arg

from onebit.learn import Recipe

PLAIN = {int: "INT", float: "NUMBER", str: "TEXT"}
ALIASES = {"learning_rate": ("--lr",)}
SPECIAL: dict[str, tuple[Any, str, str]] = {
    "augment": (typing.Literal["true", "false"], "{true,false}", "as is customary for the data set, or none"),
    "stages": (tuple[str, ...], "EPOCHS[:RATE[:DECAY]]", "training in several stages, such as 6:0.01 3:0.001"),
    "distillation": (str, "WEIGHT[:TEMPERATURE]", "learn from --teacher too, such as 0.5:4"),
}


@cache
def recipe_flags() -> type:
    """A dataclass with the fields of :class:`onebit.learn.Recipe`, each ``None`` where no flag was given."""
    helps = described(Recipe)
    hints = typing.get_type_hints(Recipe)
    fields: list[Any] = []
    for field in dataclasses.fields(Recipe):
        kind, metavar, said = SPECIAL.get(field.name) or (*_plain(hints[field.name]), helps[field.name])
        default = "" if field.default in (None, ()) else f"(default: {field.default})"
        info = arg(metavar=metavar, help=said, help_behavior_hint=default, aliases=ALIASES.get(field.name))
        # An optional field: no value means that the recipe file, or the recipe's own default, decides.
        optional: Any = Annotated[kind | None, info]
        fields.append((field.name, optional, dataclasses.field(default=None)))
    return dataclasses.make_dataclass("RecipeFlags", fields, frozen=True)


def _plain(hint: Any) -> tuple[Any, str]:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(h for h in typing.get_args(hint) if h is not type(None))
    if typing.get_origin(hint) is tuple:
        return hint, f"{PLAIN[typing.get_args(hint)[0]]} ..."
    if hint is bool:
        return typing.Literal["true", "false"], "{true,false}"
    return hint, PLAIN[hint]


def described(cls: type) -> dict[str, str]:
    """What the ``Args:`` part of a class's docstring says about each field."""
    text = inspect.cleandoc(cls.__doc__ or "").partition("Args:\n")[2].partition("\n\n")[0]
    found: dict[str, str] = {}
    for names, said in re.findall(r"^ {4}([a-z_, ]+): (.*(?:\n {8}.*)*)", text, re.MULTILINE):
        words = " ".join(said.split()).replace("``", "").rstrip(".")
        found |= {name.strip(): words for name in names.split(",")}
    return found


def given(flags: Any) -> dict[str, Any]:
    """The flags that were given, as a recipe's mapping has them."""
    values = {f.name: getattr(flags, f.name) for f in dataclasses.fields(flags)}
    values = {name: value for name, value in values.items() if value is not None}
    hints = typing.get_type_hints(Recipe)
    for name, value in values.items():
        if value in ("true", "false") and (hints[name] is bool or name == "augment"):
            values[name] = value == "true"
    if "stages" in values:
        values["stages"] = [
            _numbers("--stages", t, ("epochs", "learning_rate", "weight_decay")) for t in values["stages"]
        ]
    if "distillation" in values:
        values["distillation"] = _numbers("--distillation", values["distillation"], ("weight", "temperature"))
    return values


def _numbers(flag: str, text: str, names: tuple[str, ...]) -> Mapping[str, float]:
    parts = text.split(":")
    try:
        numbers = [int(p) if n == "epochs" else float(p) for n, p in zip(names, parts, strict=False)]
    except ValueError:
        numbers = []
    if not numbers or len(parts) > len(names):
        raise ValueError(f"{flag} must be numbers {':'.join(names)} (the first is required), got {text!r}")
    return dict(zip(names, numbers))
