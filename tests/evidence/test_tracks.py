"""Evaluation tracks: what a cell trains, what rows say, overall metrics computed a second time."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onebit import learn
from onebit.cli.main import main
from onebit.evidence import sweep, tracks
from onebit.evidence.tracks import cells, overall, robustness, training
from onebit.evidence.tracks.cells import Cell
from onebit.evidence.tracks.tasks import job

METHODS = ("bnn", "xnor++")
# Squares of smaller ones are below the smallest double.
ratios = st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 100)), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tracks")


@pytest.fixture(scope="module")
def rows(folder):
    """The accuracy track at scale smoke, of two seeds."""
    return tracks.run(tracks.registry["accuracy"], tracks.Plan("smoke", METHODS, seeds=2), folder)


def invented(value, **fields):
    """A row of a cell that was never measured."""
    settings = cells.settings(fields.pop("job"), **fields)
    result = value if isinstance(value, dict) or value is None else {"accuracy": value, "score": value}
    error = "it failed" if result is None else None
    return sweep.Row(sweep.key(settings), "cell", settings, "1", result, error, 1.0)


@given(ratios)
def test_a_quadratic_mean_is_between_the_mean_and_the_largest(values):
    found = overall.quadratic_mean(values)
    assert statistics.fmean(values) * (1 - 1e-12) <= found <= max(values) * (1 + 1e-12)


@given(st.floats(0.01, 100), st.integers(1, 8))
def test_equal_ratios_are_their_own_overall_metric(value, count):
    found = overall.overall({str(n): [value] * count for n in range(count)})
    assert found.metric == pytest.approx(value, rel=1e-12)
    assert found.mean == pytest.approx(value, rel=1e-12)


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_fewer_real_numbers_compress_more_up_to_the_word(count, share):
    real = int(share * count)
    assert 1 - 1e-12 <= overall.compression_ratio(count, real) <= overall.compression_ratio(count, 0) == 32
    assert 1 - 1e-12 <= overall.speedup_ratio(count, real) <= overall.speedup_ratio(count, 0) == 64
    assert overall.compression_ratio(count, count) == 1


@pytest.mark.parametrize("values", [[], [math.nan], [-1.0], [math.inf]])
def test_what_is_no_ratio_is_refused(values):
    with pytest.raises(ValueError, match="ratios must be one or more finite numbers of 0 or more"):
        overall.overall({"part": values})


def test_the_gap_of_images_that_are_as_good_as_clean_is_zero():
    assert overall.corruption_gap(0.7, [0.7] * 5) == 0
    assert overall.corruption_gap(0.7, [0.0]) == 1
    with pytest.raises(ValueError, match="above 0"):
        overall.corruption_gap(0.0, [0.1])


def test_the_overall_metric_follows_from_the_raw_rows(rows, tmp_path):
    made = tracks.Record.now(tracks.registry["accuracy"], "smoke", "onebit bench accuracy", rows)
    tracks.append(made, tmp_path)
    found = json.loads((tmp_path / "bench" / "accuracy.jsonl").read_text())
    accuracy = {}
    for row in found["rows"]:
        model = row["settings"]["job"]["model"]
        seed = row["settings"]["job"]["recipe"].get("seed", 0)
        accuracy[model.get("scheme", "float"), seed] = row["result"]["accuracy"]
    assert len(accuracy) == 6
    for method in METHODS:
        mean = sum(accuracy[method, seed] / accuracy["float", seed] for seed in (0, 1)) / 2
        # One task: the quadratic mean over the tasks is that mean.
        assert found["overall"][method]["metric"] == pytest.approx(math.sqrt(mean**2), rel=1e-12)
    assert tracks.newest(tmp_path, "accuracy") == made


def test_a_network_of_bits_begins_with_the_weights_of_its_twin_and_shares_its_examples(rows, folder):
    by_cell = {Cell.of(row.settings): row for row in rows}
    for cell, row in by_cell.items():
        twin = by_cell[cell._replace(method="float")]
        assert row.result["data"] == twin.result["data"]
        if cell.method != "float":
            recipe = learn.Job.from_yaml(cells.place(row.settings, folder) / "recipe.yaml")
            assert recipe.start == str(cells.place(twin.settings, folder))
            assert recipe.recipe == learn.Job.from_dict(twin.settings["job"]).recipe
    # One folder a network: no twin was trained twice.
    assert len(list((folder / cells.RUNS).iterdir())) == len(by_cell)


def test_what_a_track_has_trained_another_does_not_train_again(rows, folder):
    before = {path: path.stat().st_mtime_ns for path in (folder / cells.RUNS).rglob("*") if path.is_file()}
    found = tracks.run(tracks.registry["robustness"], tracks.Plan("smoke", METHODS, seeds=2), folder)
    after = {path: path.stat().st_mtime_ns for path in (folder / cells.RUNS).rglob("*") if path.is_file()}
    assert before == after
    assert found[: len(rows)] == rows
    looks = found[len(rows) :]
    for row in looks:
        trained = next(r for r in rows if r.settings["job"] == row.settings["job"])
        assert row.result["clean"] == trained.result["accuracy"]
        assert len(row.result["corrupted"]) == len(robustness.SEVERITIES)


def test_a_missing_cell_leaves_a_gap_and_its_method_without_a_metric(rows):
    lost = [dataclasses.replace(row, result=None, error="it failed") for row in rows[-1:]]
    method = Cell.of(lost[0].settings).method
    found = tracks.registry["accuracy"].summary([*rows[:-1], *lost])
    assert set(found.overall) == {"float", *METHODS} - {method}
    line = next(line for line in found.rows if line[0] == method)
    assert line[-2:] == ["-", "-"]


def test_a_measure_that_the_twin_has_not_learned_is_replaced_by_accuracy():
    jobs = {method: job("digits", method, 0, "smoke") for method in ("float", "bnn")}
    rows = [
        invented({"accuracy": 0.8, "score": 0.01}, job=jobs["float"]),
        invented({"accuracy": 0.6, "score": -0.02}, job=jobs["bnn"]),
    ]
    found = tracks.registry["accuracy"].summary(rows)
    assert found.overall["bnn"].metric == pytest.approx(0.75)
    assert any("digits: accuracy" in note for note in found.notes)


def test_families_count_alike_whatever_the_number_of_their_architectures():
    values = {"mlp": (0.9, 0.45), "convnet": (0.8, 0.8), "resnet20": (0.8, 0.4)}
    rows = [
        invented(value, job=job("digits", method, 0, "smoke", architecture))
        for architecture, pair in values.items()
        for method, value in zip(("float", "bnn"), pair)
    ]
    found = tracks.registry["architectures"].summary(rows).overall["bnn"]
    assert found.parts == pytest.approx({"MLP": 0.5, "CNN": 0.75})
    assert found.metric == pytest.approx(math.sqrt((0.5**2 + 0.75**2) / 2))


def test_equal_gaps_are_a_robustness_of_one_and_small_ones_are_left_out():
    def look(method, kind, clean, corrupted):
        made = {"clean": clean, "corrupted": [corrupted] * 5}
        return invented(made, job=job("digits", method, 0, "smoke"), corruption=kind)

    rows = [look(m, "fog", c, c / 2) for m, c in (("float", 0.9), ("bnn", 0.7))]
    rows += [look("float", "jpeg", 0.9, 0.9), look("bnn", "jpeg", 0.7, 0.6)]
    found = tracks.registry["robustness"].summary(rows)
    assert found.overall["bnn"].parts == {"fog": pytest.approx(1.0)}
    assert any("digits jpeg" in note for note in found.notes)


def test_robustness_is_measured_on_images_only():
    with pytest.raises(ValueError, match="must be images, got 'adult'"):
        tracks.registry["robustness"].phases(tracks.Plan("small", ("bnn",), ("adult",)))


def test_the_settings_of_the_training_track_are_the_published_grid():
    found = training.settings(200)
    assert len(found) == 8
    assert {(s["optimizer"], s["learning_rate"]) for s in found} == {
        ("sgd", 0.1), ("sgd", 0.01), ("adam", 1e-3), ("adam", 1e-4),
    }  # fmt: skip
    assert [s["milestones"] for s in found if s["schedule"] == "step"] == [(100, 150)] * 4


def test_the_training_metric_follows_from_times_and_deviations():
    recipes = training.settings(4)
    values = {"float": [0.9, 0.8, 0.9, 0.8], "bnn": [0.9, 0.5, 0.9, 0.5]}
    rows = [
        invented(value, job=job("digits", method, 0, "small", recipe=recipe))
        for method, given in values.items()
        for value, recipe in zip(given, recipes)
    ]
    times = {"seconds": 0.2, "float_seconds": 0.1, "bytes": None, "float_bytes": None}
    rows += [invented(times, job=job("digits", method, 0, "small"), steps=3, memory=False) for method in values]
    found = tracks.registry["training"].summary(rows).overall["bnn"]
    assert found.parts == pytest.approx({"time": 0.5, "settings": 0.25})
    assert found.metric == pytest.approx(math.sqrt((0.5**2 + 0.25**2) / 2))


def test_a_step_is_timed_against_the_twin_and_changes_no_thread_count(tmp_path, monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.setattr(training, "memory", lambda job: len(job["model"]))  # a process each, below
    given = cells.settings(job("digits", "bnn", 0, "smoke"), steps=1, memory=True)
    found = training.measure(given, str(tmp_path))
    assert found["seconds"] > 0
    assert found["float_seconds"] > 0
    assert found["bytes"] > found["float_bytes"]  # the twin's job names no scheme
    assert torch.get_num_threads() == threads


def test_the_memory_of_a_step_holds_its_activations():
    made = job("digits", "bnn", 0, "smoke")
    found = training.memory(made.to_dict())
    # 64 images, the stem's 16 maps of 8x8, float32; a process with a twentieth of a GiB more would not be this network.
    assert found is None or 64 * 16 * 64 * 4 <= found < 2**28


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"methods": ("bnm",)}, r"unknown method 'bnm' \(did you mean 'bnn'\?\)"),
        ({"methods": ("bnn", "bnn")}, "method 'bnn' must be given once, got it 2 times"),
        ({"methods": ()}, "methods must be one or more, got none"),
        ({"tasks": ("mnits",)}, r"unknown task 'mnits' \(did you mean 'mnist'\?\)"),
        ({"architectures": ("mpl",)}, "unknown architecture 'mpl'"),
        ({"scale": "big"}, "unknown scale 'big'"),
        ({"seeds": 0}, r"seeds must be 1\.\.100, got 0"),
    ],
)
def test_a_mistake_in_a_plan_is_named(given, text):
    with pytest.raises(ValueError, match=text):
        tracks.Plan(**given)


def test_the_command_measures_records_and_reads_back(capsys, tmp_path):
    words = ["--methods", "bnn", "--scale", "smoke", "--folder", str(tmp_path / "runs")]
    words += ["--markdown", str(tmp_path / "a.md")]
    assert main(["bench", "accuracy", *words, "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "bnn" in printed
    assert "unverified" in printed
    assert main(["bench", "accuracy", "--recorded", "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out == printed
    assert tracks.markdown(tracks.newest(tmp_path, "accuracy")) == (tmp_path / "a.md").read_text()
    assert main(["bench", "accuracy", "--recorded", "--results", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == "onebit bench accuracy --scale smoke --methods bnn"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["accuracy", "--quick"], "--quick has no meaning for track accuracy"),
        (["engine", "--methods", "bnn"], "--methods has no meaning for track engine"),
        (["accuracy", "--methods", "nn"], "unknown method 'nn'"),
        (["accuracy", "--recorded", "--results", "nowhere"], "nowhere holds no record of track accuracy"),
        (["accuracy", "--jobs", "0"], r"--jobs must be 1\.\.1024, got 0"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(words, text, capsys):
    assert main(["bench", *words]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert re.search(text, error), error
