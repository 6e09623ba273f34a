"""Layers of bits: training, eval on codes, export, and what they share with PyTorch's layers."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

from onebit.nn import Conv1d, Conv2d, Linear, RPReLU, Shift, broadcast, penalty, schemes
from onebit.nn.layers import TransposedLinear
from onebit.nn.progress import Progress
from onebit.nn.quantizers import BinaryActivation, BinaryWeight, PeriodicWeight, Quantizer

SCHEMES = sorted(schemes.registry)
PAIRS = [*[(name, name) for name in SCHEMES], ("ternary", "step"), ("int8", "int8"), ("binary", None), (None, "sign")]


def make(kind: str, weight, activation, **settings) -> tuple[nn.Module, torch.Tensor]:
    quantizers = {"weight_quantizer": weight, "input_quantizer": activation, **settings}
    if kind == "linear":
        return Linear(24, 8, **quantizers), torch.randn(4, 3, 24)
    if kind == "conv1d":
        return Conv1d(8, 6, 3, stride=2, padding=1, groups=2, **quantizers), torch.randn(3, 8, 11)
    return Conv2d(8, 6, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(1, 2), **quantizers), torch.randn(3, 8, 7, 9)


@pytest.mark.parametrize("kind", ["linear", "conv1d", "conv2d"])
def test_without_quantizers_a_layer_is_pytorchs(kind: str):
    layer, x = make(kind, None, None)
    plain = {"linear": nn.Linear, "conv1d": nn.Conv1d, "conv2d": nn.Conv2d}[kind]
    assert isinstance(layer, plain)
    for training in (True, False):
        layer.train(training)
        assert torch.allclose(layer(x), plain.forward(layer, x), atol=1e-6)


@pytest.mark.parametrize("kind", ["linear", "conv1d", "conv2d"])
@pytest.mark.parametrize(("weight", "activation"), PAIRS)
def test_training_and_eval_agree_up_to_rounding(kind: str, weight, activation):
    layer, x = make(kind, weight, activation)
    layer(x)  # data-dependent starts
    if activation == "int8":
        layer.input_quantizer.eval()
    y = layer(x)
    assert torch.allclose(layer.eval()(x), y, atol=1e-4)


@pytest.mark.parametrize("kind", ["linear", "conv1d", "conv2d"])
@pytest.mark.parametrize(("weight", "activation"), PAIRS)
def test_in_training_gradients_reach_weight_bias_input_and_quantizers(kind: str, weight, activation):
    layer, x = make(kind, weight, activation)
    x.requires_grad_()
    layer(x).square().sum().backward()
    assert x.grad.abs().sum() > 0
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("kind", ["linear", "conv1d", "conv2d"])
def test_eval_is_the_integer_sum_times_the_scale_plus_the_bias_exactly(kind: str):
    layer, x = make(kind, "xnor", "xnor")
    layer.eval()
    left, right = layer.input_quantizer.encode(x), layer.weight_quantizer.encode(layer.weight)
    sums = layer.product(left.codes.long().double(), right.codes.long().double())
    assert torch.equal(sums, sums.round())
    shape = [-1, *[1] * layer.spatial]
    expected = sums.float() * (left.scale * right.scale.reshape(shape)) + layer.bias.view(shape)
    assert torch.equal(layer(x), expected)


def test_sums_that_are_zero_stay_zero_in_eval_where_dequantized_ones_round():
    layer = Conv2d(64, 64, 3, padding=1, bias=False, weight_quantizer="xnor", input_quantizer="xnor").eval()
    x = torch.randn(2, 64, 9, 9)
    sums = layer.product(layer.input_quantizer.encode(x).codes, layer.weight_quantizer.encode(layer.weight).codes)
    zeros = sums == 0
    assert zeros.sum() > 100
    assert (layer(x)[zeros] == 0).all()
    dequantized = layer.product(layer.input_quantizer(x), layer.weight_quantizer(layer.weight))
    assert (dequantized[zeros] != 0).any()  # what eval mode avoids


def test_eval_stays_exact_under_autocast_and_in_half_precision():
    layer = Conv2d(64, 8, 3, weight_quantizer="bnn", input_quantizer="sign", bias=False).eval()
    x = torch.randn(2, 64, 9, 9)
    x[:, :, :4] = 1
    with torch.no_grad():
        layer.weight[0].abs_()
    expected = layer(x)
    assert expected.max() > 300  # beyond 256, where bfloat16 counts in steps of 2
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), expected)
    half = copy.deepcopy(layer).bfloat16()
    with torch.no_grad():
        half.weight.copy_(torch.sign(layer.weight))
    assert torch.equal(half(x.bfloat16()), expected.bfloat16())  # rounded once, after the sum


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_exported_network_is_the_eval_network_bit_for_bit(scheme: str):
    made = schemes.build(scheme)
    quantizers = [
        {"weight_quantizer": made.weight_quantizer(), "input_quantizer": made.input_quantizer()} for _ in range(3)
    ]
    model = nn.Sequential(
        Conv2d(3, 4, 3, padding=1, **quantizers[0]),
        nn.BatchNorm2d(4),
        Conv2d(4, 4, 3, stride=2, groups=2, padding="valid", bias=False, **quantizers[1]),
        nn.Flatten(),
        Linear(36, 5, **quantizers[2]),
    )
    x = torch.randn(4, 3, 8, 8)
    model(x)
    model.eval()
    with torch.no_grad():
        program = torch.export.export(model, (x,), dynamic_shapes=({0: Dim("batch")},)).run_decompositions({})
        other = torch.randn(7, 3, 8, 8)
        assert torch.equal(program.module()(other), model(other))
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    made_codes = "quantize" if scheme == "bitnet" else "sign"
    assert {"onebit.conv.default", "onebit.linear.default", f"onebit.{made_codes}.default"} <= targets


def test_integer_layers_export_the_quantize_operator():
    layer = Linear(6, 3, weight_quantizer="int8", input_quantizer="int8")
    x = torch.randn(4, 6)
    layer(x)
    layer.eval()
    with torch.no_grad():
        program = torch.export.export(layer, (x,)).run_decompositions({})
        assert torch.equal(program.module()(x), layer(x))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets.count("onebit.quantize.default") == 2


# the numbers of BiBench's sheet: one dot product as a convolution with one tap

X = torch.tensor([-1.5, -0.4, 0.3, 1.2]).view(1, 4, 1)
W = torch.tensor([0.5, -0.2, 0.8, 1.1]).view(1, 4, 1)


def dot(scheme: str, shift: list[float] | None = None) -> tuple[float, list[float], list[float]]:
    layer = Conv1d(4, 1, 1, bias=False, weight_quantizer=scheme, input_quantizer=scheme)
    with torch.no_grad():
        layer.weight.copy_(W)
        if shift is not None:
            layer.input_quantizer.shift.copy_(torch.tensor(shift))
    x = X.clone().requires_grad_()
    y = layer(x)
    y.backward()
    assert torch.allclose(layer.eval()(X), y)
    return y.item(), x.grad.flatten().tolist(), layer.weight.grad.flatten().tolist()


def test_bibench_dot_products_and_gradients():
    y, dx, dw = dot("bnn")
    assert (y, dx, dw) == (2, [0, -1, 1, 0], [-1, -1, 1, 0])
    y, dx, dw = dot("dorefa")
    assert y == pytest.approx(1.3)
    assert dx == pytest.approx([0, -0.65, 0.65, 0])
    assert dw == pytest.approx([-1, -1, 1, 0])
    y, dx, dw = dot("bireal")
    assert y == pytest.approx(1.3)
    assert dx == pytest.approx([0, -0.78, 0.91, 0])
    y, dx, dw = dot("xnor")
    assert y == pytest.approx(1.105)
    assert dw == pytest.approx([-0.85, -0.85, 0.85, 0])
    assert dot("react", [0.5, 0, -0.5, 0])[0] == pytest.approx(0)
    assert dot("react")[:2] == dot("bireal")[:2]


def test_bibench_invariances():
    x, weight = torch.randn(5, 16), torch.randn(8, 16)

    def output(scheme: str, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        layer = Linear(16, 8, bias=False, weight_quantizer=scheme, input_quantizer=scheme).eval()
        with torch.no_grad():
            layer.weight.copy_(weight)
            return layer(x)

    assert torch.equal(output("bnn", x, 4 * weight), output("bnn", x, weight))
    assert torch.equal(output("dorefa", x, 4 * weight), 4 * output("dorefa", x, weight))
    assert torch.equal(output("xnor", 4 * x, weight), 4 * output("xnor", x, weight))


# BiPer's sheet


def test_biper_training_and_eval_have_the_same_value_and_other_input_gradients():
    layer = Conv2d(3, 4, 3, weight_quantizer=PeriodicWeight(scale="none"), input_quantizer="biper")
    x = (3 * torch.randn(2, 3, 6, 6)).requires_grad_()
    y = layer(x)
    (in_training,) = torch.autograd.grad(y.square().sum(), x)
    z = layer.eval()(x)
    (in_eval,) = torch.autograd.grad(z.square().sum(), x)
    assert torch.equal(y, z)
    assert not torch.allclose(in_training, in_eval)


# padding


@pytest.mark.parametrize("pad_value", [-1, 0, 1])
@pytest.mark.parametrize("padding", [1, (2, 1), "same"])
def test_padding_reads_the_pad_value_in_every_mode(pad_value: int, padding):
    layer = Conv2d(3, 4, (3, 4), padding=padding, pad_value=pad_value, weight_quantizer="bnn", input_quantizer="sign")
    x = torch.randn(2, 3, 6, 6)
    left, right, top, bottom = layer._reversed_padding_repeated_twice
    padded = F.pad(torch.where(x >= 0, 1.0, -1.0), (left, right, top, bottom), value=float(pad_value))
    expected = F.conv2d(padded, torch.where(layer.weight >= 0, 1.0, -1.0)) + layer.bias.view(-1, 1, 1)
    assert torch.equal(layer(x), expected)
    assert torch.equal(layer.eval()(x), expected)
    with torch.no_grad():
        assert torch.equal(torch.export.export(layer, (x,)).module()(x), expected)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_other_padding_modes_pad_the_codes(mode: str):
    layer = Conv2d(3, 4, 3, padding=1, padding_mode=mode, weight_quantizer="bnn", input_quantizer="sign", bias=False)
    x = torch.randn(2, 3, 6, 6)
    expected = F.conv2d(F.pad(torch.sign(x), (1, 1, 1, 1), mode=mode), torch.sign(layer.weight))
    assert torch.equal(layer(x), expected)
    assert torch.equal(layer.eval()(x), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pad_value": 2}, "pad_value must be -1, 0 or 1, got 2"),
        ({"pad_value": 1, "padding_mode": "reflect"}, "pad_value 1 needs padding_mode='zeros', got 'reflect'"),
        ({"pad_value": 1, "input_quantizer": "xnor"}, "pad_value 1 needs an input quantizer without a scale"),
    ],
)
def test_a_pad_value_that_cannot_be_is_refused(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Conv2d(3, 4, 3, padding=1, **settings)


def test_a_wrong_number_of_channels_names_both_numbers():
    with pytest.raises(ValueError, match="x must have 3 channels, got 5"):
        Conv2d(3, 4, 3)(torch.zeros(1, 5, 8, 8))
    with pytest.raises(ValueError, match=r"x must have shape \(N, C, H, W\), got \(3, 8, 8\)"):
        Conv2d(3, 4, 3)(torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="x must have 3 channels, got 5"):
        Linear(3, 4)(torch.zeros(2, 5))


def test_unknown_quantizer_names_are_key_errors():
    with pytest.raises(KeyError, match="unknown weight quantizer"):
        Linear(3, 4, weight_quantizer="nope")
    with pytest.raises(KeyError, match="unknown activation quantizer"):
        Conv1d(3, 4, 1, input_quantizer="nope")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_empty_batch_goes_through(scheme: str):
    layer = Conv2d(3, 4, 3, weight_quantizer=scheme, input_quantizer=scheme)
    for training in (True, False):
        assert layer.train(training)(torch.zeros(0, 3, 5, 5)).shape == (0, 4, 3, 3)


# what composes


def test_a_parametrization_comes_before_the_quantizer():
    class Centre(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight - weight.mean()

    layer = Linear(6, 4, bias=False, weight_quantizer="bnn", input_quantizer=None)
    with torch.no_grad():
        layer.weight.add_(5)
    x = torch.randn(2, 6)
    assert torch.allclose(layer(x), x.sum(-1, keepdim=True).expand(2, 4), atol=1e-6)
    nn.utils.parametrize.register_parametrization(layer, "weight", Centre())
    original = layer.parametrizations.weight.original
    expected = F.linear(x, torch.where(original - original.mean() >= 0, 1.0, -1.0))
    assert torch.equal(layer(x), expected)


def test_a_quantizer_object_is_used_itself():
    quantizer = BinaryWeight("swish")
    assert Linear(3, 4, weight_quantizer=quantizer).weight_quantizer is quantizer


def test_an_output_module_comes_before_the_bias():
    class Double(nn.Module):
        def forward(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return 2 * y

    plain = Linear(6, 4, weight_quantizer="bnn", input_quantizer="sign")
    x = torch.randn(2, 6)
    expected = 2 * (plain(x) - plain.bias) + plain.bias
    plain.output = Double()
    assert torch.allclose(plain(x), expected)


def test_a_float_state_dict_fits_a_layer_of_bits():
    plain, layer = nn.Conv2d(3, 4, 3), Conv2d(3, 4, 3, weight_quantizer="biper", input_quantizer="react")
    alpha = layer.weight_quantizer.alpha.detach().clone()
    layer.load_state_dict(plain.state_dict())
    assert torch.equal(layer.weight, plain.weight)
    assert torch.equal(layer.weight_quantizer.alpha, alpha)
    model = nn.ModuleDict({"a": layer})
    model.load_state_dict(nn.ModuleDict({"a": plain}).state_dict())


def test_a_state_dict_of_bits_that_misses_one_entry_is_refused():
    layer = Conv2d(3, 4, 3, weight_quantizer="biper", input_quantizer="react")
    state = layer.state_dict()
    del state["weight_quantizer.alpha"]
    with pytest.raises(RuntimeError, match=r"weight_quantizer\.alpha"):
        layer.load_state_dict(state)


def test_a_layer_can_be_copied():
    layer = Conv2d(3, 4, 3, weight_quantizer="biper", input_quantizer="react")
    x = torch.randn(2, 3, 5, 5)
    other = copy.deepcopy(layer)
    assert torch.equal(other(x), layer(x))
    assert other.weight_quantizer.alpha is not layer.weight_quantizer.alpha


def test_layers_compile_without_a_graph_break():
    torch._dynamo.reset()
    model = nn.Sequential(
        Conv2d(3, 4, 3, weight_quantizer="biper", input_quantizer=BinaryActivation(shift="centred")),
        nn.Flatten(),
        Linear(36, 2, weight_quantizer="reste", input_quantizer="react"),
    )
    x = torch.randn(2, 3, 5, 5)
    model(x)
    for training in (True, False):
        compiled = torch.compile(model.train(training), backend="aot_eager", fullgraph=True)
        assert torch.allclose(compiled(x), model(x), atol=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_stays_behind_on_another_device(scheme: str):
    made = schemes.build(scheme)
    model = nn.Sequential(
        Conv2d(3, 4, 3, weight_quantizer=made.weight_quantizer(), input_quantizer=made.input_quantizer(True)),
        nn.Flatten(),
        Linear(36, 2, weight_quantizer=made.weight_quantizer(), input_quantizer=made.input_quantizer()),
    ).to("meta")
    for training in (True, False):
        y = model.train(training)(torch.empty(2, 3, 5, 5, device="meta"))
        assert y.device.type == "meta"
        y.sum().backward()


def test_a_vmapped_ensemble_of_layers_has_right_gradients():
    members = [Linear(6, 3, weight_quantizer="reste", input_quantizer="reste") for _ in range(3)]
    for index, member in enumerate(members):
        broadcast(member, Progress(index, 2, index, 2))
    parameters, buffers = torch.func.stack_module_state(members)
    x = torch.randn(5, 6)

    def loss(parameters: dict, buffers: dict) -> torch.Tensor:
        return torch.func.functional_call(members[0], (parameters, buffers), (x,)).square().sum()

    gradients = torch.func.vmap(torch.func.grad(loss))(parameters, buffers)
    for index, member in enumerate(members):
        member(x).square().sum().backward()
        for name, parameter in member.named_parameters():
            assert torch.allclose(gradients[name][index], parameter.grad, rtol=1e-4, atol=1e-5), name


# progress and penalty


def test_broadcast_tells_every_module_once_and_penalty_sums_over_layers():
    calls = []

    class Listener(nn.Module):
        def on_progress(self, progress: Progress) -> None:
            calls.append(progress)

    shared = Listener()
    model = nn.ModuleList(
        [shared, shared, Linear(4, 3, weight_quantizer=PeriodicWeight(sine_penalty=0.1)), Linear(3, 2), nn.ReLU()]
    )
    broadcast(model, Progress(1, 2, 0, 1))
    assert len(calls) == 1
    assert torch.allclose(penalty(model), 0.1 * torch.sin(20 * model[2].weight).square().mean())
    assert penalty(nn.Linear(2, 2)) == 0
    penalty(model).backward()
    assert model[2].weight.grad.abs().sum() > 0


def test_a_quantizer_of_ones_own_needs_only_encode():
    class Halves(Quantizer):
        def encode(self, x: torch.Tensor):
            from onebit.nn.quantizers import Encoded

            return Encoded((2 * x).round() + 3, x.new_tensor(0.5), 3)

    layer = Linear(4, 2, bias=False, weight_quantizer=Halves(), input_quantizer=Halves()).eval()
    x = torch.randn(3, 4)
    assert torch.equal(layer(x), F.linear((2 * x).round(), (2 * layer.weight).round()) * 0.25)
    with pytest.raises(TypeError, match="does not define encode"):
        Quantizer().encode(x)


def test_levels_are_looked_up():
    class Codebook(Quantizer):
        def encode(self, x: torch.Tensor):
            from onebit.nn.quantizers import Encoded

            return Encoded((x > 0).float(), x.new_tensor(2.0), 0, torch.tensor([-3.0, 5.0]))

    x = torch.tensor([[-1.0, 2.0]])
    assert Codebook()(x).tolist() == [[-6, 10]]
    layer = Linear(2, 1, bias=False, weight_quantizer=None, input_quantizer=Codebook())
    assert torch.allclose(layer.eval()(x), layer.train()(x))


# activations of ReActNet, transposed linear


@pytest.mark.parametrize("channel_dim", [1, -1])
def test_rprelu_is_a_shifted_prelu(channel_dim: int):
    layer = RPReLU(4, channel_dim)
    x = torch.randn(3, 4, 5) if channel_dim == 1 else torch.randn(3, 5, 4)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(4))
    shape = (4, 1) if channel_dim == 1 else (4,)
    z = x - layer.before.view(shape)
    expected = torch.where(z > 0, z, z * layer.slope.view(shape)) + layer.after.view(shape)
    assert torch.equal(layer(x), expected)
    assert torch.equal(Shift(4, channel_dim)(x), x)


def test_a_transposed_linear_layer_is_a_linear_layer_with_the_transposed_weight():
    class Conv1D(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.nf, self.weight, self.bias = 3, nn.Parameter(torch.randn(5, 3)), nn.Parameter(torch.randn(3))

    float_layer = Conv1D()
    layer = TransposedLinear.from_float(float_layer, "xnor", "xnor")
    plain = Linear(5, 3, weight_quantizer="xnor", input_quantizer="xnor")
    with torch.no_grad():
        plain.weight.copy_(float_layer.weight.t())
        plain.bias.copy_(float_layer.bias)
    x = torch.randn(2, 4, 5)
    assert layer.weight is float_layer.weight
    assert torch.allclose(layer(x), plain(x), atol=1e-6)
    assert torch.allclose(layer.eval()(x), plain.eval()(x), atol=1e-6)
