"""The procedure of units that learn from the loss of each example."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from onebit import data, learn
from onebit.learn import BackPropagation, Distillation, Recipe, ScoreFunction
from onebit.learn.score import customary
from onebit.nn import models

SIZES = {"in_features": 64, "width": 20, "hidden": 5}


def built(gate: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return models.build("conditional-mlp", gate=gate, **SIZES)


def recipe(**more) -> Recipe:
    return Recipe(**{"epochs": 1, "optimizer": "sgd", "batch_size": 50, "learning_rate": 0.1, "threads": 1} | more)


def weights(model: nn.Module, gate: str, chosen: Recipe, **options) -> dict[str, torch.Tensor]:
    learn.fit(model, data.load("digits").limit(300, 50), chosen, progress=False, **options)
    return dict(model.state_dict())


def test_fit_takes_the_procedure_that_the_network_asks_for():
    assert type(customary(built("reinforce"))) is ScoreFunction
    assert type(customary(built("straight-through"))) is BackPropagation
    given, taken = (
        weights(built("reinforce"), "reinforce", recipe(), **options)
        for options in ({"procedure": ScoreFunction()}, {})
    )
    assert all(torch.equal(given[name], taken[name]) for name in given)


def test_the_gater_moves_with_the_estimate_and_not_without_it():
    chosen = recipe()
    start = built("reinforce")
    start.layer.sparsity.weight = 0.0
    start.max_norm = None
    before = start.layer.gater[2].weight.detach().clone()
    weights(start, "reinforce", chosen, procedure=BackPropagation())
    assert torch.equal(start.layer.gater[2].weight, before)
    weights(start, "reinforce", chosen)
    assert not torch.equal(start.layer.gater[2].weight, before)


def test_the_loss_that_is_reported_is_the_cross_entropy_alone():
    model = built("reinforce")
    history = learn.fit(model, data.load("digits").limit(300, 50), recipe(), progress=False)
    assert 0 < history.rows[0].loss < 5


def test_a_resumed_run_of_units_that_draw_ends_in_the_same_bits(tmp_path):
    whole = weights(built("reinforce"), "reinforce", recipe(epochs=2), folder=tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(row):
        raise Stop

    with pytest.raises(Stop):
        weights(built("reinforce"), "reinforce", recipe(epochs=2), folder=tmp_path / "cut", on_epoch=stop)
    resumed = weights(built("reinforce", 1), "reinforce", recipe(epochs=2), folder=tmp_path / "cut", resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_networks_without_such_units_and_distillation_are_refused():
    with pytest.raises(ValueError, match="model must have a unit that learns from the score function"):
        weights(built("straight-through"), "", recipe(), procedure=ScoreFunction())
    with pytest.raises(ValueError, match="distillation cannot be had"):
        weights(built("reinforce"), "", recipe(distillation=Distillation()), teacher=built("sigmoid"))
