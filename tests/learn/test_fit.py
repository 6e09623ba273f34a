"""``fit``: equal to a bare loop, reproducible, and every setting of a recipe does what it says."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from accelerate.tracking import GeneralTracker
from torch import nn

from onebit.core.files import InUse, claimed
from onebit.core.progress import Progress
from onebit.data import Augment, Dataset, Split
from onebit.learn import Distillation, Diverged, History, Recipe, Stage, checkpoints, evaluate, fit
from onebit.learn.batches import Batches
from onebit.nn.layers import Linear


def dataset(count: int = 96, seed: int = 0) -> Dataset:
    """Two classes of 4x4 images: which half is bright."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    images = torch.randint(0, 160, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)
    images[labels == 0, :, :2] += 60
    images[labels == 1, :, 2:] += 60
    return Dataset(
        "halves",
        Split(images[:64], labels[:64]),
        Split(images[64:], labels[64:]),
        2,
        ("top", "bottom"),
        (0.4,),
        (0.25,),
        Augment(crop=1),
    )


def network(seed: int = 0, dropout: float = 0.2) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.Hardtanh(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(16, 2),
    )


def bits(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 12), nn.BatchNorm1d(12),
        Linear(12, 12, True, weight_quantizer="bnn", input_quantizer="bnn"), nn.Linear(12, 2),
    )  # fmt: skip


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


SHORT = Recipe(epochs=2, batch_size=16, learning_rate=0.01)


