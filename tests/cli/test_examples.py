"""The trained networks that come with the package."""

from __future__ import annotations

import json

import pytest

from onebit import examples, runtime
from onebit.cli.main import main


def test_the_example_networks_name_their_pictures(capsys):
    assert main(["run", "--example", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in rows] == [str(p) for name in examples.NAMES for p in examples.pictures(name)]
    right = [row["class"] == row["file"].rpartition("/")[2].removesuffix(".png") for row in rows]
    assert len(right) == 20
    assert sum(right) >= 18  # those of digits are real test examples, of which a network may take one for another


def test_a_picture_goes_to_the_network_for_mnist(capsys):
    assert main(["run", "--example", str(examples.pictures("mnist")[3])]) == 0
    assert capsys.readouterr().out.startswith("3 (")


@pytest.mark.parametrize("name", examples.NAMES)
def test_an_example_network_runs_alike_in_engine_and_interpreter(name: str):
    import numpy as np

    model, reference = (runtime.load(examples.network(name), isa=isa) for isa in (None, "interpreter"))
    x = np.random.default_rng(0).normal(size=(2, *model.inputs[0].shape[1:])).astype(np.float32)
    assert np.array_equal(model.run(x), reference.run(x))
    assert model.class_names == [str(digit) for digit in range(10)]
    assert model.meta["producer"].startswith("onebit")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--example", "--data", "mnist"], "either --example or --data"),
        ([], "FILE is required"),
        (["x.onebit"], "either pictures"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(capsys, arguments, said):
    assert main(["run", *arguments]) == 2
    assert said in capsys.readouterr().err
