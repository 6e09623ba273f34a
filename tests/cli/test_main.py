"""The command line as a person meets it: help, exit statuses, errors of one sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from onebit import __version__
from onebit.cli.main import CANNOT_RUN, COMMANDS, DONE, main, sentence


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def assert_one_sentence(err: str) -> None:
    lines = [line for line in err.splitlines() if line]
    assert len(lines) == 1, err
    assert lines[0].startswith("onebit")
    assert "Traceback" not in err


def test_help_names_every_command_and_an_example(capsys):
    status, out, err = run(capsys, "--help")
    assert (status, err) == (DONE, "")
    assert all(f"  {name} " in out for name in COMMANDS)
    assert "Example: onebit demo" in out


def test_no_argument_at_all_prints_the_help(capsys):
    assert run(capsys) == run(capsys, "--help")


def test_version_is_that_of_the_package(capsys):
    assert run(capsys, "--version") == (DONE, f"onebit {__version__}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_has_an_example_and_json(capsys, name):
    status, out, err = run(capsys, name, "--help")
    assert (status, err) == (DONE, "")
    assert f"Example: onebit {name}" in out
    assert "--json" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_one_sentence_with_the_nearest_known_one(capsys, name):
    status, out, err = run(capsys, name, "--jsno")
    assert (status, out) == (CANNOT_RUN, "")
    assert_one_sentence(err)
    assert "unknown option '--jsno' (did you mean '--json'?)" in err


def test_an_unknown_command_is_one_sentence_with_the_nearest_known_one(capsys):
    status, _, err = run(capsys, "pakc")
    assert status == CANNOT_RUN
    assert_one_sentence(err)
    assert "unknown command 'pakc' (did you mean 'pack'?)" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "FILE is required"),
        (("run", "missing.onebit", "--data", "digits"), "missing.onebit"),
        (("run", "missing.onebit"), "either pictures or --data"),
        (("inspect", "missing.onebit"), "missing.onebit"),
        (("plot", "operator"), "did you mean 'operators'"),
        (("plot", "--low", "x"), "--low must be a number, got 'x'"),
        (("plot", "--output", "operators.bmp"), "--output must end in .svg, .png, .pdf"),
        (("plot", "--low", "3"), "low must be below high"),
        (("list", "modles"), "did you mean 'models'"),
        (("support", "convv"), "did you mean 'conv'"),
        (("pack", "convent"), "did you mean 'convnet'"),
        (("summary", "resnet19"), "did you mean 'resnet18'"),
        (("eval", "no-such-folder/x"), "no-such-folder/x"),
        (("train", "--data", "mnits"), "did you mean 'mnist'"),
        (("train", "--scheme", "bipre"), "did you mean 'biper'"),
        (("train", "--recipe", "missing.yaml"), "missing.yaml"),
        (("demo", "--data", "mnits"), "did you mean 'mnist'"),
        (("demo", "--epochs", "0"), "--epochs must be"),
        (("demo", "--epochs", "many"), "--epochs must be an integer, got 'many'"),
        (("demo", "--scheme", "bipre"), "did you mean 'biper'"),
    ],
)
def test_errors_are_one_sentence_that_names_the_argument(capsys, arguments, said):
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (CANNOT_RUN, "")
    assert_one_sentence(err)
    assert said in err


def test_a_traceback_is_shown_on_request(monkeypatch):
    monkeypatch.setenv("ONEBIT_DEBUG", "1")
    with pytest.raises(ValueError, match=r"missing\.onebit"):
        main(["inspect", "missing.onebit"])


def test_a_key_error_is_said_without_quotes_around_it():
    assert sentence(KeyError("unknown model 'x'; known: y")) == "unknown model 'x'; known: y"


def test_an_error_that_nobody_wrote_for_a_reader_is_introduced_by_its_type():
    assert sentence(ZeroDivisionError("division by zero")).startswith(
        "ZeroDivisionError: division by zero (ONEBIT_DEBUG=1"
    )


def test_help_imports_neither_torch_nor_numpy():
    code = (
        "import sys; from onebit.cli.main import main; main(['--help']); "
        "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_command_without_the_packages_for_training_says_how_to_install_them():
    said = sentence(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert said == "this command needs torch, which is not installed: pip install 'onebit[train]'"
    assert sentence(ModuleNotFoundError("No module named 'mine'", name="mine")) == "No module named 'mine'"
