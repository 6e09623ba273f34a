"""Operators and quantizers at NaN, infinities, zeros, denormals and huge numbers."""

from __future__ import annotations

import functools

import pytest
import torch
from tests.faults.values import DENORMAL, FINITE, HUGE, INF, NAN, SPECIAL, finite, same

from onebit.nn import operators, quantizers
from onebit.nn.operators import PeriodicSign
from onebit.nn.ops import sign_of
from onebit.nn.quantizers import BinaryActivation, DoReFaWeight, PeriodicWeight, TernaryWeight, UniformActivation

X = torch.tensor(SPECIAL)
SIGNS = [name for name, kind in operators.registry.items() if name not in ("step", "ternary", "round", "periodic")]

WEIGHTS = {
    **{name: make for name, make in quantizers.weight_registry.items()},
    "dorefa, 3 bits": functools.partial(DoReFaWeight, 3),
    "biper, auto": functools.partial(PeriodicWeight, "auto"),
    "biper, mean": functools.partial(PeriodicWeight, scale="mean_abs"),
    "biper, optimal": functools.partial(PeriodicWeight, scale="optimal"),
    "ternary, per channel": functools.partial(TernaryWeight, per_channel=True),
}
ACTIVATIONS = {
    **{name: make for name, make in quantizers.activation_registry.items()},
    "dorefa, 3 bits": functools.partial(quantizers.DoReFaActivation, 3),
    "int8, learned": functools.partial(UniformActivation, learned=True),
    "sign, centred": functools.partial(BinaryActivation, shift="centred"),
}
GOOD = [0.1, -0.2, 0.3, -0.4]
CHANNELS = {
    "zero": [0.0] * 4,
    "constant": [0.3] * 4,
    "denormal": [DENORMAL, -DENORMAL, 1e-40, 0.0],
    "huge": [HUGE, -HUGE, HUGE, 1.0],
    "nan": [NAN, 1.0, -1.0, 0.5],
    "infinite": [INF, 1.0, -1.0, 0.5],
}
MEANS = ("binary", "xnor", "bireal", "react", "binary-tensor", "reste", "ternary", "absmean", "bitnet", "dorefa")
MEANS += ("int8",)
every_operator = pytest.mark.parametrize("name", list(operators.registry))
every_weight = pytest.mark.parametrize("name", list(WEIGHTS))
every_activation = pytest.mark.parametrize("name", list(ACTIVATIONS))


@pytest.mark.parametrize("name", SIGNS)
def test_a_sign_of_nan_is_minus_one_and_of_anything_else_that_of_ieee(name):
    wanted = [-1.0 if not value >= 0 else 1.0 for value in SPECIAL]
    assert operators.registry[name]()(X).tolist() == wanted


def test_a_square_wave_of_what_is_no_float_is_minus_one():
    assert PeriodicSign()(torch.tensor([NAN, INF, HUGE])).tolist() == [-1.0] * 3
    assert PeriodicSign(stage=1)(torch.tensor([NAN, INF, HUGE])).isnan().all()


@every_operator
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_gradient_of_every_operator_is_finite_everywhere(name, dtype):
    x = torch.tensor(SPECIAL, dtype=dtype, requires_grad=True)
    operators.registry[name]()(x).backward(torch.ones_like(x))
    assert finite(x.grad)
    assert x.grad[0] == (1 if name == "identity" else 0)


@every_operator
def test_a_gradient_that_is_not_finite_passes_through_an_operator_and_is_not_swallowed(name):
    x = torch.zeros(1, requires_grad=True)
    operators.registry[name]()(x).backward(torch.tensor([NAN]))
    assert x.grad.isnan().all()


def quantized(quantizer, x, training):
    """Value, decoded codes, codes, and the gradient at ``x``."""
    quantizer.train(training)
    x = x.clone().requires_grad_()
    y = quantizer(x)
    encoded = quantizer.encode(x)
    y.backward(torch.ones_like(y))
    return y.detach(), quantizer.decode(encoded).detach(), encoded.codes.detach(), x.grad


def weight_of(name, channel):
    x = torch.tensor([CHANNELS[channel], GOOD])
    quantizer = WEIGHTS[name]()
    quantizer.attach(x, 0)
    return quantizer, x


@every_weight
@pytest.mark.parametrize("channel", list(CHANNELS))
def test_weights_decode_to_their_value_and_their_codes_are_numbers(name, channel):
    for training in (True, False):
        value, decoded, codes, _ = quantized(*weight_of(name, channel), training)
        assert same(value, decoded)
        assert finite(codes)


@every_weight
@pytest.mark.parametrize("channel", ["zero", "constant", "denormal"])
def test_weights_without_a_range_are_numbers_with_a_finite_gradient(name, channel):
    for training in (True, False):
        value, _, _, gradient = quantized(*weight_of(name, channel), training)
        assert finite(value)
        assert finite(gradient)
        assert gradient.abs().max() < 1e3, "no gradient is blown up by a small divisor"


@every_weight
def test_huge_weights_have_a_finite_gradient_unless_their_mean_leaves_float32(name):
    value, _, _, gradient = quantized(*weight_of(name, "huge"), True)
    assert finite(gradient) or name in ("reste", "recu", "fda"), "their power, variance, mean leave float32"
    assert value[0].isinf().any() or finite(value) or name in ("biper, optimal", "biper, mean", "absmean", "bitnet")


