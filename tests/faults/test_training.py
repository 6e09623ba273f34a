"""Training with faults: it stops with a sentence, what was good is kept, and it goes on to the same bits."""

from __future__ import annotations

import dataclasses
import sys

import pytest
import torch
from accelerate import Accelerator
from tests.faults.values import DENORMAL, INF, NAN, finite
from torch import nn

from onebit.data import Dataset, Split
from onebit.learn import Diverged, Recipe, Stage, checkpoints, evaluate, fit, predict
from onebit.learn.batches import Batches
from onebit.learn.divergence import bad_gradient
from onebit.nn.layers import Linear

RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=0.01, validation=0, seed=3)


def dataset(train: int = 32, test: int = 8, classes: int = 2, labels: torch.Tensor | None = None) -> Dataset:
    """Points of four floats; the class is the sign of the first."""
    x = torch.randn(train + test, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long() % classes if labels is None else labels
    names = tuple(map(str, range(classes)))
    return Dataset("points", Split(x[:train], y[:train]), Split(x[train:], y[train:]), classes, names)


class Fault(nn.Module):
    """Passes its input on; at optimizer step ``at`` it does harm, unless disarmed."""

    def __init__(self, harm, at: int = 5) -> None:
        super().__init__()
        self.harm, self.at, self.step, self.armed = harm, at, -1, True

    def on_progress(self, progress) -> None:
        self.step = progress.step

    def forward(self, x):
        return self.harm(x) if self.training and self.armed and self.step == self.at else x


def in_gradient(x):
    if x.requires_grad:  # not when batch norms are re-estimated
        x.register_hook(lambda g: g * INF)
    return x


def network(harm=lambda x: x, at: int = 5) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8),
        Linear(8, 8, weight_quantizer="bnn", input_quantizer="bnn"), Fault(harm, at), nn.Linear(8, 2),
    )  # fmt: skip


def trained(model, recipe: Recipe = RECIPE, data: Dataset | None = None, **arguments):
    return fit(model, data or dataset(), recipe, progress=False, **arguments)


HARMS = {
    "nan forward": (lambda x: x * NAN, r"the first layer whose output is not finite is '3' \(Fault\)"),
    "infinity forward": (lambda x: x + INF, r"the first layer whose output is not finite is '3' \(Fault\)"),
    "infinite gradient": (in_gradient, r"the gradient of 0\.weight has norm (inf|nan)"),
}
every_harm = pytest.mark.parametrize("harm", list(HARMS))


@every_harm
def test_a_training_with_a_fault_stops_in_its_step_and_says_what_to_try(harm):
    does, said = HARMS[harm]
    with pytest.raises(Diverged, match=rf"diverged in step 5 at learning rate .*: {said}.*; try a smaller") as caught:
        trained(network(does))
    assert caught.value.step == 5


@every_harm
def test_the_last_good_checkpoint_is_kept_and_a_resumed_run_ends_in_the_same_bits(harm, tmp_path):
    does, _ = HARMS[harm]
    undisturbed = network()
    trained(undisturbed)
    with pytest.raises(Diverged, match=r"checkpoint\.safetensors keeps the run as it was after 5 steps"):
        trained(network(does), folder=tmp_path, checkpoint_steps=1)
    kept = checkpoints.load(tmp_path / "checkpoint.safetensors")
    assert kept["step"] == 5
    assert all(finite(value) for value in kept["model"].values() if value.is_floating_point())
    with pytest.raises(Diverged, match="diverged in step 5"):
        trained(network(does), folder=tmp_path, resume=True)
    assert checkpoints.load(tmp_path / "checkpoint.safetensors")["step"] == 5
    repaired = network(does)
    repaired[3].armed = False
    trained(repaired, folder=tmp_path, resume=True)
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(value, repaired.state_dict()[name]), name


def hidden(name: str):
    """A network in which step 5 spoils a number that no loss shows, because a sign follows."""
    model = network(at=5)
    tensor = {"latent weight": model[2].weight, "statistic": model[1].running_var}[name]

    def harm(x):
        tensor.data[0] = NAN
        return x

    model[3].harm = harm
    return model


