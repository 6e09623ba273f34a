"""The procedure of units that learn from the loss of each example."""

from __future__ import annotations

import copy

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


def test_one_step_is_the_published_one():
    model = built("reinforce")
    model.max_norm = None
    layer, unit = model.layer, model.layer.gate
    unit.weighted_loss.fill_(3.0)  # running means that differ from their start
    unit.weight.copy_(torch.linspace(1, 2, unit.units))
    twin = copy.deepcopy(model)
    unit.generator = torch.Generator().manual_seed(5)
    seen = []
    model.register_forward_hook(lambda module, args, out: seen.append(args[0]) if module.training else None)
    digits = data.load("digits").limit(50, 10)
    learn.fit(model, digits, recipe(momentum=0.0, validation=0.0, schedule="constant"), progress=False)
    (x,) = seen
    labels = one_of(x, digits)

    other, flat, noise = twin.layer, x.flatten(1), torch.Generator().manual_seed(5)
    z, a = other.experts(flat), other.gater(flat)
    p = torch.sigmoid(a)
    h = (torch.rand(p.shape, generator=noise) < p).to(p.dtype).detach()
    losses = nn.functional.cross_entropy(other.output(z * h), labels, reduction="none")
    d = (h - p).detach()
    constant = other.gate.weighted_loss / other.gate.weight
    estimate = (a * (d * (losses[:, None] - constant)).detach()).sum(1).mean()
    q = p.mean(0)
    sparsity = -(0.1 * torch.log(1e-6 + q) + 0.9 * torch.log(1e-6 + 1 - q)).sum()
    (losses.mean() + estimate + sparsity).backward()
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            parameter -= (0.001 if name.startswith("gater") else 0.1) * parameter.grad
    for name, parameter in layer.named_parameters():
        assert torch.allclose(parameter, dict(other.named_parameters())[name], atol=1e-6), name
    square = (d * d).mean(0)
    assert torch.allclose(unit.weight, 0.9 * other.gate.weight + 0.1 * square, atol=1e-6)
    weighted = 0.9 * other.gate.weighted_loss + 0.1 * (d * d * losses.detach()[:, None]).mean(0)
    assert torch.allclose(unit.weighted_loss, weighted, atol=1e-6)


def one_of(x: torch.Tensor, digits: data.Dataset) -> torch.Tensor:
    """The labels of normalised images of a set without repetitions."""
    images = data.normalize(digits.train.images, digits.mean, digits.std)
    return digits.train.labels[torch.cdist(x.flatten(1), images.flatten(1)).argmin(1)]


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
