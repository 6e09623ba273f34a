"""Training, evaluation, packing and the other commands, on small networks."""

from __future__ import annotations

import json

import pytest

from onebit.cli.main import main
from onebit.cli.model import parse_shape, parse_sizes
from onebit.cli.output import print_table

SMALL = ["--size", "width=8", "depth=1", "downsample=[]", "stem_stride=1"]


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "digits"
    flags = ["--data", "digits", "--scheme", "biper", "--epochs", "1", "--lr", "0.01", "--threads", "1"]
    assert main(["train", "--model", "convnet", *flags, *SMALL, "--output", str(path)]) == 0
    return path


def test_a_recipe_file_and_flags_give_the_same_weights(folder, tmp_path, capsys):
    status, out, _ = run(
        capsys, "train", "--recipe", str(folder / "recipe.yaml"), "--output", str(tmp_path / "b"), "--json"
    )
    assert status == 0
    assert json.loads(out)["job"]["recipe"] == {"epochs": 1, "learning_rate": 0.01, "threads": 1}
    assert (tmp_path / "b" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_a_flag_beside_a_recipe_file_wins(folder, tmp_path, capsys):
    arguments = ["--recipe", str(folder / "recipe.yaml"), "--seed", "7", "--output", str(tmp_path / "b"), "--json"]
    status, out, _ = run(capsys, "train", *arguments)
    assert status == 0
    assert json.loads(out)["job"]["recipe"] == {"epochs": 1, "learning_rate": 0.01, "threads": 1, "seed": 7}


def test_a_folder_with_a_run_is_not_overwritten(folder, capsys):
    status, _, err = run(capsys, "train", "--data", "digits", "--output", str(folder))
    assert status == 2
    assert "--resume goes on with it" in err


def test_eval_finds_the_accuracy_that_training_found(folder, capsys):
    from onebit.learn import load_run

    status, out, _ = run(capsys, "eval", str(folder), "--json")
    assert status == 0
    assert json.loads(out)["accuracy"] == load_run(folder).history.test.accuracy


def test_pack_writes_a_file_that_runs_to_the_same_accuracy(folder, tmp_path, capsys):
    file = tmp_path / "digits.onebit"
    status, out, _ = run(capsys, "pack", str(folder), "--output", str(file), "--json")
    assert status == 0
    assert json.loads(out)["report"]["comparison"]["predictions_differ"] == 0
    status, out, _ = run(capsys, "run", str(file), "--data", "digits", "--json")
    assert status == 0
    packed = json.loads(out)["accuracy"]
    _, out, _ = run(capsys, "eval", str(folder), "--json")
    assert packed == pytest.approx(json.loads(out)["accuracy"], abs=1 / 360 + 1e-9)


def test_pack_of_an_untrained_model_says_so(tmp_path, capsys):
    file = tmp_path / "mlp.onebit"
    sizes = ["--size", "width=64", "depth=1"]
    status, _, err = run(capsys, "pack", "mlp", "--scheme", "bnn", "--data", "digits", *sizes, "--output", str(file))
    assert status == 0
    assert "has not been trained" in err
    assert file.exists()


def test_a_factory_in_the_working_folder_is_found(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_factory_module.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    status, out, _ = run(capsys, "summary", "my_factory_module:make", "--input", "1,8,8", "--json")
    assert status == 0
    assert json.loads(out)
    status, _, err = run(capsys, "summary", "my_factory_module:mak", "--input", "1,8,8")
    assert status == 2
    assert "did you mean 'make'" in err


def test_summary_needs_the_size_of_the_input(capsys):
    status, _, err = run(capsys, "summary", "convnet")
    assert status == 2
    assert "--input or --data is required" in err


@pytest.mark.parametrize("text", ["3,0", "a", "3,,2", "-1"])
def test_sizes_of_the_input_are_checked(text):
    with pytest.raises(ValueError, match="--input must be sizes"):
        parse_shape(text)


def test_a_size_without_a_value_is_refused():
    with pytest.raises(ValueError, match="NAME=VALUE"):
        parse_sizes(["width"])


def test_plot_writes_the_picture_or_prints_the_points(tmp_path, capsys):
    from onebit.nn import operators

    file = tmp_path / "operators.svg"
    status, out, _ = run(capsys, "plot", "operators", "--output", str(file))
    assert status == 0
    assert str(file) in out
    assert file.read_text().startswith("<?xml")
    _, out, _ = run(capsys, "plot", "--json")
    assert set(json.loads(out)) == set(operators.registry)


def test_list_names_everything_that_is_registered(capsys):
    from onebit import data, ir
    from onebit.nn import models, operators, schemes

    status, out, _ = run(capsys, "list", "--json")
    assert status == 0
    found = json.loads(out)
    for sort, registry in (
        ("models", models),
        ("schemes", schemes),
        ("operators", operators),
        ("data", data),
        ("kinds", ir),
    ):
        assert set(found[sort]) == set(registry.registry)
    assert all(text for rows in found.values() for text in rows.values()), "each has a description"


def test_support_prints_kinds_against_readers(capsys):
    status, out, _ = run(capsys, "support", "batch_norm", "--json")
    assert status == 0
    row = json.loads(out)["batch_norm"]
    assert row["interpreter"]
    assert not row["engine"]


@pytest.mark.parametrize("command", [("show", "biper"), ("report", "--output", "site")])
def test_without_a_folder_of_records_a_note_says_that_nothing_is_known(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, *command)
    assert status == 0
    assert f"onebit {command[0]}: no folder docs/results here" in err
    (tmp_path / "records").mkdir()
    assert run(capsys, *command, "--results", "records")[2] == ""


def test_a_table_has_no_blanks_at_the_ends_of_its_lines_and_no_empty_head(capsys):
    print_table("title", ("a", "<b"), [("1", "long"), ("2", "x")], ["a note"])
    print_table("", ("", "<"), [("1", "long")])
    lines = capsys.readouterr().out.splitlines()
    assert lines == [line.rstrip() for line in lines]
    head = next(i for i, line in enumerate(lines) if line.split() == ["a", "b"])
    assert lines[head + 1].strip(" ─") == ""
    assert sum("─" in line for line in lines) == 1
