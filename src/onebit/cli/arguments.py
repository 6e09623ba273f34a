"""The types of arguments that several commands share, as their help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

# What "not given" means stands in words in the help of each, so no default is printed.
Name = Annotated[str, arg(metavar="NAME", help_behavior_hint="")]
Shape = Annotated[str, arg(metavar="SIZES", help_behavior_hint="")]
Sizes = Annotated[tuple[str, ...], arg(metavar="NAME=VALUE ...", help_behavior_hint="")]
OptionalInt = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
OptionalPath = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")]
Output = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="", aliases=["-o"])]
OutputWithDefault = Annotated[Path, arg(metavar="PATH", aliases=["-o"])]
Executor = Literal["local", "ray"]
Model = Positional[Annotated[str, arg(metavar="MODEL")]]
File = Positional[Annotated[Path, arg(metavar="FILE")]]
OptionalFile = Positional[Annotated[Path | None, arg(metavar="[FILE]", help_behavior_hint="")]]
Files = Positional[Annotated[tuple[Path, ...], arg(metavar="[IMAGE ...]", help_behavior_hint="")]]
