"""Jobs: a model by name on real digits, from flags or a file; and runs that are built again from their folder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from onebit import data
from onebit.learn import Distillation, Job, ModelSpec, Recipe, Stage, evaluate, fit, load_run, outputs, train
from onebit.learn import run as run_folder

BITS = ModelSpec("convnet", {"width": 16, "depth": 3}, "bnn")
SHORT = Recipe(epochs=3, batch_size=64, learning_rate=0.01)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_a_job_from_a_file_is_the_job_from_arguments(tmp_path, digits):
    (tmp_path / "job.yaml").write_text(
        "model: {name: convnet, sizes: {width: 16, depth: 3}, scheme: bnn}\n"
        "data: digits\n"
        "recipe: {epochs: 3, batch_size: 64, learning_rate: 1e-2}\n"
    )
    job = Job.from_yaml(tmp_path / "job.yaml")
    assert job == Job(BITS, "digits", SHORT)
    first = job.run(tmp_path / "first", progress=False)
    second = train(BITS, digits, SHORT, tmp_path / "second", progress=False)
    written = Job.from_yaml(tmp_path / "first" / run_folder.RECIPE)
    third = written.run(tmp_path / "third", progress=False)
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name])
        assert torch.equal(value, third.model.state_dict()[name])
    assert first.history.rows[-1].flip_rate is not None
    assert first.history.test.accuracy > first.history.rows[0].accuracy


def test_a_run_is_built_again_with_the_same_outputs(tmp_path, digits):
    result = train(BITS, digits, SHORT, tmp_path, progress=False)
    again = load_run(tmp_path)
    assert again.spec == result.spec
    assert again.spec.sizes == {"num_classes": 10, "in_channels": 1, "width": 16, "depth": 3}
    assert again.data == "digits"
    assert again.history == result.history
    assert torch.equal(outputs(again.model, digits), outputs(result.model, digits))
    assert evaluate(again.model, digits) == result.history.test


def test_a_run_in_stages_ends_as_a_network_of_bits(tmp_path, digits):
    spec = ModelSpec("mlp", {"width": 32, "depth": 1}, "biper", {"stages": 2})
    with pytest.raises(ValueError, match="is trained in 2 stages, the recipe has 1"):
        train(spec, digits, SHORT, tmp_path, progress=False)
    recipe = Recipe(stages=(Stage(2, 0.01), Stage(2, 0.005)), batch_size=64)
    train(spec, digits, recipe, tmp_path, progress=False)
    found = load_run(tmp_path)
    layers = [m for m in found.model.modules() if getattr(m, "weight_quantizer", None) is not None]
    assert layers
    for layer in layers:
        assert set(layer.weight_quantizer.encode(layer.latent_weight()).codes.unique().tolist()) == {-1.0, 1.0}
    assert [row.stage for row in found.history.rows] == [1, 1, 2, 2]
    # Real weights in the first stage have no bits that could flip.
    assert [row.flip_rate is not None for row in found.history.rows] == [False, False, False, True]
    assert found.spec.scheme_settings == {"stages": 2}


def test_a_teacher_may_be_the_folder_of_a_run(tmp_path, digits):
    small = digits.limit(train=128)
    train(ModelSpec("mlp", {"width": 16}), small, Recipe(epochs=1), tmp_path / "float", progress=False)
    recipe = Recipe(epochs=1, distillation=Distillation(0.5))
    job = Job(ModelSpec("mlp", {"width": 16}, "bnn"), "digits", recipe, teacher=str(tmp_path / "float"))
    train(job.model, small, job.recipe, tmp_path / "bits", teacher=job.teacher, progress=False)
    assert Job.from_yaml(tmp_path / "bits" / run_folder.RECIPE).teacher == job.teacher


def test_training_begins_from_the_weights_of_a_run(tmp_path, digits):
    small = digits.limit(train=128)
    sizes = {"width": 16}
    twin = train(ModelSpec("mlp", sizes), small, Recipe(epochs=1), tmp_path / "float", progress=False).model
    # One step so small that it changes nothing leaves the weights that training began from.
    still = Recipe(epochs=1, optimizer="sgd", learning_rate=1e-30, batch_size=64, reestimate_batches=0)
    job = Job(ModelSpec("mlp", sizes, "react"), "digits", still, start=str(tmp_path / "float"), examples=128)
    found = job.run(tmp_path / "bits", progress=False)
    own = dict(found.model.named_parameters())
    assert len(found.data.train) == 128
    assert all(torch.equal(own[name], value) for name, value in twin.named_parameters())
    assert len(own) > len(dict(twin.named_parameters()))  # the thresholds of react
    read = Job.from_yaml(tmp_path / "bits" / run_folder.RECIPE)
    assert (read.start, read.examples, read.test_examples) == (job.start, 128, None)
    with pytest.raises(ValueError, match=r"its parameter 1\.weight of shape \(16, 64\) there has shape \(8, 64\)"):
        train(ModelSpec("mlp", {"width": 8}), small, still, start=twin, progress=False)


def test_a_folder_without_a_finished_run_says_so(tmp_path, digits):
    with pytest.raises(FileNotFoundError, match="there is no run in it"):
        load_run(tmp_path)
    (tmp_path / run_folder.CHECKPOINT).touch()
    with pytest.raises(FileNotFoundError, match="not finished: resume it"):
        load_run(tmp_path)
    (tmp_path / run_folder.MODEL).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="is no model that onebit saved"):
        load_run(tmp_path)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    fit(model, digits, Recipe(epochs=1), folder=tmp_path / "object", progress=False)
    with pytest.raises(ValueError, match="was trained from a model object"):
        load_run(tmp_path / "object")


def test_weights_that_do_not_fit_are_refused(tmp_path, digits):
    train(BITS, digits.limit(train=64), Recipe(epochs=1), tmp_path, progress=False)
    path = tmp_path / run_folder.MODEL
    path.write_bytes(path.read_bytes().replace(rb"\"width\": 16", rb"\"width\": 24"))
    with pytest.raises(ValueError, match="does not fit the model"):
        load_run(tmp_path)