@pytest.mark.parametrize(("name", "path"), [("latent weight", "2.weight"), ("statistic", "1.running_var")])
@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_fault_that_a_sign_hides_from_the_loss_never_reaches_a_file(name, path, keep, tmp_path):
    recipe = dataclasses.replace(RECIPE, keep=keep, validation=0.25, reestimate_batches=0)
    data = dataset(train=43)  # 32 are left to train on: four steps an epoch
    with pytest.raises(Diverged, match=rf"diverged in step 7 .*: {path} holds nan .*after 4 steps"):
        trained(hidden(name), recipe, data, folder=tmp_path)
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {"recipe.yaml", "environment.json", "history.jsonl", "checkpoint.safetensors"} | (
        {"best.safetensors"} if keep == "best" else set()
    )
    for file in tmp_path.glob("*.safetensors"):
        tree = checkpoints.load(file)
        assert all(finite(value) for value in tree.get("model", tree).values() if value.is_floating_point())


def test_a_gradient_whose_square_leaves_float32_is_a_fault_and_one_below_is_none():
    layer = nn.Linear(1, 1)
    assert bad_gradient(layer) is None
    layer.bias.grad = torch.zeros(1)
    for value, said in ((1e18, None), (1e20, "the gradient of weight has norm"), (NAN, "the gradient of weight")):
        layer.weight.grad = torch.tensor([[value]])
        found = bad_gradient(layer)
        assert found is None if said is None else found.startswith(said)


def test_gradient_clipping_does_not_hide_an_infinite_gradient():
    with pytest.raises(Diverged, match="diverged in step 5"):
        trained(network(in_gradient), dataclasses.replace(RECIPE, gradient_clip=1.0))


def test_an_overflow_of_lower_precision_is_found_in_its_layer():
    class Halved(nn.Linear):
        def forward(self, x):
            return super().forward(x).half().float()

    torch.manual_seed(0)
    model = nn.Sequential(Halved(4, 8), nn.Linear(8, 2))
    model[0].weight.data.fill_(3e4)
    with pytest.raises(Diverged, match=r"whose output is not finite is '0' \(Halved\)"):
        trained(model)


def test_fp16_is_refused_on_the_cpu_where_it_would_be_float32_in_silence():
    with pytest.raises(ValueError, match="precision must be no or bf16 on the CPU"):
        trained(network(), dataclasses.replace(RECIPE, precision="fp16"))


def test_a_scaler_that_finds_no_scale_with_finite_gradients_stops_the_training(monkeypatch):
    def with_scaler(*arguments):
        accelerator = Accelerator()
        accelerator.scaler = torch.amp.GradScaler("cpu")
        return accelerator

    monkeypatch.setattr(sys.modules[fit.__module__], "_accelerator", with_scaler)
    recipe = dataclasses.replace(RECIPE, epochs=20)
    assert trained(network(in_gradient), recipe).rows, "one step is left out, and training goes on"
    model = nn.Sequential(nn.Linear(4, 2), Fault(in_gradient))
    model[1].at = model[1].step  # at every step: no progress is told
    model[1].on_progress = None
    before = model[0].weight.clone()
    with pytest.raises(Diverged, match="no scale of the loss has finite gradients"):
        trained(model, recipe)
    assert torch.equal(model[0].weight, before)


# What there is to learn from


def test_an_empty_training_part_is_refused():
    with pytest.raises(ValueError, match="the training part must have at least one example, got 0"):
        trained(network(), data=dataset(train=0))


def test_an_empty_test_part_leaves_the_test_unmeasured(tmp_path):
    assert trained(network(), data=dataset(test=0), folder=tmp_path).test is None
    assert (tmp_path / "model.safetensors").is_file()


def test_a_class_without_a_test_example_and_a_test_part_of_one_class_are_measured():
    data = dataset()
    data = dataclasses.replace(data, test=data.test.take((data.test.labels == 1).nonzero().flatten()))
    history = trained(network(), data=data)
    assert history.test.count == len(data.test)
    assert 0 <= history.test.accuracy <= 1


@pytest.mark.parametrize("classes", [1, 2])
def test_a_training_part_of_a_single_class_trains(classes):
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, classes))
    history = trained(model, data=dataset(classes=classes, labels=torch.zeros(40, dtype=torch.int64)))
    assert history.test.accuracy == 1.0
    assert all(map(finite, model.parameters()))
    if classes == 1:
        assert history.test.loss == 0


def test_a_batch_of_one_example_trains_without_batch_norm_and_is_refused_with_it():
    plain = nn.Sequential(nn.Linear(4, 2))
    for recipe, data in ((dataclasses.replace(RECIPE, batch_size=1), None), (RECIPE, dataset(train=1))):
        assert trained(plain, recipe, data).rows
        with pytest.raises(ValueError, match="batch_size must give each process 2 examples or more where a batch norm"):
            trained(network(), recipe, data)


