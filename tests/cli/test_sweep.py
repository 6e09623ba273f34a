"""``onebit sweep``: a grid over a job file."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from tests.cli.test_main import assert_one_sentence, run

from onebit.cli.main import main

JOB = """model: {name: mlp, sizes: {width: 8, depth: 1}}
data: digits
recipe: {epochs: 1, batch_size: 256, learning_rate: 0.01}
"""
OVER = ("--over", "model.scheme=biper,null", "--over", "recipe.seed=0,1")


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    path = tmp_path_factory.mktemp("job") / "job.yaml"
    path.write_text(JOB)
    return path


@pytest.fixture(scope="module")
def swept(job, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps") / "sweep"
    assert main(["sweep", str(job), *OVER, "-o", str(folder)]) == 0
    return folder


def test_every_combination_is_a_finished_run_and_the_table_takes_the_seeds_together(job, swept, tmp_path, capsys):
    folder = shutil.copytree(swept, tmp_path / "sweep")
    before = (folder / "rows.jsonl").read_bytes()
    status, out, _ = run(capsys, "sweep", str(job), *OVER, "-o", str(folder), "--resume", "--json")
    assert status == 0
    assert (folder / "rows.jsonl").read_bytes() == before
    found = json.loads(out)
    accuracies = [row["result"]["test_accuracy"] for row in found["rows"]]
    assert len(set(accuracies)) > 1
    for i, entry in enumerate(found["table"]):
        assert entry["settings"] == {"model.scheme": ["biper", None][i]}
        assert entry["runs"] == 2
        a, b = accuracies[2 * i : 2 * i + 2]
        assert entry["test_accuracy"]["mean"] == pytest.approx((a + b) / 2)
        assert entry["test_accuracy"]["std"] == pytest.approx(abs(a - b) / 2**0.5)
    assert all((folder / "runs" / row["result"]["folder"] / "model.safetensors").is_file() for row in found["rows"])


def test_a_cell_is_what_training_it_alone_gives(swept, tmp_path, capsys):
    folder = next((swept / "runs").glob("model.scheme=biper_recipe.seed=1-*"))
    assert run(capsys, "train", "--recipe", str(folder / "recipe.yaml"), "-o", str(tmp_path / "alone"))[0] == 0
    name = "model.safetensors"
    assert (tmp_path / "alone" / name).read_bytes() == (folder / name).read_bytes()


def test_a_sweep_that_is_there_is_gone_on_with_on_request_only(job, swept, capsys):
    status, _, err = run(capsys, "sweep", str(job), *OVER, "-o", str(swept))
    assert status == 2
    assert_one_sentence(err)
    assert "--resume goes on with it" in err


def test_further_values_need_only_further_runs(job, swept, tmp_path, capsys):
    folder = shutil.copytree(swept, tmp_path / "sweep")
    more = ("--over", "model.scheme=null,biper", "--over", "recipe.seed=0,1,2")
    status, out, err = run(capsys, "sweep", str(job), *more, "-o", str(folder), "--resume")
    assert status == 0
    assert "4 of 6 cells are there already" in err
    assert "+-" in out


def test_runs_that_fail_are_named_and_the_others_are_in_the_table(job, tmp_path, capsys):
    over = ("--over", 'model.scheme_settings=[{"stages":2},{}]', "--over", "model.scheme=biper")
    status, out, err = run(capsys, "sweep", str(job), *over, "-o", str(tmp_path / "sweep"))
    assert status == 2
    assert "give it stages" in err
    assert err.splitlines()[-1] == "onebit sweep: 1 of 2 runs failed; --resume tries them again"
    assert "biper" in out


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ("recipe.sed=1", "--over recipe.sed=1: unknown key of recipe of job 'sed' (did you mean 'seed'?)"),
        ("model.scheme=bipre", "did you mean 'biper'"),
        ("model.name=mpl", "did you mean 'mlp'"),
        ("model.sizes.widht=3", "unknown size of model 'mlp': 'widht' (did you mean 'width'?)"),
        ("data=mnits", "did you mean 'mnist'"),
        ("recipe.seed=a", "must be an integer, got 'a'"),
        ("recipe.seed", "--over must be KEY=VALUE,VALUE"),
        ("recipe.seed=", "--over must be KEY=VALUE,VALUE"),
        ("recipe.seed=0,0", "--over recipe.seed must have each value once, got 0 twice"),
        ("recipe.seed=[]", "--over recipe.seed must have one value or more"),
        ("data.seed=0", "data.seed is no setting of a job"),
    ],
)
def test_a_grid_that_no_job_can_have_is_refused_before_anything_is_trained(over, said, job, tmp_path, capsys):
    status, out, err = run(capsys, "sweep", str(job), "--over", over, "-o", str(tmp_path / "sweep"))
    assert (status, out) == (2, "")
    assert_one_sentence(err)
    assert said in err
    assert not (tmp_path / "sweep").exists()


def test_a_key_given_twice_is_refused(job, capsys):
    status, _, err = run(capsys, "sweep", str(job), "--over", "recipe.seed=0", "--over", "recipe.seed=1")
    assert status == 2
    assert "--over recipe.seed is given twice" in err


@pytest.mark.parametrize("command", ["sweep", "claim"])
def test_runs_are_where_the_executor_says(command, job, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = {
        "sweep": [str(job), "--over", "recipe.seed=0", "-o", str(tmp_path)],
        "claim": ["reste", "--statement", "1", "--scale", "smoke", "--folder", str(tmp_path)],
    }[command]
    status, out, err = run(capsys, command, *arguments, "--executor", "ray")
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"onebit {command}: running on Ray needs ray: pip install 'onebit[ray]'")
    status, _, err = run(capsys, command, *arguments, "--executor", "rya")
    assert status == 2
    assert_one_sentence(err)
    assert "did you mean 'ray'" in err
