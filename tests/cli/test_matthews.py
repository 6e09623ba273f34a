"""A data set that is judged by Matthews' correlation, on its way through training, run folders and commands."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests.cli.test_main import run

from onebit import data, learn
from onebit.cli.main import main
from onebit.learn.checkpoints import KEY

TRAIN = ("train", "--data", "skewed", "--model", "mlp", "--size", "width=16", "depth=1", "--scheme", "bnn")
RECIPE = ("--epochs", "2", "--lr", "0.01", "--threads", "1")


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The digits, a 7 or not: nine of ten are none."""

    def skewed(sources) -> data.Dataset:
        found = data.load("digits")
        train, test = (data.Split(part.images, (part.labels == 7).long()) for part in (found.train, found.test))
        return data.Dataset("skewed", train, test, 2, ("other", "7"), found.mean, found.std, metric="matthews")

    data.registry.add("skewed", skewed)
    yield
    del data.registry._items["skewed"], data.registry._papers["skewed"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "skewed"
    assert main([*TRAIN, *RECIPE, "-o", str(path)]) == 0
    return path


def test_the_measure_is_that_of_the_predictions_whatever_the_batches(folder):
    found, skewed = learn.load_run(folder), data.load("skewed")
    expected = learn.matthews(learn.predict(found.model, skewed), skewed.test.labels)
    assert 0 < expected < 1
    for size in (7, 500):
        metrics = learn.evaluate(found.model, skewed, batch_size=size)
        assert metrics.matthews == metrics.score == expected
    assert found.history.test == metrics
    plain = learn.evaluate(found.model, dataclasses.replace(skewed, metric="accuracy"))
    assert plain == dataclasses.replace(metrics, matthews=None)
    assert plain.score == plain.accuracy
    assert "matthews" not in plain.to_dict()
    assert str(metrics) == f"{plain}  Matthews' correlation {expected:.4f}"


def test_a_nan_is_wrong_and_counts_as_the_class_that_is_predicted():
    outputs = torch.tensor([[0.0, 1], [1, 0], [float("nan"), 0], [0, 1]])
    split = data.Split(torch.zeros(4, 3), torch.tensor([1, 0, 0, 0]))
    some = data.Dataset("some", split, split, 2, ("a", "b"), metric="matthews")

    class Fixed(torch.nn.Module):
        def forward(self, x):
            return outputs

    found = learn.evaluate(Fixed(), some)
    assert found.accuracy == 0.5
    assert found.matthews == learn.matthews(torch.tensor([1, 0, 0, 1]), split.labels)


def test_a_run_folder_that_was_written_without_it_is_read(folder, tmp_path):
    with safe_open(folder / "model.safetensors", "pt") as file:
        notes = json.loads(file.metadata()[KEY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert notes["test"].pop("matthews") == learn.load_run(folder).history.test.matthews
    for name in ("history.jsonl", "recipe.yaml"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    save_file(tensors, tmp_path / "model.safetensors", {KEY: json.dumps(notes)})
    before, now = learn.load_run(tmp_path).history, learn.load_run(folder).history
    assert before.test == dataclasses.replace(now.test, matthews=None)
    assert before.rows == now.rows


def test_the_commands_say_it_and_print_it(folder, tmp_path, capsys):
    expected = learn.load_run(folder).history.test.matthews
    said = f"Matthews' correlation {expected:.4f}, loss"
    status, out, _ = run(capsys, *TRAIN, *RECIPE, "-o", str(tmp_path / "again"))
    assert status == 0
    assert said in out
    assert said in run(capsys, "eval", str(folder))[1]
    assert json.loads(run(capsys, "eval", str(folder), "--json")[1])["matthews"] == expected
    resumed = run(capsys, *TRAIN, *RECIPE, "-o", str(tmp_path / "again"), "--resume", "--json")[1]
    assert json.loads(resumed)["test"]["matthews"] == expected


def test_the_packed_file_has_the_correlation_of_its_predictions(folder, tmp_path, capsys):
    from onebit import runtime

    file = str(tmp_path / "skewed.onebit")
    assert run(capsys, "pack", str(folder), "-o", file)[0] == 0
    found = json.loads(run(capsys, "run", file, "--data", "skewed", "--json")[1])
    model, test = runtime.load(file), data.load("skewed").test
    predicted = torch.from_numpy(model.predict(model.normalize(test.images.numpy())))
    assert found["matthews"] == learn.matthews(predicted, test.labels)
    assert f"Matthews' correlation {found['matthews']:.4f} (" in run(capsys, "run", file, "--data", "skewed")[1]


def test_a_sweep_has_a_column_of_it_and_one_of_accuracy_has_none(tmp_path, capsys):
    for name in ("skewed", "digits"):
        job = tmp_path / f"{name}.yaml"
        job.write_text(
            f"{{model: {{name: mlp, sizes: {{width: 8, depth: 1}}}}, data: {name}, recipe: {{epochs: 1}}}}\n"
        )
        words = ("sweep", str(job), "--over", "recipe.seed=0,1", "-o", str(tmp_path / name))
        status, out, _ = run(capsys, *words)
        assert status == 0
        assert ("test correlation" in out) == (name == "skewed")
        found = json.loads(run(capsys, *words, "--resume", "--json")[1])
        values = [row["result"].get("test_matthews") for row in found["rows"]]
        entry = found["table"][0]["test_matthews"]
        if name == "digits":
            assert (values, entry) == ([None, None], None)
        else:
            assert entry["mean"] == pytest.approx(sum(values) / 2)
            assert re.search(rf"{entry['mean']:.4f} \+- {entry['std']:.4f}(?! %)", out)
