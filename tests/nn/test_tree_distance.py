"""The tree-distance regulariser: its value is a count of bits, its gradient the formula, its schedule the trainer's."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import onebit
from onebit.core.spanning import minimum_spanning_tree
from onebit.ir.reuse import hamming_matrix
from onebit.learn import Recipe, fit
from onebit.nn import Progress, TreeDistance, broadcast, penalty, remove_tree_distance_, schemes, tree_distance_


def layer(seed: int = 0, **settings) -> onebit.nn.Linear:
    torch.manual_seed(seed)
    made = onebit.nn.Linear(40, 12, weight_quantizer="bnn", bias=False)
    nn.init.uniform_(made.weight, -1.5, 1.5)
    tree_distance_(made, **{"warmup": 0, **settings})
    broadcast(made, Progress(0, 100, 0, 10))
    return made


def test_the_value_is_the_total_of_the_minimum_spanning_tree():
    made = layer(weight=3.0).requires_grad_(False)
    tree = minimum_spanning_tree(hamming_matrix(made.weight.detach().numpy()))
    assert float(penalty(made)) == pytest.approx(3.0 * tree.total / (11 * 40), rel=1e-6)
    star = layer(mode="centre").requires_grad_(False)
    sums = hamming_matrix(star.weight.detach().numpy()).sum(1)
    assert float(penalty(star)) == pytest.approx(sums.min() / (11 * 40), rel=1e-6)
    assert float(penalty(star)) > float(penalty(layer().requires_grad_(False)))


def test_the_gradient_is_minus_half_the_neighbours_inside_the_window():
    made = layer(weight=2.0)
    penalty(made).backward()
    bits = np.where(made.weight.detach().numpy() >= 0, 1.0, -1.0)
    expected = np.zeros_like(bits)
    for one, other in made.regularizer.edges.T.tolist():
        expected[one] -= 0.5 * bits[other]
        expected[other] -= 0.5 * bits[one]
    inside = np.abs(made.weight.detach().numpy()) <= 1
    assert made.weight.grad.numpy() == pytest.approx(2.0 / (11 * 40) * expected * inside, abs=1e-9)
    assert not inside.all()


def test_a_weight_that_is_not_a_number_counts_as_minus_one():
    made = onebit.nn.Linear(40, 12, weight_quantizer=onebit.nn.quantizers.PeriodicWeight(stage=1), bias=False)
    with torch.no_grad():
        made.weight[3] = float("nan")
    tree_distance_(made)
    broadcast(made, Progress(0, 1, 0, 1))
    assert made.regularizer.edges.any()


def test_groups_have_a_tree_each():
    conv = onebit.nn.Conv2d(8, 12, 3, groups=4, weight_quantizer="bnn")
    tree_distance_(conv, warmup=0)
    broadcast(conv, Progress(0, 1, 0, 1))
    edges = conv.regularizer.edges
    assert edges.shape == (2, 8)
    assert torch.equal(edges[0] // 3, edges[1] // 3)


def test_the_strength_follows_the_schedule():
    made = layer(weight=4.0, warmup=0.2)
    found = []
    for step in (0, 19, 20, 30, 40, 70, 100):
        broadcast(made, Progress(step, 100, step // 10, 10))
        found.append(float(made.regularizer.strength))
    assert found == pytest.approx([0, 0, 0, 2, 4, 4, 4])


@pytest.mark.parametrize(("every", "drawn"), [("epoch", [0, 10, 20, 30, 40]), (15, [0, 15, 30])])
def test_the_tree_is_drawn_when_it_is_time_held_at_the_end_and_drawn_last(every, drawn):
    made = onebit.nn.Linear(40, 12, weight_quantizer="bnn")
    tree_distance_(made, update_every=every, freeze=0.2)
    found = []
    for step in range(50):
        with torch.no_grad():
            made.weight.uniform_(-1, 1, generator=torch.Generator().manual_seed(step))
        before = made.regularizer.edges.clone()
        broadcast(made, Progress(step, 50, step // 10, 5))
        if not torch.equal(before, made.regularizer.edges):
            found.append(step)
    assert found == drawn
    broadcast(made, Progress.complete())
    assert made.regularizer.penalty().item() * 11 * 40 == pytest.approx(
        minimum_spanning_tree(hamming_matrix(made.weight.detach().numpy())).total
    )


@pytest.mark.parametrize("scheme", [name for name in schemes.registry if name != "bitnet"])
def test_it_shortens_the_tree_of_every_scheme(scheme):
    model = onebit.nn.models.build("mlp", in_features=16, width=24, depth=1, num_classes=4, scheme=scheme)
    assert tree_distance_(model, weight=5.0, warmup=0) == ["4"]
    bits = model[4]
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    lengths = []
    for step in range(40):
        broadcast(model, Progress(step, 40, step, 40))
        lengths.append(minimum_spanning_tree(hamming_matrix(codes(bits))).total)
        optimizer.zero_grad()
        penalty(model).backward()
        optimizer.step()
    assert lengths[-1] < 0.8 * lengths[0]


def codes(bits: onebit.nn.Linear) -> np.ndarray:
    with torch.no_grad():
        return bits.weight_quantizer.encode(bits.weight).codes.numpy()


def train(folder=None, resume=False, stop=None):
    torch.manual_seed(0)
    model = onebit.nn.models.build("mlp", in_features=64, width=32, depth=1, scheme="bnn")
    tree_distance_(model, weight=1.0)
    data = onebit.data.load("digits").limit(256, 64)
    recipe = Recipe(epochs=5, batch_size=64, learning_rate=0.01, optimizer="adam", clip_latent=1.0, validation=0.0)

    def count(row):
        if row.epoch == stop:
            raise KeyboardInterrupt

    try:
        fit(model, data, recipe, folder=folder, resume=resume, progress=False, on_epoch=count)
    except KeyboardInterrupt:
        return None
    return model


def test_a_resumed_run_is_the_run_without_a_break(tmp_path):
    whole = train()
    assert train(tmp_path / "run", stop=2) is None
    again = train(tmp_path / "run", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_what_is_saved_fits_a_network_without_it(tmp_path):
    model = train()
    plain = onebit.nn.models.build("mlp", in_features=64, width=32, depth=1, scheme="bnn")
    plain.load_state_dict(model.state_dict())
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(plain.eval()(x), model(x))
    onebit.save(model, tmp_path / "model.safetensors")
    assert torch.equal(onebit.load(tmp_path / "model.safetensors")(x), model(x))
    other = copy.deepcopy(model)
    assert other[4].regularizer._of[0] is other[4]
    assert remove_tree_distance_(other) == ["4"]
    assert other.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"mode": "star"}, "mode"),
        ({"weight": -1}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"update_every": 0}, "update_every"),
        ({"update_every": "step"}, "update_every"),
        ({"warmup": 0.6}, "warmup"),
        ({"freeze": 1.1}, "freeze"),
        ({"filter_fn": lambda module, path: False}, "layer of bits"),
    ],
)
def test_wrong_settings_are_refused_and_nothing_is_changed(settings, reason):
    model = onebit.nn.Linear(8, 4, weight_quantizer="bnn")
    with pytest.raises(ValueError, match=reason):
        tree_distance_(model, **settings)
    assert not hasattr(model, "regularizer")


def test_layers_without_two_kernels_of_bits_have_none():
    for module in (nn.Linear(4, 4), onebit.nn.Linear(4, 4, weight_quantizer="ternary"), onebit.nn.Linear(4, 1)):
        with pytest.raises(ValueError, match="layer"):
            TreeDistance(module)
    depthwise = onebit.nn.Conv2d(8, 8, 3, groups=8)
    with pytest.raises(ValueError, match="one kernel a group"):
        TreeDistance(depthwise)
