"""``onebit completion``: what a shell needs to complete the words of our commands."""

from __future__ import annotations

import importlib
import inspect
import shlex
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from onebit.cli.output import print_json

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Positional[Annotated[Shell, arg(metavar="SHELL")]], /, *, json: bool = False) -> None:
    """Print a script that teaches a shell our commands, their options, and the names that options take.

    Example: onebit completion bash > ~/.local/share/bash-completion/completions/onebit

    Example: onebit completion fish > ~/.config/fish/completions/onebit.fish

    In zsh: put `source <(onebit completion zsh)` into ~/.zshrc, after compinit.

    Args:
        shell: bash, zsh or fish.
        json: print the words as JSON instead of a script.
    """
    found = words()
    if json:
        print_json(found)
    else:
        print(fish(found) if shell == "fish" else bash(found, zsh=shell == "zsh"))


def words() -> dict[str, dict[str, list[str]]]:
    """Command -> option -> the words it takes; the option ``""`` has the words of the command's arguments.

    An option that takes no value or any value has no words.
    """
    from onebit.cli.main import COMMANDS
    from onebit.cli.parse import options

    names = _names()
    found: dict[str, dict[str, list[str]]] = {}
    for command, (target, _) in COMMANDS.items():
        module, _, attribute = target.partition(":")
        function: Callable = getattr(importlib.import_module(module), attribute)
        choices: dict[str, list[str]] = {"": [], **{option: [] for option in options(function)}}
        for name, hint in typing.get_type_hints(function).items():
            parameter = inspect.signature(function).parameters.get(name)
            if parameter is None:
                continue
            place = "" if parameter.kind is parameter.POSITIONAL_ONLY else f"--{name.replace('_', '-')}"
            if place in choices:
                choices[place] += [str(choice) for choice in _choices(hint)] or list(names.get(name, ()))
        found[command] = choices
    return found


def _names() -> dict[str, Iterable[str]]:
    """The names that an argument called so takes."""
    from onebit import data
    from onebit.core.catalogue import systems
    from onebit.ir import registry as kinds
    from onebit.nn import models, schemes

    return {
        "model": models.registry,
        "scheme": schemes.registry,
        "data": data.registry,
        "system": systems(),
        "kind": kinds,
    }


def _choices(hint: Any) -> list[Any]:
    if typing.get_origin(hint) is Literal:
        return list(typing.get_args(hint))
    return [choice for inner in typing.get_args(hint) for choice in _choices(inner)] if hint is not None else []


def bash(found: dict[str, dict[str, list[str]]], zsh: bool = False) -> str:
    """The script for bash; zsh runs it through its ``bashcompinit``. Files are completed where no word fits."""
    cases = []
    for command, choices in found.items():
        values = "\n".join(
            f"        {shlex.quote(f'{command} {option}')}) words={shlex.quote(' '.join(group))};;"
            for option, group in choices.items()
            if option and group
        )
        flags = " ".join(option for option in choices if option)
        cases.append(
            f"    {command}) options={shlex.quote(flags)} words={shlex.quote(' '.join(choices['']))}\n"
            f'      case "$command $before" in\n{values}\n      esac;;'
        )
    start = "autoload -U +X bashcompinit && bashcompinit\n" if zsh else ""
    body = "\n".join(cases)
    return f"""{start}_onebit() {{
  local command=${{COMP_WORDS[1]}} current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
  local options= words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W {shlex.quote(" ".join([*found, "--help", "--version"]))} -- "$current"))
    return
  fi
  case "$command" in
{body}
  esac
  case "$current" in
    -*) words=$options;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _onebit onebit"""


def fish(found: dict[str, dict[str, list[str]]]) -> str:
    """The script for fish."""
    from onebit.cli.main import COMMANDS

    lines = ["complete -c onebit -e"]
    for command, choices in found.items():
        summary = shlex.quote(COMMANDS[command].summary)
        lines.append(f"complete -c onebit -n __fish_use_subcommand -f -a {command} -d {summary}")
        here = shlex.quote(f"__fish_seen_subcommand_from {command}")
        for option, group in choices.items():
            takes = f" -x -a {shlex.quote(' '.join(group))}" if group else ""
            if option:
                lines.append(f"complete -c onebit -n {here} -l {option[2:]}{takes}")
            elif group:
                lines.append(f"complete -c onebit -n {here} -a {shlex.quote(' '.join(group))}")
    return "\n".join(lines)