def test_no_step_is_taken_on_the_rest_of_an_epoch_even_if_that_is_one_example():
    data = dataset(train=33)
    assert Batches(data.train, data, RECIPE, torch.device("cpu")).per_epoch == 4
    assert trained(network(), data=data).rows[-1].step == 8


@pytest.mark.parametrize("settings", [{"keep": "best"}, {"patience": 1}])
def test_choosing_by_no_validation_example_is_refused(settings):
    recipe = dataclasses.replace(RECIPE, validation=0.1, **settings)
    with pytest.raises(ValueError, match=r"validation must hold out at least one example .* got 0\.1 of 4 examples"):
        trained(network(), recipe, dataset(train=4))


@pytest.mark.parametrize(
    ("model", "got"),
    [
        (nn.Linear(4, 1), r"\(8, 1\)"),
        (nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), r"\(8,\)"),
        (nn.LSTM(4, 2), "tuple"),
    ],
)
def test_a_network_with_other_outputs_than_scores_is_refused(model, got):
    with pytest.raises(ValueError, match=rf"model must give scores of shape \(8, 2\), got {got}"):
        trained(model)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *((name, value) for name in ("learning_rate", "gamma", "clip_latent") for value in (0.0, -0.1, NAN, INF)),
        *(("gradient_clip", value) for value in (0.0, -1.0, NAN)),
        *((name, value) for name in ("weight_decay", "momentum", "warmup_epochs") for value in (-0.1, NAN, INF)),
        *((name, value) for name in ("label_smoothing", "validation") for value in (-0.1, 1.1, NAN)),
        *((name, value) for name in ("epochs", "batch_size", "seed") for value in (-1, 1.5, True)),
        ("batch_size", 0),
        ("patience", 0),
        ("threads", 0),
    ],
)
def test_settings_that_are_no_numbers_of_their_range_are_named(setting, value):
    with pytest.raises(ValueError, match=rf"^{setting} must be "):
        Recipe(**{setting: value})


def test_no_epochs_mean_the_usual_ten_or_the_sum_of_the_stages():
    assert Recipe(epochs=0).total_epochs == 10
    assert Recipe(epochs=0, stages=(Stage(1), Stage(2))).total_epochs == 3
    with pytest.raises(ValueError, match="epochs of a stage must be an integer of 1 or more, got 0"):
        Stage(0)


@pytest.mark.parametrize("rate", [DENORMAL, 1e-30])
def test_a_learning_rate_too_small_to_change_a_weight_changes_none(rate):
    model = nn.Sequential(nn.Linear(4, 2))
    before = [p.clone() for p in model.parameters()]
    trained(model, dataclasses.replace(RECIPE, learning_rate=rate, optimizer="sgd"))
    assert all(map(torch.equal, before, model.parameters()))


# Evaluation


def test_a_row_with_nan_is_never_right_and_its_class_is_the_place_of_the_nan():
    rows = torch.tensor([[1.0, NAN, 3.0], [NAN, 9.0, NAN], [1.0, INF, 2.0], [-INF, -INF, -INF]])
    identity = nn.Identity()
    assert predict(identity, rows).tolist() == [1, 0, 1, 0]
    found = evaluate(identity, Split(rows, torch.tensor([1, 0, 1, 0])))
    assert found.accuracy == 0.5
    assert not found.loss < INF


def test_predictions_for_no_example_are_none_and_an_evaluation_on_none_is_refused():
    model, empty = nn.Linear(4, 3), Split(torch.empty(0, 4), torch.empty(0, dtype=torch.int64))
    assert predict(model, empty).shape == (0,)
    assert predict(model, empty).dtype == torch.int64
    with pytest.raises(ValueError, match="data must have at least one example to evaluate on, got none"):
        evaluate(model, empty)
    with pytest.raises(ValueError, match="batch_size must be 1"):
        predict(model, empty, batch_size=0)


def test_labels_that_the_network_has_no_output_for_are_named():
    for label in (-1, 3):
        split = Split(torch.randn(2, 4), torch.tensor([0, label]))
        with pytest.raises(ValueError, match=r"labels must be 0\.\.2, the outputs of the model, got "):
            evaluate(nn.Linear(4, 3), split)
