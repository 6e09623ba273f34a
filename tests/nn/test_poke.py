"""The parts of PokeBNN against the numbers of its code and against what they must be by construction."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from onebit.core.errors import Unsupported
from onebit.core.progress import Progress
from onebit.deploy.accelerate import graph as accelerated
from onebit.nn import quantizers, schemes
from onebit.nn.layers import (
    BoundedConv2d,
    BoundedLinear,
    Conv2d,
    DPReLU,
    Gate,
    PokeConv,
    RPReLU,
    SameConv2d,
    SameQuantizedConv2d,
    average_channels,
    reshape_add,
    same_average,
    same_padding,
)
from onebit.nn.operators import Floor
from onebit.nn.quantizers import BoundedWeight, FixedRange, FloatFirst, UniformWeight, bounded_activation


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)


def gradient(module, x: torch.Tensor, upstream: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_()
    (result,) = torch.autograd.grad(module(x), x, upstream)
    return result


def test_bounded_signs_are_the_middles_of_the_halves_and_pass_the_gradient_strictly_inside():
    x = torch.tensor([-4.0, -2.0, -0.05, 0.0, 2.9765, 2.9766, 3.5])
    quantizer = bounded_activation(3.0)
    assert quantizer(x).tolist() == [-1.5, -1.5, -1.5, 1.5, 1.5, 1.5, 1.5]
    upstream = torch.arange(1.0, 8.0)
    assert gradient(quantizer, x, upstream).tolist() == [0, 2, 3, 4, 5, 0, 0]


def test_the_largest_weights_of_a_channel_get_no_gradient():
    weight = torch.tensor([[1.0, -0.5, 0.993], [-4.0, 3.9, 0.0]])
    quantizer = BoundedWeight()
    assert quantizer(weight).tolist() == [[0.5, -0.5, 0.5], [-2.0, 2.0, 2.0]]
    assert gradient(quantizer, weight, torch.ones(2, 3)).tolist() == [[0, 1, 0], [0, 1, 1]]
    assert torch.isfinite(quantizer(torch.zeros(2, 3))).all()


@pytest.mark.parametrize(
    ("quantizer", "bound", "x", "want"),
    [
        (FixedRange(4), 2.0, [0.1, 0.5, 1.0, 2.5], [0.0, 0.571429, 1.142857, 2.0]),
        (FixedRange(8), 2.5, [-0.05, 0.5, 1.0], [-0.059055, 0.492126, 1.003937]),
        (FixedRange(4, signed=False), 2.0, [0.1, 0.5, 2.0, -1.0], [0.0, 0.5, 1.875, 0.0]),
    ],
)
def test_integers_of_a_bound_have_the_values_of_the_published_code(quantizer, bound, x, want):
    assert torch.allclose(quantizer(torch.tensor(x) / bound) * bound, torch.tensor(want), atol=1e-6, rtol=0)


def test_the_floor_rounds_down_at_every_integer_and_just_below_it():
    whole = torch.arange(0.0, 16.0)
    floor = Floor(15)
    assert torch.equal(floor(whole), whole)
    below = torch.nextafter(whole, torch.tensor(-1.0))
    assert torch.equal(floor(below), (whole - 1).clamp(min=0))
    assert floor(torch.tensor([float("nan"), float("inf"), -float("inf")])).tolist() == [0, 15, 0]


def test_dprelu_has_the_published_values_and_is_rprelu_with_one_slope():
    layer = DPReLU(1)
    with torch.no_grad():
        layer.before.fill_(0.5), layer.after.fill_(0.1)
    assert torch.allclose(layer(torch.tensor([[2.0], [-1.5], [0.5]])), torch.tensor([[1.4], [-0.6], [-0.1]]))
    both = DPReLU(3), RPReLU(3)
    with torch.no_grad():
        for pair in (("before", "before", 1), ("negative", "slope", 1), ("after", "after", -1)):
            values = torch.randn(3)
            getattr(both[0], pair[0]).copy_(values), getattr(both[1], pair[1]).copy_(pair[2] * values)
    x = torch.randn(4, 3, 2, 2)
    assert torch.allclose(both[0](x), both[1](x))


def test_reshape_add_shrinks_by_means_and_grows_by_zeros_or_copies():
    assert reshape_add(column(1, 2, 3, 4, 5, 6, 7), torch.zeros(1, 3, 1, 1)).flatten().tolist() == [1.5, 3.5, 5.5]
    for expand, want in (("zeropad", [1, 2, 0, 0, 0]), ("tile", [1, 2, 1, 2, 1])):
        assert reshape_add(column(1, 2), torch.zeros(1, 5, 1, 1), expand).flatten().tolist() == want


def test_reshape_add_of_one_shape_is_a_sum_and_of_another_map_is_refused():
    r, y = torch.randn(2, 3, 5, 5), torch.randn(2, 3, 5, 5)
    assert torch.equal(reshape_add(r, y), r + y)
    with pytest.raises(
        ValueError, match=r"r must have the map of y, \(5, 5\), or one that is halved to it, got \(4, 5\)"
    ):
        reshape_add(r[:, :, :4], y)
    with pytest.raises(ValueError, match="expand must be one of zeropad, tile, got 'pad'"):
        reshape_add(r, y, "pad")


def test_the_mean_of_the_means_of_channels_is_the_mean_of_all():
    x = torch.randn(2, 12, 3, 3)
    assert torch.allclose(average_channels(x, 4).mean(1), x.mean(1), atol=1e-6)


def test_pooling_pads_after_an_even_map_and_counts_the_padding():
    pooled = same_average(torch.arange(16.0).view(1, 1, 4, 4))
    assert pooled[0, 0, 0, 0] == 5.0
    assert torch.allclose(pooled[0, 0, 1, 1], torch.tensor((10 + 11 + 14 + 15) / 9))


def test_padding_halves_every_size_rounded_up_and_is_even_where_the_stride_is_1():
    for size, kernel, stride in itertools.product(range(1, 12), (1, 3, 5), (1, 2)):
        before, after = same_padding((size,), (kernel,), (stride,))
        assert (size + before + after - kernel) // stride + 1 == -(-size // stride)
        assert 0 <= after - before <= 1
        if stride == 1:
            assert before == after == kernel // 2


@pytest.mark.parametrize("size", [(6, 7), (5, 4), (1, 2)])
def test_the_convolution_of_bits_and_its_shortcut_see_the_same_windows(size):
    conv = SameQuantizedConv2d(3, 3, 3, 2, bias=False, weight_quantizer=None, input_quantizer=None)
    twin = SameConv2d(3, 3, 3, 2, bias=False)
    with torch.no_grad():
        for layer in (conv, twin):
            layer.weight.copy_(torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 3, 3) / 9)
    x = torch.randn(2, 3, *size)
    assert torch.allclose(conv(x), same_average(x), atol=1e-6)
    assert torch.allclose(twin(x), same_average(x), atol=1e-6)


def test_a_layer_whose_padding_follows_its_input_is_not_accelerated():
    layer = SameQuantizedConv2d(4, 4, 3, 2, bias=False).eval()
    with pytest.raises(Unsupported, match="its padding depends on the size of the map"):
        accelerated.build(layer)


def test_half_values_are_a_multiple_of_the_integer_result_where_nothing_is_padded():
    scheme = schemes.build("pokebnn")
    layer = Conv2d(
        5, 4, 3, bias=False, weight_quantizer=scheme.weight_quantizer(), input_quantizer=scheme.input_quantizer()
    )
    x = torch.randn(2, 5, 6, 6)
    signs = F.conv2d(torch.where(x >= 0, 1.0, -1.0), torch.where(layer.weight >= 0, 1.0, -1.0))
    top = layer.weight.detach().abs().amax((1, 2, 3)).view(1, -1, 1, 1)
    assert torch.allclose(layer(x), 0.75 * top * signs, rtol=1e-5, atol=1e-5)
    assert torch.allclose(layer.eval()(x), 0.75 * top * signs, rtol=1e-6, atol=0)


def bounded(**settings) -> BoundedConv2d:
    made = {"weight_quantizer": UniformWeight(8), "input_quantizer": FixedRange(8)} | settings
    return BoundedConv2d(4, 6, 3, padding=1, groups=2, **made)


def test_without_quantizers_a_bounded_layer_is_the_plain_one():
    layer = bounded(weight_quantizer=None, input_quantizer=None)
    x = torch.randn(3, 4, 5, 5) * torch.tensor([1.0, 10.0, 0.1, 5.0]).view(1, -1, 1, 1)
    layer(x)
    want = F.conv2d(x, layer.weight, layer.bias, padding=1, groups=2)
    assert torch.allclose(layer(x), want, rtol=1e-4, atol=1e-5)
    assert torch.allclose(layer.eval()(x), want, rtol=1e-4, atol=1e-5)
    line = BoundedLinear(4, 3, weight_quantizer=None, input_quantizer=None)
    assert torch.allclose(line(x.mean((2, 3))), F.linear(x.mean((2, 3)), line.weight, line.bias), rtol=1e-4, atol=1e-5)


def test_channels_of_different_size_are_rounded_alike():
    torch.manual_seed(0)
    layer = bounded()
    factor = torch.tensor([1.0, 1e-3, 1e3, 1.0]).view(1, -1, 1, 1)
    x = torch.randn(8, 4, 5, 5)
    with torch.no_grad():  # a network that makes up for the factor in its weights
        other = bounded()
        other.load_state_dict(layer.state_dict())
        layer(x)
        scale = factor.view(2, 1, 2).expand(2, 3, 2).reshape(6, 2, 1, 1)
        other.weight.div_(scale)
        other(x * factor)
        assert torch.allclose(layer.eval()(x), other.eval()(x * factor), rtol=1e-3, atol=1e-3)


def test_bounds_follow_the_extremes_of_each_channel_in_training_only():
    layer = BoundedLinear(2, 1, weight_quantizer=UniformWeight(8), input_quantizer=FixedRange(8), momentum=0.5)
    layer(torch.tensor([[1.0, -4.0], [2.0, 1.0]]))
    assert layer.bound().tolist() == [2.0, 4.0]
    layer(torch.tensor([[4.0, 0.0], [4.0, 0.0]]))
    assert layer.extremes.tolist() == [[3.0, 0.5], [2.5, -2.0]]
    layer(torch.tensor([[float("nan"), 0.0]]))
    layer.eval()(torch.tensor([[100.0, 100.0]]))
    assert layer.bound().tolist() == [3.0, 2.0]


def test_the_gate_is_between_0_and_1_and_one_half_with_weights_of_zero():
    gate = Gate(16, 8)
    x = 10 * torch.randn(4, 16, 3, 3)
    values = gate(x)
    assert values.shape == (4, 8, 1, 1)
    assert ((values >= 0) & (values <= 1)).all()
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter.zero_()
    assert (gate(x) == 0.5).all()
    assert F.hardsigmoid(torch.tensor([-3.0, 0.0, 3.0])).tolist() == [0, 0.5, 1]


def test_a_gate_needs_a_hidden_channel():
    with pytest.raises(
        ValueError, match="in_channels must be at least ratio = 8 for a gate to have a hidden layer, got 7"
    ):
        Gate(7, 8)
    with pytest.raises(ValueError, match=r"bits must be 2..8 or None, got 1"):
        Gate(8, 8, bits=1)


def test_a_fresh_last_convolution_passes_exactly_the_two_shortcuts_on():
    part = PokeConv(SameConv2d(4, 8, 1, bias=False), nn.Identity(), None, second_norm=False)
    nn.init.zeros_(part.norm.weight)
    x, block = torch.randn(2, 4, 5, 5), torch.randn(2, 2, 9, 9)
    want = reshape_add(block, reshape_add(x, torch.zeros(2, 8, 5, 5)), "tile")
    assert torch.equal(part(x, block), want)


@pytest.mark.parametrize("phase", [0.5, "stage"])
def test_in_the_float_phase_a_weight_is_itself_and_then_its_quantizers(phase):
    weight = torch.randn(3, 4, requires_grad=True)
    quantizer = FloatFirst(BoundedWeight(), phase)
    assert torch.equal(quantizer(weight), weight)
    encoded = quantizer.encode(weight)
    assert torch.equal(quantizer.decode(encoded), weight)
    quantizer.on_progress(Progress(49, 100, 0, 1, 1))
    assert not quantizer.quantizes
    quantizer.on_progress(Progress(50, 100, 0, 1, 2))
    assert torch.equal(quantizer(weight), BoundedWeight()(weight))
    assert quantizer.state_dict()["quantizes"]
    assert torch.equal(quantizer.encode(weight).codes, BoundedWeight().encode(weight).codes)


def test_inputs_in_the_float_phase_are_float_in_training_and_integers_when_evaluated():
    quantizer = FloatFirst(FixedRange(4), 0.5, evaluation=False)
    x = torch.rand(5)
    assert torch.equal(quantizer.train()(x), x)
    assert torch.equal(quantizer.eval()(x), FixedRange(4)(x))


@pytest.mark.parametrize("phase", [0.0, 1.0, -0.1, "epoch"])
def test_a_phase_is_a_share_or_the_stage(phase):
    with pytest.raises(ValueError, match="phase must be"):
        FloatFirst(BoundedWeight(), phase)


def test_a_bound_that_is_not_above_0_is_refused():
    for make in (lambda: bounded_activation(0.0), lambda: schemes.build("pokebnn", bound=-1.0)):
        with pytest.raises(ValueError, match="bound must be a finite number above 0"):
            make()
    assert quantizers.build_activation("pokebnn").operator.bound == 3.0
