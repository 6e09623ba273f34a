"""Gated layers: what is skipped changes nothing, sparsity terms, thresholds, what is counted."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from onebit import capture, deploy, runtime
from onebit.core.progress import Progress
from onebit.ir import cost
from onebit.nn import models, penalty
from onebit.nn.layers import AdaptiveL1, BetaNoise, GatedLinear, SparsityCrossEntropy, gates, sparsity_cross_entropy
from onebit.nn.layers.conditional import quantile

SPARSE = [name for name in gates if not gates[name].dense]


def layer(gate: str = "straight-through", **more) -> GatedLinear:
    torch.manual_seed(0)
    return GatedLinear(6, 40, 3, hidden=5, gate=gate, **more).double()


def examples(count: int = 16) -> torch.Tensor:
    return torch.randn(count, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def dense(model: GatedLinear, x: torch.Tensor) -> torch.Tensor:
    return model.output(model.experts(x) * model.gates(x))


@pytest.mark.parametrize("gate", gates)
def test_skipping_gives_what_the_dense_layer_gives(gate: str):
    model, x = layer(gate, skip_batch=16).eval(), examples()
    model.fit_threshold(x)
    expected = dense(model, x)
    assert torch.allclose(model(x), expected, atol=1e-12)
    assert torch.allclose(torch.cat([model(one[None]) for one in x]), expected, atol=1e-12)


@pytest.mark.parametrize("gate", SPARSE)
def test_what_is_off_is_never_read(gate: str):
    model, x = layer(gate).eval(), examples(1)
    if model.thresholded:
        model.fit_threshold(x)
    else:
        with torch.no_grad():
            model.gater[2].bias[10:] = -1e3
    expected = model(x)
    off = (model.gates(x) == 0)[0]
    assert 0 < int(off.sum()) < 40
    model.SKIP_SHARE = 0.5
    assert model._pays(x, model.gates(x))
    with torch.no_grad():
        model.experts.weight[off] = torch.nan
        model.experts.bias[off] = torch.nan
        model.output.weight[:, off] = torch.nan
    assert torch.equal(model(x), expected)


def test_with_no_gate_on_the_output_is_its_bias_and_with_all_on_the_layer_is_linear():
    model, x = layer().eval(), examples(2)
    model.gate.threshold.fill_(torch.inf)
    assert torch.equal(model(x), model.output.bias.expand(2, 3))
    model.gate.threshold.fill_(-torch.inf)
    assert torch.equal(model(x), model.output(model.experts(x)))
    assert not model._pays(x, model.gates(x))


@pytest.mark.parametrize("name", ["straight-through", "stochastic-times-smooth", "reinforce"])
def test_the_fitted_threshold_leaves_the_target_on_and_training_follows_it(name: str):
    model, x = layer(name, target=0.25), examples(64)
    for _ in range(200):
        model(x)
    followed = float(model.gate.threshold)
    model.eval().fit_threshold(x)
    assert float((model.gates(x) != 0).double().mean()) == 0.25
    assert followed == pytest.approx(float(model.gate.threshold), abs=1e-3)


def test_the_quantile_leaves_the_share_rounded_up():
    a = torch.randn(97, generator=torch.Generator().manual_seed(0))
    for share in (1e-9, 0.1, 0.5, 1.0):
        assert int((a >= quantile(a, share)).sum()) == max(1, math.ceil(share * 97))


def test_an_expert_that_is_off_gets_no_gradient_from_the_example():
    model, x = layer("straight-through"), examples(1)
    seen = []
    model.gate.register_forward_hook(lambda module, args, out: seen.append(out.detach()))
    model(x).sum().backward()
    on = (seen[0] != 0)[0]
    assert torch.equal((model.experts.weight.grad != 0).any(1), on)


def test_units_that_learn_from_the_score_pass_nothing_back_to_the_gater():
    model, x = layer("reinforce", sparsity_weight=0.0), examples()
    losses = F.cross_entropy(model(x), torch.zeros(16, dtype=torch.int64), reduction="none")
    losses.sum().backward()
    assert model.gater[0].weight.grad is None
    model.gate.surrogate(losses).backward()
    assert model.gater[0].weight.grad.abs().sum() > 0


def test_the_rate_scales_the_gradient_of_the_gater_alone():
    grads = []
    for rate in (1.0, 0.01):
        model = layer("noisy-sigmoid", gater_rate=rate)
        torch.manual_seed(3)
        model(examples()).square().sum().backward()
        grads.append({name: p.grad for name, p in model.named_parameters()})
    for name in grads[0]:
        factor = 0.01 if name.startswith("gater") else 1.0
        assert torch.allclose(grads[1][name], factor * grads[0][name], rtol=1e-12)


@pytest.mark.parametrize("gate", gates)
def test_the_sparsity_term_is_given_once_after_a_forward_pass_in_training(gate: str):
    model = layer(gate)
    assert float(penalty(model)) == 0
    model(examples())
    copy.deepcopy(model)
    term = penalty(model)
    assert bool(term != 0) == (model.sparsity is not None)
    assert float(penalty(model)) == 0
    model.eval()(examples())
    assert float(penalty(model)) == 0


def test_the_cross_entropy_is_least_where_units_are_on_as_often_as_wanted():
    q = torch.full((3,), 0.1, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(sparsity_cross_entropy(q, 0.1, 2.0), q)
    assert torch.allclose(gradient, torch.zeros(3, dtype=torch.float64), atol=1e-4)
    q = torch.tensor([0.02, 0.4, 0.9], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(sparsity_cross_entropy(q, 0.1, 2.0), q)
    assert torch.allclose(gradient, -2 * (0.1 / q - 0.9 / (1 - q)), rtol=1e-3)
    p = torch.rand(5, 3, dtype=torch.float64)
    assert torch.equal(SparsityCrossEntropy(0.1, 2.0)(p, p), sparsity_cross_entropy(p.mean(0), 0.1, 2.0))


def test_the_adaptive_weight_moves_only_outside_the_tolerance_and_stays_in_its_range():
    term, seen = AdaptiveL1(0.1, start=1e-5), []
    for share in (0.30, 0.12, 0.105, 0.05):
        term.follow(share)
        seen.append(float(term.weight))
    assert seen == pytest.approx([1.1e-5, 1.21e-5, 1.21e-5, 1.089e-5])
    for _ in range(400):
        term.follow(1.0)
    assert float(term.weight) == 1
    for _ in range(400):
        term.follow(0.0)
    assert float(term.weight) == pytest.approx(1e-13)
    frozen = AdaptiveL1(start=0.5).eval()
    assert float(frozen(torch.ones(2, 3), torch.ones(2, 3))) == 3
    assert float(frozen.weight) == 0.5


def test_beta_noise_has_its_mode_at_the_sparsity_and_its_mean_in_evaluation():
    noise = BetaNoise(generator=torch.Generator().manual_seed(0))
    alpha, beta, scale = noise.law
    assert alpha == pytest.approx(5.344444, abs=1e-6)
    assert (alpha - 1) / (alpha + beta - 2) == pytest.approx(0.1)
    assert scale == pytest.approx(4.59512, abs=1e-5)
    drawn = noise(torch.zeros(50_000, dtype=torch.float64))
    mean = noise.eval()(torch.zeros(1, dtype=torch.float64))
    assert float(drawn.mean()) == pytest.approx(float(mean), abs=5 * float(drawn.std()) / 50_000**0.5)
    assert float(drawn.min()) >= -scale / 2
    assert float(drawn.max()) <= scale / 2


def test_operations_with_all_units_on_are_those_that_the_graph_counts():
    model = models.build("conditional-mlp", in_features=6, width=40, hidden=5, num_classes=3).eval()
    model.layer.gate.threshold.fill_(-torch.inf)
    x = torch.randn(2, 6)
    counted = model.layer.operations(x)
    total = cost.total(cost.table(capture.from_torch(model, (x,))))
    assert counted.total == total.operations["float_macs"] == counted.gater + counted.dense
    model.layer.gate.threshold.fill_(torch.inf)
    assert model.layer.operations(x).total == counted.gater == 5 * (6 + 40)


@pytest.mark.parametrize("gate", gates)
def test_the_engine_runs_the_dense_network_bit_for_bit_as_the_interpreter(gate: str, tmp_path):
    model = models.build("conditional-mlp", in_features=6, width=20, hidden=5, num_classes=3, gate=gate).eval()
    x = torch.randn(7, 6)
    model.layer.fit_threshold(x)
    deploy.pack(model, x[:2], tmp_path / "m.onebit")
    y = runtime.load(tmp_path / "m.onebit").run(x.numpy())
    ((expected,), _) = deploy.prepare(model, x[:2]).run(x.numpy())
    assert np.array_equal(y, expected)
    assert torch.allclose(torch.from_numpy(y), model(x), atol=1e-5)


def test_norms_of_incoming_weights_are_capped_after_every_step():
    model = models.build("conditional-mlp", in_features=6, width=20, hidden=5, max_norm=0.5)
    before = [p.clone() for p in model.parameters() if p.ndim > 1]
    model.on_progress(Progress(0, 1, 0, 1, 1))
    for old, new in zip(before, (p for p in model.parameters() if p.ndim > 1)):
        norm = old.norm(dim=1, keepdim=True)
        assert torch.allclose(new, torch.where(norm > 0.5, old * 0.5 / norm, old), atol=1e-5)
        assert float(new.detach().norm(dim=1).max()) <= 0.5 + 1e-6


@pytest.mark.parametrize("gate", gates)
def test_an_empty_batch_gives_an_empty_output_and_another_shape_is_named(gate: str):
    model = layer(gate).eval()
    assert model(examples(0)).shape == (0, 3)
    with pytest.raises(ValueError, match=r"input must have the shape \(B, 6\), got \(2, 3, 6\)"):
        model(torch.zeros(2, 3, 6, dtype=torch.float64))
    for ask in (model.fit_threshold, model.operations):
        with pytest.raises(ValueError, match="x must have at least one example"):
            ask(examples(0))


def test_experts_of_bits_are_computed_whole():
    model = models.build("conditional-mlp", in_features=6, width=20, hidden=5, num_classes=3, scheme="bnn").eval()
    x = torch.randn(2, 6)
    assert not model.layer._pays(x, torch.zeros(2, 20))
    assert torch.equal(model(x), dense(model.layer, x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width must be an integer of at least 1, got 0"),
        ({"hidden": 0}, "hidden must be an integer of at least 1, got 0"),
        ({"target": 1.0}, "target must be above 0 and below 1, got 1.0"),
        ({"gater_rate": 0}, "gater_rate must be a finite number above 0"),
        ({"max_norm": -1}, "max_norm must be a finite number above 0"),
        ({"skip_batch": -1}, "skip_batch must be an integer of at least"),
    ],
)
def test_a_size_or_share_out_of_range_is_named(arguments, message: str):
    with pytest.raises(ValueError, match=message):
        models.build("conditional-mlp", in_features=6, **arguments)
