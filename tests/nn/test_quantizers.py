"""Quantizers: codes times scale, gradients, and the numbers of their papers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onebit.nn import quantizers
from onebit.nn.operators import PowerSign
from onebit.nn.quantizers import (
    AbsmaxActivation,
    AbsmeanWeight,
    BinaryActivation,
    BinaryWeight,
    BoundedWeight,
    DoReFaActivation,
    DoReFaWeight,
    FixedRange,
    FloatFirst,
    PeriodicWeight,
    PerSampleStdNorm,
    TernaryWeight,
    UniformActivation,
    UniformWeight,
    activation_registry,
    build_activation,
    build_weight,
    laplace_quantization_error,
    reste_weight,
    sine_penalty,
    weight_registry,
)

WEIGHTS = {
    **{name: factory for name, factory in weight_registry.items()},
    "binary-detached": lambda: BinaryWeight("swish", "channel", "detached"),
    "ternary-channel": lambda: TernaryWeight(per_channel=True),
    "dorefa-3": lambda: DoReFaWeight(3),
    "biper-none": lambda: PeriodicWeight(scale="none"),
    "biper-mean": lambda: PeriodicWeight(scale="mean_abs"),
    "biper-optimal": lambda: PeriodicWeight(scale="optimal"),
    "biper-auto": lambda: PeriodicWeight("auto"),
    "biper-stage-1": lambda: PeriodicWeight(stage=1),
    "int4-tensor": lambda: UniformWeight(4, per_channel=False),
    "pokebnn-later": lambda: FloatFirst(BoundedWeight(), 0.5),
}
ACTIVATIONS = {
    **{name: factory for name, factory in activation_registry.items()},
    "centred": lambda: BinaryActivation(shift="centred"),
    "dorefa-2": lambda: DoReFaActivation(2),
    "int4-learned": lambda: UniformActivation(4, learned=True),
    "fixed-4": lambda: FixedRange(4),
    "fixed-unsigned-4": lambda: FixedRange(4, signed=False),
}


def weight_quantizer(name: str, weight: torch.Tensor) -> quantizers.Quantizer:
    quantizer = WEIGHTS[name]()
    quantizer.attach(weight, 0)
    return quantizer


def activation_quantizer(name: str, channels: int, channel_dim: int = 1) -> quantizers.Quantizer:
    quantizer = ACTIVATIONS[name]()
    shape = [0, 0, 0, 0] if channel_dim == 1 else [0, 0]
    shape[channel_dim] = channels
    quantizer.attach(torch.empty(shape), channel_dim)
    return quantizer


@pytest.mark.parametrize("name", WEIGHTS)
def test_decoding_the_codes_of_a_weight_gives_the_forward_value_exactly(name: str):
    weight = torch.randn(6, 3, 3, 3) * 0.2
    quantizer = weight_quantizer(name, weight)
    for training in (True, False):
        quantizer.train(training)
        assert torch.equal(quantizer.decode(quantizer.encode(weight)), quantizer(weight))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("channel_dim", [1, -1])
def test_decoding_the_codes_of_an_activation_gives_the_forward_value_exactly(name: str, channel_dim: int):
    x = torch.randn(4, 5, 3, 3) if channel_dim == 1 else torch.randn(4, 7, 5)
    quantizer = activation_quantizer(name, 5, channel_dim)
    quantizer(x)  # data-dependent starts
    quantizer.eval()
    assert torch.equal(quantizer.decode(quantizer.encode(x)), quantizer(x))


@pytest.mark.parametrize("name", [name for name in WEIGHTS if name not in ("biper-stage-1", "pokebnn-later")])
def test_the_codes_of_a_weight_are_integers(name: str):
    weight = torch.randn(6, 3, 3, 3)
    codes = weight_quantizer(name, weight).encode(weight).codes
    assert torch.equal(codes, codes.round())
    assert codes.abs().max() <= 127


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_codes_of_an_activation_are_integers(name: str):
    codes = activation_quantizer(name, 5).encode(torch.randn(4, 5, 3, 3)).codes
    assert torch.equal(codes, codes.round())
    assert codes.abs().max() <= 255


@pytest.mark.parametrize("name", [*WEIGHTS])
def test_a_weight_gets_a_gradient(name: str):
    weight = (torch.rand(6, 3, 3, 3) - 0.5).requires_grad_()
    (weight_quantizer(name, weight.detach())(weight) * torch.randn(6, 3, 3, 3)).sum().backward()
    assert weight.grad.abs().sum() > 0
    assert torch.isfinite(weight.grad).all()


def test_one_bit_names_have_one_bit():
    for name in ("binary", "bnn", "xnor", "dorefa", "bireal", "react", "biper", "reste", "pokebnn"):
        assert build_weight(name).num_bits == 1
    for name in ("sign", "bnn", "xnor", "dorefa", "bireal", "react", "biper", "reste", "step", "pokebnn"):
        assert build_activation(name).num_bits == 1


@pytest.mark.parametrize("build", [build_weight, build_activation])
def test_an_unknown_name_is_an_error_with_a_suggestion(build):
    with pytest.raises(KeyError, match="did you mean 'biper'"):
        build("bipr")


def test_a_factory_and_none_are_accepted_and_rubbish_is_not():
    assert isinstance(build_weight(BinaryWeight), BinaryWeight)
    assert build_weight(None) is None
    with pytest.raises(TypeError, match=r"weight_quantizer must be a name, a Quantizer, a factory .* got 3"):
        build_weight(3)


def test_scales_are_mean_absolute_values():
    weight = torch.randn(4, 3, 5)
    assert torch.equal(BinaryWeight(scale="channel").encode(weight).scale, weight.abs().mean((1, 2), keepdim=True))
    assert torch.equal(BinaryWeight(scale="tensor").encode(weight).scale.flatten()[0], weight.abs().mean())
    assert BinaryWeight(scale="none").encode(weight).scale == 1


def test_the_three_scale_gradients():
    weight = torch.tensor([[0.5, -0.25, 0.75, -1.5]], dtype=torch.float64)
    upstream = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    inside = torch.tensor([[1.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    scale, signs = 0.75, torch.sign(weight)
    expected = {
        "ignored": inside * upstream,
        "detached": scale * inside * upstream,
        "full": scale * inside * upstream + signs / 4 * (upstream * signs).sum(),
    }
    for kind, gradient in expected.items():
        latent = weight.clone().requires_grad_()
        BinaryWeight("clipped", "channel", kind)(latent).backward(upstream)
        assert torch.allclose(latent.grad, gradient, rtol=1e-12)


def test_reste_scale_gradient_equals_the_sheet():
    weight = torch.tensor([[1.0, -2.0], [3.0, -4.0]], dtype=torch.float64)
    for upstream, term in (
        ([[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]),
        ([[1.0, 0.0], [0.0, 0.0]], [[0.25, -0.25], [0.25, -0.25]]),
    ):
        latent, g = weight.clone().requires_grad_(), torch.tensor(upstream, dtype=torch.float64)
        quantizer = reste_weight()
        assert quantizer.encode(latent).scale.item() == 2.5
        quantizer(latent).backward(g)
        factor = PowerSign().gradient(weight, torch.tensor(1.0))
        assert torch.allclose(latent.grad, 2.5 * factor * g + torch.tensor(term, dtype=torch.float64), rtol=1e-12)


# periodic weights


def test_both_stages_give_the_weight_the_same_gradient():
    weight, upstream = torch.randn(4, 9, dtype=torch.float64), torch.randn(4, 9, dtype=torch.float64)
    gradients = []
    for stage in (1, 2):
        latent = weight.clone().requires_grad_()
        quantizer = PeriodicWeight(stage=stage, scale="none")
        quantizer(latent).backward(upstream)
        gradients.append(latent.grad)
    assert torch.equal(*gradients)


def test_stage_one_is_the_sine_and_stage_two_its_sign():
    weight = torch.randn(4, 9)
    quantizer = PeriodicWeight(5.0, stage=1, scale="none")
    sine = quantizer(weight)
    assert torch.equal(sine, torch.sin(5 * weight))
    quantizer.stage = 2
    assert torch.equal(quantizer(weight), torch.where(sine >= 0, 1.0, -1.0))
    assert torch.equal(quantizer.binary_weight(weight), quantizer(weight).to(torch.int8))
    assert quantizer.binary_weight(torch.zeros(1)).item() == 1


def test_the_learned_scale_is_per_output_channel_and_learns():
    weight = torch.randn(4, 3, 3, 3)
    quantizer = PeriodicWeight()
    with pytest.raises(ValueError, match="no alpha yet"):
        quantizer(weight)
    quantizer.attach(weight, 0)
    assert quantizer.alpha.shape == (4, 1, 1, 1)
    assert 0 <= quantizer.alpha.min() <= quantizer.alpha.max() < 1
    quantizer(weight).sum().backward()
    assert quantizer.alpha.grad.flatten().tolist() == quantizer.binary_weight(weight).sum((1, 2, 3)).tolist()
    with pytest.raises(ValueError, match="belongs to a layer"):
        quantizer.attach(torch.randn(5, 3, 3, 3), 0)


def test_the_automatic_frequency_puts_the_mean_weight_at_one_half():
    weight = torch.randn(4, 3, 3, 3) * 0.01
    quantizer = weight_quantizer("biper-auto", weight)
    assert quantizer.freq * float(weight.abs().mean()) == pytest.approx(0.5, rel=1e-6)
    zeros = weight_quantizer("biper-auto", torch.zeros(4, 3))
    assert zeros.freq == 20.0


def test_the_penalty_is_the_mean_square_sine_and_has_the_sheets_gradient():
    weight = torch.tensor([0.02, -0.05, 0.1, 0.2], dtype=torch.float64).requires_grad_()
    quantizer = PeriodicWeight(20.0, sine_penalty=0.037)
    penalty = quantizer.penalty(weight)
    penalty.backward()
    assert penalty.item() == pytest.approx(0.037 * 0.564823, abs=1e-6)
    assert torch.allclose(weight.grad, 0.037 * 20 * torch.sin(2 * 20 * weight.detach()) / 4, rtol=1e-6)
    assert PeriodicWeight().penalty(weight).item() == 0


def test_sine_penalty_sums_over_the_layers_with_periodic_weights():
    from onebit.nn import Linear

    model = torch.nn.Sequential(Linear(4, 3, weight_quantizer="biper"), Linear(3, 2, weight_quantizer="bnn"))
    expected = torch.sin(20 * model[0].weight).square().mean()
    assert torch.allclose(sine_penalty(model.modules(), 0.5), 0.5 * expected)


LAPLACE = {
    0.05: (0.002463, 0.950125),
    0.1: (0.009428, 0.900990),
    0.25: (0.044636, 0.764704),
    0.5: (0.088800, 0.598503),
    1: (0.102794, 0.454834),
    2: (0.098552, 0.390053),
    5: (0.095447, 0.367858),
    math.inf: (0.094715, 1 - 2 / math.pi),
}


@pytest.mark.parametrize("u", LAPLACE)
def test_laplace_errors_equal_the_table(u: float):
    best, l1 = LAPLACE[u]
    assert laplace_quantization_error(u, "l2_optimal") == pytest.approx(best, abs=1e-5)
    assert laplace_quantization_error(u, "l1") == pytest.approx(l1, abs=1e-5)


@pytest.mark.parametrize("u", [0.25, 1.0])
def test_measured_errors_of_laplace_weights_are_the_closed_forms(u: float):
    weight = torch.from_numpy(np.random.default_rng(0).laplace(0, u / 20, 400_000))
    quantizer = PeriodicWeight(20.0)
    for kind in ("l1", "l2_optimal"):
        measured = float(quantizer.quantization_error(weight, kind))
        assert measured == pytest.approx(laplace_quantization_error(u, kind), abs=2e-3)
    size = torch.sin(20 * weight).abs().mean()
    assert float(quantizer.quantization_error(weight)) == pytest.approx(1 - float(size), abs=1e-12)


# ternary, DoReFa, integers


def test_ternary_weights_follow_the_paper():
    weight = torch.randn(5, 40, dtype=torch.float64)
    encoded = TernaryWeight().encode(weight)
    large = weight.abs() > 0.7 * weight.abs().mean()
    assert torch.equal(encoded.codes, torch.sign(weight) * large)
    assert torch.allclose(encoded.scale.flatten()[0], weight.abs()[large].mean())
    assert TernaryWeight()(torch.zeros(2, 2)).abs().max() == 0


def test_absmean_weights_are_rounded_over_the_mean_and_pass_the_gradient_on():
    weight = (torch.randn(5, 7) * 0.1).requires_grad_()
    scale = weight.detach().abs().mean()
    value = AbsmeanWeight()(weight)
    assert torch.equal(value, torch.clamp(torch.round(weight.detach() / scale), -1, 1) * scale)
    gradient = torch.randn(5, 7)
    value.backward(gradient)
    assert torch.equal(weight.grad, gradient)
    assert AbsmeanWeight()(torch.zeros(2, 2)).abs().max() == 0


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_absmax_codes_of_a_token_reach_the_largest_and_know_no_other_token(bits: int):
    n = 2 ** (bits - 1) - 1
    x = torch.randn(6, 9) * torch.logspace(-3, 3, 6)[:, None]
    quantizer = AbsmaxActivation(bits)
    encoded = quantizer.encode(x)
    assert torch.equal(encoded.codes.abs().amax(1), torch.full((6,), float(n)))
    assert ((quantizer(x) - x).abs() <= encoded.scale * 0.5001).all()
    for row, codes in zip(x, encoded.codes):
        assert torch.equal(quantizer.encode(row[None]).codes[0], codes)
        assert torch.equal(quantizer.encode(4 * row[None]).codes[0], codes)
    assert torch.equal(quantizer(torch.zeros(2, 3)), torch.zeros(2, 3))


@given(st.integers(2, 7))
def test_dorefa_weights_are_evenly_spaced_from_minus_one_to_one(bits: int):
    n = 2**bits - 1
    values = DoReFaWeight(bits)(torch.linspace(-3, 3, 4001))
    assert values.min() == -1
    assert values.max() == 1
    assert len(values.unique()) == n + 1
    assert torch.equal(DoReFaWeight(bits).encode(torch.linspace(-3, 3, 4001)).codes.unique() % 2, torch.ones(n + 1))


@given(st.integers(1, 8))
def test_dorefa_activations_round_the_clamped_input(bits: int):
    n = 2**bits - 1
    x = torch.linspace(-0.5, 1.5, 1001, dtype=torch.float64)
    expected = torch.round(n * x.clamp(0, 1)) / n
    assert torch.allclose(DoReFaActivation(bits)(x), expected, rtol=1e-15)


@given(st.integers(2, 8), st.booleans())
def test_uniform_weights_are_within_half_a_step(bits: int, per_channel: bool):
    weight = torch.randn(6, 3, 3, 3)
    quantizer = UniformWeight(bits, per_channel)
    scale = quantizer.encode(weight).scale
    assert scale.shape == ((6, 1, 1, 1) if per_channel else (1, 1, 1, 1))
    assert ((quantizer(weight) - weight).abs() <= scale / 2 * (1 + 1e-5)).all()


def test_a_channel_of_zeros_has_scale_one():
    weight = torch.zeros(2, 3)
    weight[1] = 1
    assert UniformWeight().encode(weight).scale.flatten().tolist() == pytest.approx([1, 1 / 127])


def test_uniform_activations_learn_their_range_in_training_only():
    quantizer = UniformActivation(momentum=0.5)
    assert not quantizer.initialized
    quantizer(torch.tensor([-2.0, 1.0]))
    assert float(quantizer.step) == pytest.approx(2 / 127)
    quantizer(torch.tensor([4.0]))
    assert float(quantizer.step) == pytest.approx(3 / 127)
    quantizer.eval()
    quantizer(torch.tensor([100.0]))
    assert float(quantizer.step) == pytest.approx(3 / 127)


def test_unsigned_activations_use_all_eight_bits():
    quantizer = build_activation("uint8")
    quantizer(torch.tensor([0.0, 1.0, -3.0]))
    quantizer.eval()
    assert quantizer.encode(torch.tensor([0.0, 1.0, -3.0])).codes.tolist() == [0, 255, 0]


def test_a_learned_step_has_the_lsq_gradient():
    quantizer = UniformActivation(4, learned=True)
    quantizer.observe(torch.tensor([7.0]))  # step 1
    x = torch.tensor([0.3, 2.6, 100.0, -100.0], requires_grad=True)
    quantizer.eval()(x).sum().backward()
    assert quantizer.step.grad.item() == pytest.approx((0 - 0.3) + (3 - 2.6) + 7 - 7, abs=1e-5)
    assert x.grad.tolist() == [1, 1, 0, 0]


# activations


def test_a_shift_moves_the_threshold_and_learns():
    quantizer = activation_quantizer("react", 2)
    x = torch.tensor([[-0.25, 0.25]])
    assert quantizer(x).tolist() == [[-1, 1]]
    with torch.no_grad():
        quantizer.shift.copy_(torch.tensor([0.3, -0.3]))
    y = quantizer(x)
    y.sum().backward()
    assert y.tolist() == [[1, -1]]
    assert torch.allclose(quantizer.shift.grad, 2 - 2 * (x[0] + quantizer.shift.detach()).abs())


def test_a_centred_shift_starts_from_the_first_training_batch_only():
    quantizer = activation_quantizer("centred", 3)
    x = torch.rand(8, 3, 4, 4)
    codes = quantizer(x)
    assert torch.allclose(quantizer.shift, -x.mean((0, 2, 3)))
    assert (codes == -1).any()
    quantizer(x + 5)
    assert torch.allclose(quantizer.shift, -x.mean((0, 2, 3)))


def test_with_several_processes_a_start_from_data_is_averaged_over_them(monkeypatch):
    # the other of two processes has seen the same batch times three
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor.mul_(4))
    shift, step = activation_quantizer("centred", 3), UniformActivation(learned=True)
    x = torch.rand(8, 3, 4, 4)
    for _ in range(2):
        shift(x)
        step(x)
    assert torch.allclose(shift.shift, -2 * x.mean((0, 2, 3)))
    assert step.step.item() == pytest.approx(2 * float(x.max()) / 127)


def test_an_empty_batch_starts_nothing():
    quantizer = activation_quantizer("centred", 3)
    quantizer(torch.zeros(0, 3, 4, 4))
    assert quantizer.shift.tolist() == [-0.5] * 3
    assert not quantizer.initialized


def test_a_non_negative_input_is_all_plus_one_without_a_centred_shift():
    x = torch.rand(8, 3, 4, 4)
    quantizer = activation_quantizer("bireal", 3)
    assert (quantizer(x) == 1).all()
    centred = quantizers.centred(quantizer)
    centred.attach(torch.empty(0, 3, 0, 0), 1)
    assert abs(centred(x).mean().item()) < 0.5
    assert quantizer.shift_kind == "none"


def test_the_sample_scale_is_the_mean_absolute_value_of_each_sample():
    x = torch.randn(4, 3, 5, 5)
    quantizer = activation_quantizer("xnor", 3)
    assert torch.allclose(quantizer.encode(x).scale, x.abs().mean((1, 2, 3), keepdim=True))
    rows = torch.randn(4, 6, 3)
    quantizer = activation_quantizer("xnor", 3, -1)
    assert torch.allclose(quantizer.encode(rows).scale, rows.abs().mean(-1, keepdim=True))


def test_normalisation_per_sample_changes_gradients_and_not_values():
    x = (torch.randn(4, 3, 5, 5, dtype=torch.float64) * 3).requires_grad_()
    quantizer = activation_quantizer("biper", 3)
    gradients = []
    for training in (True, False):
        y = quantizer.train(training)(x)
        gradients.append(torch.autograd.grad((y * torch.arange(y.numel()).view_as(y)).sum(), x)[0])
        assert torch.equal(y, torch.where(x >= 0, 1.0, -1.0))
    assert not torch.allclose(*gradients)


def test_normalisation_makes_the_gradient_orthogonal_to_each_sample():
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64).requires_grad_()
    norm = PerSampleStdNorm(eps=1e-30)
    (gradient,) = torch.autograd.grad((norm(x) * torch.randn_like(x)).sum(), x)
    assert (x * gradient).sum((1, 2, 3)).abs().max() < 1e-12
    assert torch.allclose(norm(5 * x), norm(x))


def test_normalisation_divides_by_the_unbiased_deviation_of_each_sample():
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    expected = x / torch.sqrt(x.var((1, 2, 3), keepdim=True) + 1e-5)
    assert torch.allclose(PerSampleStdNorm()(x), expected, rtol=1e-12)


def test_normalisation_leaves_a_sample_of_one_element():
    x = torch.tensor([[2.0], [3.0]])
    assert torch.equal(PerSampleStdNorm()(x), x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BinaryWeight(scale="row"), "scale must be one of none, tensor, channel, learned, got 'row'"),
        (lambda: BinaryWeight(scale_gradient="x"), "scale_gradient must be one of ignored, detached, full"),
        (lambda: PeriodicWeight(freq="fast"), "freq must be a finite number above 0 or 'auto', got 'fast'"),
        (lambda: PeriodicWeight(freq=-1), "freq must be a finite number above 0, got -1"),
        (lambda: PeriodicWeight(stage=0), "stage must be 1"),
        (lambda: PeriodicWeight(sine_penalty=-1), "sine_penalty must be 0..inf, got -1"),
        (lambda: PeriodicWeight().quantization_error(torch.zeros(1), "l3"), "kind must be one of l1, l2_optimal"),
        (lambda: laplace_quantization_error(-1), "u must be a finite number above 0"),
        (lambda: TernaryWeight(0), "share must be a finite number above 0, got 0"),
        (lambda: DoReFaWeight(1), "num_bits must be an integer 2..7, got 1"),
        (lambda: DoReFaActivation(9), "num_bits must be an integer 1..8, got 9"),
        (lambda: UniformWeight(2.5), "num_bits must be an integer 2..8, got 2.5"),
        (lambda: UniformActivation(momentum=2), "momentum must be above 0 and at most 1, got 2"),
        (lambda: BinaryActivation(shift="up"), "shift must be one of none, learned, centred, got 'up'"),
        (lambda: BinaryActivation(scale="x"), "scale must be one of none, sample, got 'x'"),
        (lambda: BinaryActivation(shift="learned")(torch.zeros(1, 2)), "has no channels yet"),
        (lambda: PerSampleStdNorm(0), "eps must be a finite number above 0, got 0"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()
