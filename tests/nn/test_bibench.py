"""The eight operators of BiBench: forward, backward, schedules and invariances, in float64 against its numbers."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from onebit.nn import Progress, broadcast, operators, quantizers, schemes
from onebit.nn.layers import ScaleMap

X, W = [-1.5, -0.4, 0.3, 1.2], [0.5, -0.2, 0.8, 1.1]
ROWS = [[0.5, -0.2, 0.8, 1.1], [0.1, 0.3, -0.4, 0.9]]
FIRST, LAST = Progress(0, 100, 0, 100), Progress(99, 100, 99, 100)


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def swapped(plain: nn.Module, scheme: str, **settings) -> nn.Module:
    """The layer of bits that ``quantize_`` puts in the place of ``plain``, in float64."""
    model = nn.Sequential(plain).double()
    schemes.quantize_(model, schemes.build(scheme, **settings), filter_fn=lambda *_: True)
    return model[0]


def dot(kind: str, scheme: str, shift=None, **settings) -> tuple[float, list[float], list[float]]:
    """Output and gradients of one dot product as a convolution with one tap or as a linear layer."""
    conv = kind == "conv"
    layer = swapped(nn.Conv1d(4, 1, 1, bias=False) if conv else nn.Linear(4, 1, bias=False), scheme, **settings)
    with torch.no_grad():
        layer.weight.copy_(double(W).view_as(layer.weight))
        if shift is not None:
            layer.input_quantizer.shift.copy_(double(shift))
    x = double(X).view(1, 4, 1) if conv else double(X).view(1, 4)
    x.requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert torch.allclose(layer.eval()(x), y, atol=1e-12)
    return y.item(), x.grad.flatten().tolist(), layer.weight.grad.flatten().tolist()


def near(values):
    return pytest.approx(values, abs=1e-6)


@pytest.mark.parametrize(
    ("scheme", "y", "dx", "dw"),
    [
        ("bnn", 2, [0, -1, 1, 0], [-1, -1, 1, 0]),
        ("xnor", 1.105, [0, -0.65, 0.65, 0], [-0.85, -0.85, 0.85, 0]),
        ("dorefa", 1.3, [0, -0.65, 0.65, 0], [-1, -1, 1, 0]),
        ("bireal", 1.3, [0, -0.78, 0.91, 0], [-1, -1, 1, 0]),
        ("xnor++", 2, [0, -1, 1, 0], [-1, -1, 1, 0]),
        ("react", 1.3, [0, -0.78, 0.91, 0], [-1, -1, 1, 0]),
    ],
)
def test_a_convolution_has_the_value_and_the_gradients_of_the_sheet(scheme, y, dx, dw):
    assert dot("conv", scheme) == (near(y), near(dx), near(dw))


def test_react_thresholds_move_the_signs():
    assert dot("conv", "react", [0.5, 0, -0.5, 0])[0] == near(0)


def test_linear_layers_of_xnor_centre_their_rows_and_keep_both_scales_in_the_gradient():
    centred = [w - 0.55 for w in W]  # mean 0.55
    s, k = sum(map(abs, centred)) / 4, 0.85
    signs, inside = [-1, -1, 1, 1], [0, 1, 1, 0]
    y, dx, dw = dot("linear", "xnor")
    assert y == near(k * s * sum(a * b for a, b in zip([-1, -1, 1, 1], signs)))
    assert dx == near([k * s * b * i for b, i in zip(signs, inside)])
    g = [s * k * a for a in (-1, -1, 1, 1)]  # all centred weights lie inside [-1, 1]
    assert dw == near([v - sum(g) / 4 for v in g])


def test_linear_layers_of_dorefa_keep_the_scale_in_the_gradient():
    assert dot("linear", "dorefa") == (near(1.3), near([0, -0.65, 0.65, 0]), near([-0.65, -0.65, 0.65, 0]))


@pytest.mark.parametrize("scheme", ["dorefa", "xnor++"])
def test_linear_layers_leave_the_edge_out_and_convolutions_do_not(scheme: str):
    for plain, inside in ((nn.Linear(2, 1, bias=False), 0), (nn.Conv1d(2, 1, 1, bias=False), 1)):
        layer = swapped(plain, scheme)
        shape = (1, 2, *[1] * (layer.weight.dim() - 2))
        x = torch.ones(shape, dtype=torch.float64, requires_grad=True)
        with torch.no_grad():
            layer.weight.fill_(1)
        layer(x).sum().backward()
        for gradient in (x.grad, layer.weight.grad):
            assert (gradient != 0).all() == bool(inside)
            assert (gradient == 0).all() != bool(inside)


@pytest.mark.parametrize("scheme", ["bireal", "react"])
def test_linear_layers_keep_their_bias(scheme: str):
    layer = swapped(nn.Linear(4, 3), scheme)
    assert torch.allclose(
        layer(double([X])) - layer.bias, F.linear(torch.sign(double([X])), layer.weight_quantizer(layer.weight))
    )


# FDA


@pytest.mark.parametrize(
    ("n", "expected"), [(9, [1.273240, 1.071841, 0.579843]), (18, [2.419155, 1.205369, -0.390171])]
)
def test_the_fourier_factor(n, expected):
    operator = operators.FourierSign(start=n)
    assert operator.gradient(double([0, 0.5, 1]), operator.n).tolist() == near(expected)


def test_fda_has_more_terms_and_less_noise_from_epoch_to_epoch():
    layer = swapped(nn.Conv2d(3, 4, 3), "fda")
    told = []
    for epoch in range(101):
        broadcast(layer, Progress(epoch, 100, epoch, 100))
        quantizer = layer.weight_quantizer
        told.append((int(quantizer.operator.n), float(quantizer.adaptation.amount)))
    terms, amounts = [n for n, _ in told[:100]], [a for _, a in told[:100]]
    assert terms == [9 + int(9 * epoch / 100) for epoch in range(100)]
    assert amounts == near([0.05 * (1 + math.cos(math.pi * (epoch + 1) / 100)) for epoch in range(100)])
    assert (terms[-1], amounts[-1]) == (17, 0)
    assert told[100] == (18, 0)


def test_fda_adds_its_network_of_the_weight_and_of_the_channels_of_every_pixel():
    layer = swapped(nn.Conv2d(3, 4, 3, bias=False), "fda")
    broadcast(layer, FIRST)
    x, w = torch.randn(2, 3, 5, 5, dtype=torch.float64), layer.weight.detach()
    amount = 0.05 * (1 + math.cos(math.pi / 100))

    def noise(module: quantizers.NoiseAdaptation, z: torch.Tensor) -> torch.Tensor:
        w1, w2 = module.reduce.weight, module.expand.weight
        return amount * (torch.relu(z @ w1.T) @ w2.T + 0.1 * torch.sin(z))

    of_x = noise(layer.input_quantizer.adaptation, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    of_w = noise(layer.weight_quantizer.adaptation, w.flatten(1)).view_as(w)
    scale = w.abs().mean((1, 2, 3), keepdim=True)
    expected = F.conv2d(torch.sign(x) + of_x, scale * (torch.sign(w) + of_w))
    assert torch.allclose(layer(x), expected, atol=1e-6)
    shapes = [tuple(p.shape) for p in layer.weight_quantizer.adaptation.parameters()]
    assert shapes == [(6, 27), (27, 6)]  # 27 // 4, because 27 < 64
    wide = quantizers.NoiseAdaptation(256, x)
    assert tuple(wide.reduce.weight.shape) == (4, 256)


def test_the_scale_multiplies_the_gradient_of_fda():
    factor = operators.FourierSign().gradient(double(W), torch.tensor(9.0))
    _, _, dw = dot("conv", "fda")
    signs = torch.sign(double(X))
    assert dw == near((0.65 * factor * signs).tolist())


def test_the_noise_network_of_fda_learns_and_is_gone_in_eval_mode_and_in_the_last_epoch():
    layer = swapped(nn.Linear(8, 6), "fda")
    x, target = torch.randn(16, 8, dtype=torch.float64), torch.randn(16, 6, dtype=torch.float64)
    nets = [layer.weight_quantizer.adaptation, layer.input_quantizer.adaptation]
    before = [p.detach().clone() for net in nets for p in net.parameters()]
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    broadcast(layer, FIRST)
    F.mse_loss(layer(x), target).backward()
    optimizer.step()
    after = [p for net in nets for p in net.parameters()]
    assert all(not torch.equal(a, b) for a, b in zip(before, after))
    noisy = layer(x)
    bits = layer.eval()(x)
    assert not torch.allclose(noisy, bits, atol=1e-4)
    broadcast(layer.train(), LAST)
    assert torch.allclose(layer(x), bits, atol=1e-12)


# ReCU


def test_recu_standardises_and_clamps_as_in_the_sheet():
    quantizer = quantizers.RectifiedWeight()
    z = quantizer.standardised(double(ROWS))
    expected = [[-0.253996, -3.809942, 1.269981, 2.793958], [-0.657466, 0.394480, -3.287331, 3.550317]]
    assert z.flatten().tolist() == near([v for row in expected for v in row])
    assert z.abs().mean().item() == near(2.002184)
    for tau, bound in ((0.85, 2.410575), (0.99, 7.832590)):
        quantizer.double().tau.fill_(tau)
        assert quantizer.bound(z).item() == near(bound)


def test_recus_threshold_grows_exponentially_and_clamps_nothing_before_training():
    quantizer = quantizers.RectifiedWeight()
    z = quantizer.standardised(double(ROWS))
    assert quantizer.tau == 1
    assert quantizer.bound(z) > z.abs().max()
    for epoch, tau in ((0, 0.85), (5, 0.902856), (10, 0.99)):
        quantizer.on_progress(Progress(epoch, 10, epoch, 10))
        assert quantizer.tau.item() == near(tau)


def test_the_gradient_of_recu_is_that_of_its_standardised_and_clamped_weight():
    quantizer = quantizers.RectifiedWeight().double()
    quantizer.tau.fill_(0.85)
    weight, upstream = double(ROWS).requires_grad_(), double([[1, 2, 3, 4], [5, 6, 7, 8]])
    quantizer.attach(weight, 0)
    with torch.no_grad():
        quantizer.alpha.copy_(double([[2], [3]]))
    quantizer(weight).backward(upstream)
    other = double(ROWS).requires_grad_()
    centred = other - other.mean(1, keepdim=True)
    z = 2 * math.sqrt(2) * centred / torch.sqrt(other.var(1, keepdim=True) + 1e-5)
    q = -z.detach().abs().mean() * math.log(2 - 2 * 0.85)
    inside = (z.detach().abs() <= q).double()
    assert 0 < inside.sum() < inside.numel()
    z.backward(upstream * inside * double([[2], [3]]))
    assert torch.allclose(weight.grad, other.grad, atol=1e-6)
    assert quantizer.alpha.grad.flatten().tolist() == near((upstream * torch.sign(z.detach())).sum(1).tolist())


def test_half_of_the_signs_of_recu_are_positive_wherever_the_weights_are():
    weight = torch.randn(3, 1000) + 5
    quantizer = quantizers.RectifiedWeight()
    quantizer.attach(weight, 0)
    assert quantizer.encode(weight).codes.mean(1).abs().max() < 0.15
    assert torch.sign(weight).mean() == 1


# XNOR-Net++


def test_the_scales_of_xnorpp_are_a_tensor_of_rank_one():
    layer = swapped(nn.Conv2d(3, 4, 3, padding=1, bias=False), "xnor++")
    plain = swapped(nn.Conv2d(3, 4, 3, padding=1, bias=False), "bnn")
    with torch.no_grad():
        plain.weight.copy_(layer.weight)
        for parameter in (layer.weight_quantizer.alpha, *layer.output.parameters()):
            parameter.uniform_()
    o = layer.weight_quantizer.alpha.view(-1, 1, 1)
    h, v = layer.output.rows[:5], layer.output.columns[:7]
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    y = layer(x)
    assert torch.allclose(y, plain(x) * o * h.view(-1, 1) * v, atol=1e-12)
    parameters = [layer.weight_quantizer.alpha, *layer.output.parameters()]
    upstream = torch.randn_like(y)
    of_o, of_h, of_v = torch.autograd.grad(y, parameters, upstream)
    sums = plain(x).detach()
    assert torch.allclose(of_o.flatten(), (upstream * sums * h.view(-1, 1) * v).sum((0, 2, 3)), atol=1e-6)
    assert torch.allclose(of_h[:5], (upstream * sums * o * v).sum((0, 1, 3)), atol=1e-6)
    assert torch.allclose(of_v[:7], (upstream * sums * o * h.view(-1, 1)).sum((0, 1, 2)), atol=1e-6)
    assert (of_h[5:] == 0).all()


def test_in_one_dimension_xnorpp_has_a_scale_for_each_position_and_linear_layers_have_none():
    assert [name for name, _ in swapped(nn.Conv1d(3, 4, 3), "xnor++").output.named_parameters()] == ["columns"]
    assert swapped(nn.Linear(3, 4), "xnor++").output is None


def test_a_map_larger_than_the_scales_is_refused():
    layer = swapped(nn.Conv2d(3, 4, 1), "xnor++", size=4)
    with pytest.raises(ValueError, match="size must be at least 5, the size of this map, got 4"):
        layer(torch.zeros(1, 3, 5, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="size must be an integer of at least 1, got 0"):
        ScaleMap(2, 0)


# invariances


def outputs(scheme: str, x: torch.Tensor, weight: torch.Tensor, training: bool = False) -> torch.Tensor:
    torch.manual_seed(0)
    layer = swapped(nn.Conv2d(weight.shape[1], weight.shape[0], 3, bias=False), scheme)
    with torch.no_grad():
        layer.weight.copy_(weight)
        return layer.train(training)(x)


def test_scaled_weights_and_inputs_scale_what_the_sheet_says():
    x, weight = torch.randn(2, 3, 6, 6, dtype=torch.float64), torch.randn(4, 3, 3, 3, dtype=torch.float64)
    assert torch.equal(outputs("bnn", x, 4 * weight), outputs("bnn", x, weight))
    assert torch.allclose(outputs("recu", x, 4 * weight), outputs("recu", x, weight))
    assert torch.allclose(outputs("dorefa", x, 4 * weight), 4 * outputs("dorefa", x, weight))
    each = double([2, 5]).view(2, 1, 1, 1)
    assert torch.allclose(outputs("xnor", each * x, weight), each * outputs("xnor", x, weight))
    assert torch.allclose(outputs("recu", x, weight, training=True), outputs("recu", x, weight))


def test_react_without_thresholds_is_bireal_and_fda_without_noise_is_dorefa():
    x, weight = torch.randn(2, 3, 6, 6, dtype=torch.float64), torch.randn(4, 3, 3, 3, dtype=torch.float64)
    assert torch.equal(outputs("react", x, weight), outputs("bireal", x, weight))
    for training in (True, False):
        assert torch.allclose(outputs("fda", x, weight, training), outputs("dorefa", x, weight))


def test_xnorpp_with_the_mean_magnitudes_as_scales_is_dorefa():
    layer = swapped(nn.Conv2d(3, 4, 3, bias=False), "xnor++")
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_quantizer.alpha.copy_(layer.weight.abs().mean((1, 2, 3), keepdim=True))
        assert torch.allclose(layer(x), outputs("dorefa", x, layer.weight))


# the papers' own forms


def test_original_xnor_scales_by_a_map_and_has_the_papers_weight_gradient():
    layer = swapped(nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False), "xnor", variant="original")
    x = torch.randn(2, 4, 7, 7, dtype=torch.float64)
    w = layer.weight.detach()
    scale = w.abs().mean((1, 2, 3), keepdim=True)
    size = x.abs().view(2, 2, 2, 7, 7).mean(2)
    k = F.avg_pool2d(size, 3, 2, 1).repeat_interleave(3, 1)
    y = layer(x)
    sums = F.conv2d(torch.sign(x), torch.sign(w), stride=2, padding=1, groups=2)
    assert torch.allclose(y, k * scale.view(-1, 1, 1) * sums, atol=1e-6)
    assert torch.allclose(layer.eval()(x), y, atol=1e-6)
    weight, upstream = double([W]).requires_grad_(), double([[1, 2, 3, 4]])
    quantizer = quantizers.BinaryWeight("clipped", "channel", "average")
    quantizer(weight).backward(upstream)
    assert weight.grad.tolist() == [near([(0.25 + 0.65 * i) * g for i, g in zip([1, 1, 1, 0], [1, 2, 3, 4])])]


def test_original_xnor_scales_each_row_of_a_linear_layer():
    layer = swapped(nn.Linear(4, 3, bias=False), "xnor", variant="original")
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    expected = x.abs().mean(-1, keepdim=True) * F.linear(torch.sign(x), layer.weight_quantizer(layer.weight))
    assert torch.allclose(layer(x), expected)


def test_original_dorefa_has_steps_one_scale_and_gradients_straight_through():
    layer = swapped(nn.Conv2d(3, 4, 3, bias=False), "dorefa", variant="original")
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    w = layer.weight.detach()
    expected = F.conv2d(torch.round(x.clamp(0, 1)), w.abs().mean() * torch.sign(w))
    assert torch.allclose(layer(x), expected)
    upstream = torch.randn_like(w)
    weight = (3 * w).requires_grad_()
    layer.weight_quantizer(weight).backward(upstream)
    assert torch.equal(weight.grad, upstream)


def test_an_unknown_variant_is_refused():
    for scheme in ("xnor", "dorefa"):
        with pytest.raises(ValueError, match="variant must be one of bibench, original, got 'paper'"):
            schemes.build(scheme, variant="paper")


@pytest.mark.parametrize("scheme", ["bnn", "xnor", "dorefa", "bireal", "xnor++", "react", "recu", "fda"])
def test_groups_dilation_and_bias_are_honoured_and_rows_may_be_sequences(scheme: str):
    layer = swapped(nn.Conv1d(4, 6, 3, dilation=2, groups=2), scheme).eval()
    x = torch.randn(2, 4, 9, dtype=torch.float64)
    codes, scale, *_ = layer.input_quantizer.encode(x)
    weights = layer.weight_quantizer.encode(layer.weight)
    sums = F.conv1d(codes, weights.codes, dilation=2, groups=2)
    expected = sums * (scale * weights.scale.reshape(-1, 1) if weights.scale.dim() else scale) + layer.bias.view(-1, 1)
    assert torch.allclose(layer(x), expected)
    rows = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    linear = swapped(nn.Linear(4, 3), scheme)
    linear(rows).sum().backward()
    assert torch.allclose(linear.eval()(rows)[1, 2], linear(rows[1, 2]))
