"""Layers, schemes and norms: channels of zeros, empty and single batches, maps that are too small, NaN in weights."""

from __future__ import annotations

import pytest
import torch
from tests.faults.values import INF, NAN, finite, gradients_finite
from torch import nn

import onebit
from onebit.nn import models, schemes
from onebit.nn.layers import Conv1d, Conv2d, Linear, TransformerEncoderLayer

LAYERS = {
    "conv2d": (Conv2d, (3,), (5, 6)),
    "conv1d": (Conv1d, (3,), (7,)),
    "linear": (Linear, (), ()),
}
every_scheme = pytest.mark.parametrize("scheme", list(schemes.registry))


def layer(kind: str, scheme: str):
    """A layer of bits, and a function that makes a batch for it."""
    make, more, size = LAYERS[kind]
    built = schemes.build(scheme)
    made = make(3, 4, *more, weight_quantizer=built.weight_quantizer, input_quantizer=built.input_quantizer)
    return made, lambda count: torch.randn(count, 3, *size, requires_grad=True)


@every_scheme
@pytest.mark.parametrize("kind", list(LAYERS))
@pytest.mark.parametrize("count", [0, 1])
def test_a_batch_of_none_and_of_one_goes_through_every_layer_and_back(kind, scheme, count):
    made, batch = layer(kind, scheme)
    for training in (True, False):
        made.train(training)
        x = batch(count)
        y = made(x)
        assert y.shape[:2] == (count, 4)
        y.sum().backward()
        assert finite(x.grad)
        assert gradients_finite(made)


@every_scheme
@pytest.mark.parametrize("kind", list(LAYERS))
def test_a_channel_of_zeros_gives_numbers_forward_and_backward(kind, scheme):
    made, batch = layer(kind, scheme)
    with torch.no_grad():
        made.weight[1] = 0
    for training in (True, False):
        made.train(training)
        x = batch(3)
        y = made(torch.cat([x, torch.zeros_like(x[:1])]))
        y.square().sum().backward()
        assert finite(y)
        assert finite(x.grad)
        assert gradients_finite(made)


@every_scheme
@pytest.mark.parametrize("value", [NAN, INF])
def test_a_bad_weight_reaches_its_own_channel_only_or_all_where_the_scale_is_one(scheme, value):
    made, batch = layer("conv2d", scheme)
    x = batch(2).detach()
    with torch.no_grad():
        before = made.eval()(x)
        made.weight[1, 0, 0, 0] = value
        after = made(x)
    others = [0, 2, 3]
    if scheme not in ("reste", "bitnet"):
        assert torch.equal(after[:, others], before[:, others])
    # without a scale from the weights, NaN is -1 and the rest as it was
    hidden = scheme in ("bnn", "biper", "xnor++", "recu")
    assert finite(after) == hidden


@pytest.mark.parametrize("size", [(0, 6), (2, 6), (6, 0), (6, 2)])
def test_a_map_smaller_than_the_kernel_is_named(size):
    axis = 2 if size[0] < 3 else 3
    with pytest.raises(ValueError, match=rf"x must have a size of at least 3 along axis {axis}, got \(2, 3, "):
        Conv2d(3, 4, 3)(torch.randn(2, 3, *size))
    with pytest.raises(ValueError, match="at least 5 along axis 2"):
        Conv1d(3, 4, 5)(torch.randn(2, 3, 4))
    assert Conv2d(3, 4, 3, padding=1)(torch.randn(2, 3, 1, 1)).shape == (2, 4, 1, 1)
    assert Conv1d(3, 4, 3, dilation=2, padding=2)(torch.randn(2, 3, 1)).shape == (2, 4, 1)


def mixed() -> nn.Sequential:
    """Convolutions, a linear layer after a ReLU, batch norms."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Hardtanh(),
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Flatten(),
        nn.Linear(128, 16), nn.ReLU(), nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Linear(16, 4),
    )  # fmt: skip


@every_scheme
def test_a_model_with_channels_of_zeros_is_quantized_and_trains(scheme):
    model, x = mixed(), torch.randn(5, 3, 4, 4)
    with torch.no_grad():
        for index in (0, 3, 6, 8):
            model[index].weight[0] = 0
    onebit.quantize_(model, scheme, example=x)
    for training in (True, False):
        model.train(training)
        y = model(x)
        y.square().sum().backward()
        assert finite(y)
        assert gradients_finite(model)
        assert all(finite(value) for value in model.state_dict().values() if value.is_floating_point())


@every_scheme
def test_quantize_keeps_a_nan_where_it_was_and_starts_nothing_from_it(scheme):
    model = mixed()
    with torch.no_grad():
        model[3].weight[0] = NAN
    before = [name for name, value in model.state_dict().items() if value.isnan().any()]
    onebit.quantize_(model, scheme, example=torch.randn(5, 3, 4, 4))
    assert [name for name, value in model.state_dict().items() if value.isnan().any()] == before == ["3.weight"]


def test_the_encoder_layer_takes_empty_batches_and_sequences_and_weights_of_zeros():
    layer = TransformerEncoderLayer(8, 2, 16, batch_first=True, weight_quantizer="xnor", input_quantizer="xnor")
    with torch.no_grad():
        layer.self_attn.in_proj_weight[:8] = 0
        layer.linear1.weight.zero_()
    for shape in ((0, 5, 8), (2, 0, 8), (1, 1, 8), (2, 3, 8)):
        for training in (True, False):
            x = torch.randn(shape, requires_grad=True)
            y = layer.train(training)(x)
            y.sum().backward()
            assert y.shape == shape
            assert finite(y)
            assert finite(x.grad)


@pytest.mark.parametrize(("name", "shape"), [("mlp", (64,)), ("convnet", (1, 8, 8)), ("resnet20", (3, 16, 16))])
def test_networks_in_evaluation_mode_take_a_batch_of_none_and_of_one(name, shape):
    sizes = {"mlp": {"in_features": 64, "num_classes": 10}, "convnet": {"num_classes": 10, "in_channels": 1}}
    more = {"convnet": {"width": 8, "stem_stride": 1}, "resnet20": {"width": 4}}
    model = models.build(name, **sizes.get(name, {}), **more.get(name, {}), scheme="biper").eval()
    x = torch.randn(3, *shape)
    assert model(x[:0]).shape == (0, 10)
    assert torch.allclose(model(x[:1]), model(x)[:1], atol=1e-5)


def test_a_batch_norm_refuses_to_train_on_a_single_value():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        nn.BatchNorm1d(4)(torch.randn(1, 4))
    assert finite(nn.BatchNorm2d(4)(torch.randn(1, 4, 2, 1)))
    constant = nn.BatchNorm1d(4)
    assert constant(torch.full((3, 4), 7.0)).abs().max() < 1e-3
    assert finite(constant.running_var)


def test_an_example_with_nan_does_not_show_that_an_input_is_never_negative():
    model = nn.Sequential(nn.Linear(3, 4), nn.Identity(), nn.Linear(4, 4), nn.Linear(4, 2))
    report = onebit.quantize_(model, "bnn", example=torch.full((2, 3), NAN))
    assert [row.non_negative for row in report.swapped] == [False]
