"""Recipes: checked at the door, the same after a trip through YAML, helpful about mistakes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onebit.data import Augment
from onebit.learn import Distillation, Job, ModelSpec, Recipe, Stage
from onebit.learn.plan import Plan
from onebit.learn.recipe import read_yaml, write_yaml

rates = st.floats(1e-6, 10, allow_subnormal=False)
recipes = st.builds(
    Recipe,
    epochs=st.integers(0, 500),
    batch_size=st.integers(1, 512),
    optimizer=st.sampled_from(["sgd", "adam", "adamw"]),
    learning_rate=rates,
    weight_decay=st.floats(0, 1),
    warmup_epochs=st.floats(0, 5),
    clip_latent=st.none() | rates,
    distillation=st.none() | st.builds(Distillation, st.floats(0, 1), rates),
    augment=st.booleans() | st.builds(Augment, st.integers(0, 8), st.booleans()),
    validation=st.floats(0.01, 0.5),
    patience=st.none() | st.integers(1, 9),
    keep=st.sampled_from(["last", "best"]),
    seed=st.integers(0, 2**40),
)


@settings(max_examples=50)
@given(recipe=recipes)
def test_a_recipe_survives_yaml(recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    write_yaml(path, recipe.to_dict())
    assert Recipe.from_dict(read_yaml(path)) == recipe


def test_a_linear_schedule_falls_by_equal_steps_after_its_warm_up():
    plan = Plan(Recipe(epochs=3, learning_rate=1.0, schedule="linear", warmup_epochs=1), per_epoch=4)
    rates = [plan.at(step).learning_rate for step in range(plan.steps)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, *(1 - u / 8 for u in range(8))])


def test_a_recipe_with_stages_survives_and_sums_their_epochs():
    recipe = Recipe(stages=(Stage(3, learning_rate=0.1), Stage(2, weight_decay=0.0)))
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert recipe.total_epochs == 5
    assert recipe.to_dict() == {"stages": [{"epochs": 3, "learning_rate": 0.1}, {"epochs": 2, "weight_decay": 0.0}]}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"learning_rat": 1.0}, r"unknown key of recipe 'learning_rat' \(did you mean 'learning_rate'\?\)"),
        ({"epochs": "ten"}, "epochs of recipe must be an integer, got 'ten'"),
        ({"epochs": True}, "epochs of recipe must be an integer"),
        ({"learning_rate": "fast"}, "learning_rate of recipe must be a number, got 'fast'"),
        ({"nesterov": 1}, "nesterov of recipe must be true or false"),
        ({"stages": 3}, "stages of recipe must be a list"),
        ({"stages": [{"epoch": 3}]}, "did you mean 'epochs'"),
        ({"stages": [{}]}, "stages of recipe is incomplete"),
        ({"distillation": 0.5}, "distillation of recipe must be a mapping"),
        ({"augment": {"crop": -1}}, r"crop must be an integer 0\.\.64"),
        ({"optimizer": "sdg"}, "did you mean 'sgd'"),
        ({"precision": "fp8"}, "unknown precision"),
        ({"learning_rate": -1}, "learning_rate must be a finite number above 0, got -1"),
        ({"learning_rate": ".nan"}, "learning_rate of recipe must be a number"),
        ({"validation": 0, "patience": 2}, "need a validation share"),
        ({"milestones": [2]}, "milestones belong to schedule step"),
        ({"schedule": "step", "milestones": [3, 2]}, "ascending"),
        ({"epochs": 4, "stages": [{"epochs": 3}]}, "epochs must be 0 or the sum of the stages, 3, got 4"),
        ({"nesterov": True}, "nesterov needs optimizer sgd"),
        ({"threads": 0}, "threads must be an integer of 1 or more"),
    ],
)
def test_a_mistake_in_a_recipe_is_named(values, text):
    with pytest.raises(ValueError, match=text):
        Recipe.from_dict(values)


def test_yaml_numbers_without_a_dot_are_numbers(tmp_path):
    (tmp_path / "a.yaml").write_text("learning_rate: 1e-3\nweight_decay: 0\n")
    recipe = Recipe.from_dict(read_yaml(tmp_path / "a.yaml"))
    assert (recipe.learning_rate, recipe.weight_decay) == (1e-3, 0.0)


def test_a_job_survives_yaml_and_names_its_mistakes(tmp_path):
    job = Job(ModelSpec("mlp", {"width": 8}, "bnn"), "digits", Recipe(epochs=2), "runs/float", "runs/start", 100, 50)
    job.to_yaml(tmp_path / "job.yaml")
    assert Job.from_yaml(tmp_path / "job.yaml") == job
    (tmp_path / "job.yaml").write_text("model: {name: mlp}\ndata: digit\n")
    with pytest.raises(ValueError, match=r"job\.yaml: unknown data set 'digit' \(did you mean 'digits'\?\)"):
        Job.from_yaml(tmp_path / "job.yaml")
    with pytest.raises(ValueError, match="examples must be an integer of 1 or more, got 0"):
        Job(job.model, "digits", examples=0)
    (tmp_path / "job.yaml").write_text("model: [\n")
    with pytest.raises(ValueError, match=r"is no YAML file"):
        Job.from_yaml(tmp_path / "job.yaml")
    with pytest.raises(ValueError, match="size width of model 'mlp' must be a plain value"):
        ModelSpec("mlp", {"width": torch.zeros(1)})


@given(steps=st.integers(1, 40), rate=rates)
def test_the_cosine_schedule_is_that_of_pytorch(steps, rate):
    plan = Plan(Recipe(epochs=steps, learning_rate=rate), per_epoch=1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], rate)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        assert plan.at(step).learning_rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6, abs=1e-9 * rate)
        optimizer.step()
        reference.step()


def test_the_step_schedule_falls_at_its_milestones():
    recipe = Recipe(epochs=5, schedule="step", milestones=(1, 3), gamma=0.5, learning_rate=1.0)
    plan = Plan(recipe, per_epoch=2)
    assert [plan.at(step).learning_rate for step in range(10)] == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]


def test_every_stage_warms_up_and_falls_on_its_own():
    recipe = Recipe(stages=(Stage(3, 1.0), Stage(2, 0.5, 0.1)), warmup_epochs=1, weight_decay=0.2, schedule="constant")
    plan = Plan(recipe, per_epoch=2)
    assert [plan.at(step).learning_rate for step in range(10)] == [0.5, 1, 1, 1, 1, 1, 0.25, 0.5, 0.5, 0.5]
    assert [plan.at(step).stage for step in range(10)] == [1] * 6 + [2] * 4
    assert [plan.at(step).weight_decay for step in range(10)] == [0.2] * 6 + [0.1] * 4
    assert [plan.at(step).progress.epoch for step in range(10)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert (plan.steps, plan.complete.fraction, plan.complete.stage) == (10, 1.0, 2)