def trained(recipe: Recipe = SHORT, model: nn.Module | None = None, **arguments) -> tuple[nn.Module, History]:
    model = network() if model is None else model
    return model, fit(model, dataset(), recipe, progress=False, **arguments)


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        (
            {"optimizer": "sgd", "momentum": 0.9},
            lambda p: torch.optim.SGD(p, 0.05, 0.9, weight_decay=0.01, fused=False),
        ),
        (
            {"optimizer": "sgd", "momentum": 0.8, "nesterov": True},
            lambda p: torch.optim.SGD(p, 0.05, 0.8, nesterov=True, weight_decay=0.01, fused=False),
        ),
        ({"optimizer": "adam"}, lambda p: torch.optim.Adam(p, 0.05, weight_decay=0.01, fused=False)),
        ({"optimizer": "adamw"}, lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.01, fused=False)),
    ],
)
def test_fit_is_a_bare_training_loop(settings, reference):
    recipe = Recipe(
        epochs=2, batch_size=16, learning_rate=0.05, weight_decay=0.01, schedule="constant", validation=0,
        reestimate_batches=0, label_smoothing=0.1, gradient_clip=0.5, **settings,
    )  # fmt: skip
    model, bare, data = network(dropout=0.0), network(dropout=0.0), dataset()
    history = fit(model, data, recipe, progress=False)
    optimizer = reference(bare.parameters())
    batches = Batches(data.train, data, recipe, torch.device("cpu"))
    for epoch in range(2):
        losses = []
        for k in range(4):
            batch = batches.batch(epoch, k)
            loss = nn.functional.cross_entropy(bare(batch.inputs), batch.labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(bare.parameters(), 0.5)
            optimizer.step()
            losses.append(loss.item())
        assert history.rows[epoch].loss == pytest.approx(sum(losses) / 4, rel=1e-5)
    for name, value in bare.state_dict().items():
        assert torch.allclose(model.state_dict()[name].double(), value.double(), atol=1e-6), name


def test_training_learns_and_measures_what_remains():
    model, history = trained(dataclasses.replace(SHORT, epochs=12))
    assert history.test.accuracy >= 0.9
    assert history.test == evaluate(model, dataset())
    assert not model.training
    assert len(history.rows) == 12


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    first, second, other = (trained(dataclasses.replace(SHORT, seed=seed)) for seed in (0, 0, 1))
    assert equal(weights(first[0]), weights(second[0]))
    assert [dataclasses.replace(r, seconds=0) for r in first[1].rows] == [
        dataclasses.replace(r, seconds=0) for r in second[1].rows
    ]
    assert not equal(weights(first[0]), weights(other[0]))


def test_the_random_stream_of_the_caller_neither_matters_nor_changes():
    torch.manual_seed(1)
    stream = torch.get_rng_state()
    first = trained(model=network())[0]
    model = network()
    torch.manual_seed(2)
    fit(model, dataset(), SHORT, progress=False)
    assert equal(weights(first), weights(model))
    torch.set_rng_state(stream)
    model = network()
    torch.set_rng_state(stream)
    fit(model, dataset(), SHORT, progress=False)
    assert torch.equal(torch.get_rng_state(), stream)


def test_the_test_part_has_no_influence():
    data, other = dataset(), dataset(seed=9)
    recipe = dataclasses.replace(SHORT, keep="best", epochs=3)
    models = []
    for test in (data.test, other.test):
        models.append(network())
        fit(models[-1], dataclasses.replace(data, test=test), recipe, progress=False)
    assert equal(weights(models[0]), weights(models[1]))


def test_checkpoints_do_not_change_the_result(tmp_path):
    plain = trained()[0]
    saved = trained(folder=tmp_path, checkpoint_steps=1)[0]
    assert equal(weights(plain), weights(saved))


def test_without_reestimation_the_statistics_are_running_averages():
    running, fresh = trained(dataclasses.replace(SHORT, reestimate_batches=0))[0], trained()[0]
    assert int(running[1].num_batches_tracked) == 2 * 3
    assert equal(weights(running[0]), weights(fresh[0]))
    assert not torch.equal(running[1].running_mean, fresh[1].running_mean)


def test_latent_weights_stay_within_their_clip():
    recipe = dataclasses.replace(SHORT, clip_latent=0.05)
    model = trained(recipe, bits())[0]
    assert model[3].weight.abs().max() <= 0.05
    assert model[1].weight.abs().max() > 0.05


def test_flip_rate_is_reported_for_bits_and_only_for_them():
    history = trained(dataclasses.replace(SHORT, learning_rate=0.05), bits())[1]
    assert all(0 < row.flip_rate <= 1 for row in history.rows)
    assert all(row.flip_rate is None for row in trained()[1].rows)


class Watcher(nn.Module):
    """Passes its input on and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Progress] = []
        self.modes: list[tuple[bool, Progress]] = []
        self.weight = nn.Parameter(torch.ones(3))

    def on_progress(self, progress: Progress) -> None:
        self.told.append(progress)

    def penalty(self) -> torch.Tensor:
        return 10 * (self.weight**2).sum()

    def forward(self, x):
        self.modes.append((self.training, self.told[-1]))
        return x


def test_modules_are_told_of_every_step_and_of_completion_before_the_last_evaluation():
    watcher = Watcher()
    recipe = Recipe(stages=(Stage(1), Stage(2)), batch_size=16, reestimate_batches=0, validation=0.25)
    fit(nn.Sequential(watcher, *network()), dataset(), recipe, progress=False)
    steps = [progress.step for progress in watcher.told]
    assert steps == [*range(9), 9, 9]
    assert [progress.stage for progress in watcher.told] == [1] * 3 + [2] * 8
    assert watcher.told[-1].fraction == 1.0
    assert watcher.told[-1].epoch == watcher.told[-1].epochs == 3
    assert [progress.step for training, progress in watcher.modes if training] == list(range(9))
    assert [progress.step for training, progress in watcher.modes if not training] == [2, 5, 9, 9]


def test_penalties_are_learnt_from_but_not_reported_in_the_loss():
    watcher = Watcher()
    history = fit(nn.Sequential(watcher, *network()), dataset(), dataclasses.replace(SHORT, epochs=8), progress=False)
    assert watcher.weight.abs().max() < 0.95
    assert history.rows[0].loss < 5


def test_a_stage_starts_with_a_fresh_optimizer():
    recipe = Recipe(
        stages=(Stage(1, 0.1), Stage(1, 1e-12)), optimizer="sgd", batch_size=16, schedule="constant", validation=0
    )
    first = trained(dataclasses.replace(recipe, stages=recipe.stages[:1]))[0]
    both = trained(recipe)[0]
    for name, value in first.named_parameters():
        assert torch.allclose(value, both.get_parameter(name), atol=1e-9), name


def test_distillation_alone_brings_a_student_to_its_teacher():
    teacher = network(1, dropout=0.0)
    fit(teacher, dataset(), dataclasses.replace(SHORT, epochs=6), progress=False)
    data = dataset()
    lying = dataclasses.replace(data, train=Split(data.train.images, 1 - data.train.labels))
    recipe = Recipe(epochs=20, batch_size=16, learning_rate=0.01, distillation=Distillation(1.0, 2.0), validation=0)
    student = network(2, dropout=0.0)
    history = fit(student, lying, recipe, teacher=teacher, progress=False)
    assert history.test.accuracy > 0.85
    with pytest.raises(ValueError, match="distillation needs a teacher"):
        trained(recipe)


def test_patience_stops_and_best_is_kept(tmp_path):
    recipe = dataclasses.replace(SHORT, epochs=30, patience=2, keep="best", learning_rate=0.03, validation=0.3)
    model, history = trained(recipe)
    assert len(history.rows) < 30
    assert len(history.rows) - history.best.epoch == 2
    assert history.best.validation_accuracy == max(row.validation_accuracy for row in history.rows)
    from_disk = trained(recipe, folder=tmp_path)[0]
    assert equal(weights(model), weights(from_disk))
    last = trained(dataclasses.replace(recipe, keep="last"))[0]
    assert not equal(weights(model), weights(last))


def test_a_loss_that_is_not_finite_names_step_rate_and_layer():
    model = network()
    with torch.no_grad():
        model[5].weight[0, 0] = torch.inf
    with pytest.raises(Diverged, match=r"step 0 at learning rate 0\.01: .*'5' \(Linear\)") as caught:
        trained(model=model)
    assert (caught.value.step, caught.value.learning_rate, caught.value.layer) == (0, 0.01, "5")
    exploding = Recipe(epochs=9, batch_size=16, optimizer="sgd", learning_rate=1e38, validation=0)
    with pytest.raises(Diverged) as caught:
        trained(exploding)
    assert caught.value.step > 0


def test_a_penalty_that_is_not_finite_is_told_from_a_layer():
    watcher = Watcher()
    watcher.weight.data[0] = torch.inf
    with pytest.raises(Diverged, match="every layer's output is finite"):
        fit(nn.Sequential(watcher, *network()), dataset(), SHORT, progress=False)


def test_bfloat16_trains_and_leaves_a_float32_network_with_its_own_forward():
    model, history = trained(dataclasses.replace(SHORT, precision="bf16", epochs=12))
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert history.test.accuracy > 0.8
    assert model(torch.zeros(2, 1, 4, 4)).dtype == torch.float32
    assert not equal(weights(model), weights(trained(dataclasses.replace(SHORT, epochs=12))[0]))


def test_channels_last_reaches_the_network():
    seen = []
    model = network()
    model[0].register_forward_hook(lambda m, x, y: seen.append(y.is_contiguous(memory_format=torch.channels_last)))
    trained(dataclasses.replace(SHORT, channels_last=True), model)
    assert all(seen)


def test_threads_are_set_for_the_run_only():
    torch.set_num_threads(1)
    seen = []
    model = network()
    model.register_forward_hook(lambda *a: seen.append(torch.get_num_threads()))
    trained(dataclasses.replace(SHORT, threads=2, epochs=1), model)
    assert set(seen) == {2}
    assert torch.get_num_threads() == 1


def test_a_folder_has_everything_about_the_run(tmp_path):
    history = trained(folder=tmp_path)[1]
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {
        "recipe.yaml", "environment.json", "history.jsonl", "checkpoint.safetensors", "model.safetensors"
    }  # fmt: skip
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert {"onebit", "commit", "python", "packages", "cpu", "threads"} <= set(environment)
    assert History.load(tmp_path / "history.jsonl").rows == history.rows


def test_a_folder_in_which_another_process_trains_is_refused_and_nothing_in_it_changes(tmp_path):
    with claimed(tmp_path), pytest.raises(InUse, match="in use by another process"):
        trained(folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_a_run_is_not_overwritten_by_accident(tmp_path):
    trained(folder=tmp_path)
    with pytest.raises(FileExistsError, match="has a run already"):
        trained(folder=tmp_path)
    with pytest.raises(ValueError, match=r"another recipe: epochs was 2, is 3"):
        trained(dataclasses.replace(SHORT, epochs=3), folder=tmp_path, resume=True)
    (tmp_path / "checkpoint.safetensors").unlink()
    for resume in (False, True):
        with pytest.raises(FileExistsError, match="a finished run without its checkpoint"):
            trained(folder=tmp_path, resume=resume)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"checkpoint_seconds": None}, 2),
        ({"checkpoint_seconds": 1e-9}, 6),
        ({"checkpoint_seconds": 1e9}, 2),
        ({"checkpoint_seconds": None, "checkpoint_steps": 2}, 4),
    ],
)
def test_checkpoints_are_written_every_epoch_and_as_often_as_asked(tmp_path, monkeypatch, settings, count):
    written = []
    save = checkpoints.save
    monkeypatch.setattr(checkpoints, "save", lambda path, tree: (written.append(tree["step"]), save(path, tree)))
    trained(folder=tmp_path, **settings)
    assert len(written) == count
    assert written[-1] == 6


def test_a_finished_run_resumes_to_itself(tmp_path):
    model, history = trained(folder=tmp_path)
    again, same = trained(model=network(7), folder=tmp_path, resume=True)
    assert equal(weights(model), weights(again))
    assert same == history


class Memory(GeneralTracker):
    name = "memory"
    requires_logging_directory = False
    tracker = None

    def __init__(self) -> None:
        super().__init__()
        self.config: dict = {}
        self.logged: list = []

    def store_init_configuration(self, values):
        self.config = values

    def log(self, values, step=None, **others):
        self.logged.append((step, values))


def test_trackers_get_the_recipe_and_every_epoch():
    memory = Memory()
    history = trained(trackers=[memory])[1]
    assert memory.config == {"epochs": 2, "batch_size": 16, "learning_rate": 0.01}
    assert [step for step, _ in memory.logged] == [1, 2]
    assert memory.logged[1][1]["loss"] == history.rows[1].loss
    with pytest.raises(ValueError, match="trackers must be among"):
        trained(trackers=["tensorbord"])


def test_a_history_plots_its_curves(tmp_path):
    history = trained(model=bits())[1]
    figure = history.plot(tmp_path / "curves.png")
    assert [axis.get_title() for axis in figure.axes] == ["loss", "accuracy", "flip rate"]
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert len(History().plot().axes) == 1


def test_lines_are_printed_for_a_person_and_not_for_a_program(capsys):
    fit(network(), dataset(), SHORT)
    shown = capsys.readouterr().err
    assert "epoch 2/2" in shown
    assert "test" in shown
    trained()
    assert capsys.readouterr().err == ""


class LeastSquares:
    """A procedure of another kind: the last layer in closed form, one batch at a time."""

    def start(self, session):
        self.session, self.gram, self.target = session, torch.zeros(17, 17), torch.zeros(17, 2)

    def step(self, batch):
        x = torch.cat([batch.inputs.flatten(1), torch.ones(len(batch.labels), 1)], 1)
        y = nn.functional.one_hot(batch.labels, 2).float()
        self.gram, self.target = self.gram + x.T @ x, self.target + x.T @ y
        solution = torch.linalg.solve(self.gram + 0.1 * torch.eye(17), self.target)
        with torch.no_grad():
            self.session.model[1].weight.copy_(solution[:16].T)
            self.session.model[1].bias.copy_(solution[16])
        return {"loss": ((x @ solution - y) ** 2).sum(), "wrong": ((x @ solution).argmax(1) != batch.labels).sum()}

    def finish(self):
        self.finished = True

    def state_dict(self):
        return {"gram": self.gram, "target": self.target}

    def load_state_dict(self, state):
        self.gram, self.target = state["gram"], state["target"]


def test_another_procedure_runs_in_the_same_loop():
    model, procedure = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), LeastSquares()
    history = fit(model, dataset(), SHORT, procedure, progress=False)
    assert procedure.finished
    assert history.test.accuracy > 0.8
    assert history.rows[0].accuracy is None
    assert set(history.rows[0].extra) == {"wrong"}