@every_weight
@pytest.mark.parametrize("channel", ["nan", "infinite"])
def test_a_bad_weight_spoils_its_channel_visibly_where_its_scale_is_computed(name, channel):
    quantizer, x = weight_of(name, channel)
    value = quantizer(x).detach()
    if name in MEANS:
        assert not finite(value[0])
    per_tensor = ("binary-tensor", "reste", "ternary", "absmean", "bitnet", "dorefa, 3 bits")
    assert finite(value[1]) or name in per_tensor, "the other channel does not suffer"


@pytest.mark.parametrize("name", ["bnn", "biper"])
def test_a_nan_weight_without_a_computed_scale_counts_as_minus_one(name):
    quantizer, x = weight_of(name, "nan")
    assert quantizer.encode(x).codes[0, 0] == -1
    assert finite(quantizer(x))


@pytest.mark.parametrize("start", [0.0, DENORMAL, NAN, INF])
def test_a_frequency_from_weights_without_a_mean_stays(start):
    quantizer = PeriodicWeight("auto")
    quantizer.observe(torch.full((2, 4), start))
    assert quantizer.freq == 20.0


@every_activation
@pytest.mark.parametrize("channel", list(CHANNELS))
def test_activations_decode_to_their_value_and_their_codes_are_numbers(name, channel):
    quantizer = ACTIVATIONS[name]()
    x = torch.tensor([CHANNELS[channel], GOOD])
    quantizer.attach(x, -1)
    for training in (True, False):
        value, decoded, codes, gradient = quantized(quantizer, x, training)
        assert finite(codes)
        assert same(value, decoded)
        if channel not in ("nan", "infinite"):
            assert finite(gradient)
        assert finite(value[1]), "the other sample does not suffer"


@every_activation
def test_activations_have_a_finite_gradient_at_every_finite_number(name):
    quantizer = ACTIVATIONS[name]()
    quantizer.attach(torch.empty(0, len(FINITE)), -1)
    for start in (torch.zeros(2, len(FINITE)), torch.tensor([FINITE, FINITE[::-1]])):
        gradient = quantized(quantizer, start, True)[3]
        assert finite(gradient)
        assert all(finite(p.grad) for p in quantizer.parameters() if p.grad is not None)


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("bad", [[NAN, 1.0], [INF, 1.0], [0.0, 0.0]])
def test_a_range_starts_from_the_first_batch_that_has_one(learned, bad):
    quantizer = UniformActivation(learned=learned)
    before = quantizer.step.item()
    assert finite(quantizer(torch.tensor(bad)))
    assert quantizer.step.item() == before
    assert not quantizer.initialized
    quantizer(torch.tensor([1.27, -1.0]))
    assert quantizer.step.item() == pytest.approx(0.01)


def test_a_running_range_passes_over_a_batch_that_is_not_finite():
    quantizer = UniformActivation()
    quantizer(torch.tensor([1.0]))
    before = quantizer.step.clone()
    for value in (NAN, INF, -INF):
        assert quantizer(torch.tensor([value, 0.5]))[1] == pytest.approx(0.5, abs=0.01)
    assert torch.equal(quantizer.step, before)


def test_nan_has_the_code_of_zero_and_infinities_clamp():
    quantizer = UniformActivation(num_bits=4).eval()
    assert quantizer.encode(torch.tensor([NAN, INF, -INF])).codes.tolist() == [0.0, 7.0, -7.0]


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_centred_shift_starts_from_the_first_batch_whose_means_are_finite(value):
    quantizer = BinaryActivation(shift="centred")
    quantizer.attach(torch.empty(0, 2), -1)
    bad, good = torch.tensor([[value, 1.0], [2.0, 1.0]]), torch.tensor([[4.0, 1.0], [2.0, 1.0]])
    quantizer(bad)
    quantizer.observe(bad)
    assert quantizer.shift.tolist() == [-0.5, -0.5]
    quantizer(good)
    assert quantizer.shift.tolist() == [-3.0, -1.0]


@pytest.mark.parametrize("sample", [[0.0] * 4, [2.0] * 4, [HUGE, -HUGE, 1e30, -1e-3], [1e-40, -1e-40, 0.0, DENORMAL]])
def test_normalising_a_sample_changes_no_sign_and_has_a_finite_gradient(sample):
    quantizer = quantizers.activation_registry["biper"]()
    x = torch.tensor([sample])
    value, _, _, gradient = quantized(quantizer, x, True)
    assert torch.equal(value, sign_of(x))
    assert finite(gradient)


@pytest.mark.parametrize("kind", list(quantizers.activation_registry))
def test_an_empty_batch_is_quantized_to_an_empty_batch_and_leaves_no_trace(kind):
    quantizer = quantizers.activation_registry[kind]()
    quantizer.attach(torch.empty(0, 3), -1)
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    assert quantizer(torch.empty(0, 3)).shape == (0, 3)
    assert all(torch.equal(before[name], value) for name, value in quantizer.state_dict().items())
