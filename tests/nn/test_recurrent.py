"""Recurrent layers of bits: PyTorch's without quantizers, products of signs with them; swapped, trained, saved."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from onebit.nn import GRU, LSTM, RNN, Progress, broadcast, layers, models, penalty, quantize_, schemes
from onebit.nn.quantizers import PeriodicWeight

FLOAT = {"weight_quantizer": None, "input_quantizer": None}
PAIRS = [(LSTM, nn.LSTM), (GRU, nn.GRU), (RNN, nn.RNN)]
KINDS = [cls for cls, _ in PAIRS]


def largest(a, b) -> float:
    a, b = ((y, *(s if isinstance(s, tuple) else (s,))) for y, s in (a, b))
    assert [x.shape for x in a] == [x.shape for x in b]
    return max(float((x - y).detach().abs().max()) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_layers": 2, "bidirectional": True},
        {"batch_first": True, "bias": False},
        {"num_layers": 2, "dropout": 0.5},
        {"proj_size": 3, "bidirectional": True},
        {"nonlinearity": "relu"},
    ],
)
@pytest.mark.parametrize(("cls", "plain"), PAIRS)
def test_step_by_step_without_quantizers_a_layer_is_pytorchs(cls, plain, settings):
    if ("proj_size" in settings and cls is not LSTM) or ("nonlinearity" in settings and cls is not RNN):
        pytest.skip("PyTorch's has no such argument")
    layer = cls(5, 6, **settings, **FLOAT).double().eval()
    other = plain(5, 6, **settings).double().eval()
    other.load_state_dict(layer.state_dict())
    x = torch.randn(4, 3, 5, dtype=torch.float64)
    state = other(x)[1]
    for given in (None, state):
        assert largest(layer.unrolled(x, given), other(x, given)) < 1e-12
        assert largest(layer(x, given), other(x, given)) == 0
    assert largest(layer.unrolled(x[:, 0]), other(x[:, 0])) < 1e-12


@pytest.mark.parametrize("cls", KINDS)
def test_every_product_is_of_the_signs_of_weight_input_and_state(cls):
    layer = cls(5, 6, batch_first=True, weight_quantizer="bnn", input_quantizer="sign").double()
    plain = cls(5, 6, batch_first=True, **FLOAT).double()
    plain.load_state_dict({name: value for name, value in layer.state_dict().items() if "quantizer" not in name})
    with torch.no_grad():
        for name, weight in plain.weights().items():
            weight.copy_(torch.where(layer.weights()[name] >= 0, 1.0, -1.0))
    x = torch.randn(2, 4, 5, dtype=torch.float64)
    state = tuple(torch.zeros(1, 2, 6, dtype=torch.float64) for _ in range(2 if cls is LSTM else 1))
    outputs = []
    for t in range(4):
        # one step of PyTorch's layer at a time, whose state is replaced by its signs where it is multiplied
        signs = torch.where(state[0] >= 0, 1.0, -1.0).double()
        gates = torch.where(x[:, t] >= 0, 1.0, -1.0).double() @ plain.weight_ih_l0.T + plain.bias_ih_l0
        state = layer.step(gates, signs[0] @ plain.weight_hh_l0.T + plain.bias_hh_l0, tuple(s[0] for s in state))
        state = tuple(s.unsqueeze(0) for s in state)
        outputs.append(state[0][0])
    for training in (True, False):
        assert torch.allclose(layer.train(training)(x)[0], torch.stack(outputs, 1), atol=1e-12)


@pytest.mark.parametrize("scheme", sorted(schemes.registry))
@pytest.mark.parametrize("cls", KINDS)
def test_gradients_reach_every_weight_and_quantizer_and_eval_agrees_with_training(cls, scheme):
    made = schemes.build(scheme)
    layer = cls(6, 8, 2, batch_first=True, weight_quantizer=lambda: made.weight_quantizer(True),
                input_quantizer=lambda: made.input_quantizer(linear=True))  # fmt: skip
    x = torch.randn(3, 4, 6, requires_grad=True)
    y, _ = layer(x)
    y.square().sum().backward()
    assert x.grad.abs().sum() > 0
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert all(weight.grad.abs().sum() > 0 for weight in layer.weights().values())
    # a state close to 0 may have another sign where rounding differs: few do
    assert ((layer.eval()(x)[0] - y).abs() > 1e-4).float().mean() < 0.05


def test_the_signs_of_a_relu_state_are_shifted_and_those_of_the_input_are_not():
    layer = RNN(5, 6, nonlinearity="relu", weight_quantizer="bnn", input_quantizer="sign")
    assert layer.input_quantizers["ih_l0"].shift is None
    assert layer.input_quantizers["hh_l0"].shift.tolist() == [-0.5] * 6
    layer(torch.randn(4, 3, 5))
    assert layer.input_quantizers["hh_l0"].shift.tolist() == [-0.5] * 6  # the state of zeros starts nothing


def test_quantize_swaps_recurrent_layers_and_keeps_parameters_stem_and_head():
    model = nn.ModuleDict({"stem": nn.Linear(4, 6), "cell": nn.LSTM(6, 6, 2), "head": nn.Linear(6, 3)})
    before = dict(model.named_parameters())
    report = quantize_(model, "recu")
    assert [(row.path, row.swapped) for row in report.rows] == [("stem", False), ("cell", True), ("head", False)]
    assert isinstance(model["cell"], LSTM)
    assert all(dict(model.named_parameters())[name] is parameter for name, parameter in before.items())
    assert "cell.weight_quantizers.ih_l0.alpha" in report.new_parameters
    assert [row.why for row in quantize_(model, "bnn").rows if row.path == "cell"] == ["of bits already"]


def test_schedules_and_regularisers_reach_recurrent_layers():
    layer = LSTM(4, 5, weight_quantizer=lambda: PeriodicWeight(sine_penalty=0.5), input_quantizer="fda")
    expected = sum(0.5 * torch.sin(20 * weight).square().mean() for weight in layer.weights().values())
    assert torch.allclose(penalty(layer), expected)
    broadcast(layer, Progress(0, 10, 0, 10))
    assert all(q.adaptation.amount > 0.09 for q in layer.input_quantizers.values())


@pytest.mark.parametrize(
    ("x", "hx", "message"),
    [
        (torch.zeros(2, 3, 4), None, r"input must be \(T, N, 5\) or \(T, 5\), got \(2, 3, 4\)"),
        (torch.zeros(0, 3, 5), None, "input must have at least one step"),
        (torch.zeros(2, 3, 5), torch.zeros(1, 2, 6), r"hx must be \(1, 3, 6\), got \(1, 2, 6\)"),
        (nn.utils.rnn.pack_sequence([torch.zeros(2, 5)]), None, "takes padded sequences"),
    ],
)
def test_what_does_not_fit_is_named(x, hx, message: str):
    with pytest.raises(ValueError, match=message):
        GRU(5, 6)(x, hx)


@pytest.mark.parametrize("name", ["lstm-classifier", "gru-classifier", "rnn-classifier"])
def test_a_classifier_takes_frames_and_images_row_by_row(name: str):
    model = models.build(name, frame_features=6, width=4, num_classes=3, bidirectional=True, scheme="bnn").eval()
    images = torch.randn(2, 2, 5, 3)
    rows = torch.stack([images[:, :, row].flatten(1) for row in range(5)], 1)
    assert torch.equal(model(images), model(rows))
    with pytest.raises(ValueError, match=r"x must be frames \(N, T, 6\) or images, got \(2, 5, 7\)"):
        model(torch.zeros(2, 5, 7))


def test_a_classifier_of_tokens_learns_which_token_came_first():
    torch.manual_seed(0)
    model = models.build("gru-classifier", num_tokens=4, width=24, num_classes=4, scheme="bireal")
    tokens = torch.randint(4, (64, 3))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(tokens), tokens[:, 0]).backward()
        optimizer.step()
    assert (model.eval()(tokens).argmax(-1) == tokens[:, 0]).float().mean() > 0.9


def test_the_float_twin_can_be_quantized_saved_and_read_again(tmp_path):
    import onebit

    model = models.build("lstm-classifier", frame_features=3, width=4, num_classes=2)
    assert isinstance(model.recurrent, layers.LSTM)
    assert "recurrent" in [row.path for row in quantize_(model, "xnor++").swapped]
    x = torch.randn(2, 5, 3)
    onebit.save(model, tmp_path / "model.safetensors")
    assert torch.equal(onebit.load(tmp_path / "model.safetensors")(x), model.eval()(x))
