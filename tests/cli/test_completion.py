"""Completion: the shells' own parsers take the scripts, and bash completes what it should."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from onebit.cli import completion
from onebit.cli.main import COMMANDS, main
from onebit.cli.parse import options
from onebit.core.catalogue import systems


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "onebit.bash"
    path.write_text(completion.bash(completion.words()))
    return path


def complete(script, *typed: str) -> list[str]:
    """What bash offers for the last of the typed words."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    line = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _onebit; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", line, script, *typed], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_are_completed(script):
    assert complete(script, "onebit", "") == [*COMMANDS, "--help", "--version"]
    assert complete(script, "onebit", "ins") == ["inspect"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_is_completed(script, command: str):
    import importlib

    module, _, name = COMMANDS[command].target.partition(":")
    assert complete(script, "onebit", command, "--") == options(getattr(importlib.import_module(module), name))


def test_names_are_completed_where_they_are_asked_for(script):
    assert complete(script, "onebit", "show", "") == list(systems())
    assert complete(script, "onebit", "train", "--scheme", "rea") == ["react"]
    assert complete(script, "onebit", "export", "x", "--to", "q") == ["qonnx"]
    assert complete(script, "onebit", "train", "--output", "x") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_take_their_script(shell: str, tmp_path, capsys):
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(text)
    subprocess.run([program, "-n", path], check=True)
