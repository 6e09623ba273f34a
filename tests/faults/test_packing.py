"""Packing: numbers that are none are refused by name, channels of zeros are packed bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.faults.values import DENORMAL, INF, NAN, same_bits
from torch import nn

from onebit import capture, deploy, ir, runtime
from onebit.ir import passes
from onebit.nn import layers
from onebit.nn.quantizers import UniformActivation

# Weights and activations of the two layers of bits of a network: all that differ.
BOTH = [
    (("bnn", "sign"), ("binary-tensor", "xnor")),
    (("binary", "react"), ("ternary", "int8")),
    (("reste", "sign"), ("biper", "step")),
    (("biper", "biper"), ("int8", "int8")),
    (("int8", "uint8"), ("ternary", "sign")),
]


def network(*both: tuple[str, str]) -> nn.Sequential:
    first, second = (
        {"weight_quantizer": weight, "input_quantizer": activation}
        for weight, activation in (both or (("binary", "sign"),) * 2)
    )
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), layers.Conv2d(6, 6, 3, padding=1, **first), nn.BatchNorm2d(6), nn.Hardtanh(),
        layers.Conv2d(6, 6, 3, **second), nn.Flatten(), nn.Linear(24, 3),
    )  # fmt: skip


@pytest.mark.parametrize("both", BOTH, ids=lambda both: "+".join("-".join(pair) for pair in both))
def test_channels_of_zeros_and_denormals_are_packed_bit_for_bit(both, tmp_path):
    model = network(*both)
    with torch.no_grad():
        for layer, name, channel in ((0, "weight", 0), (0, "bias", 0), (1, "weight", 2), (2, "weight", 1)):
            getattr(model[layer], name)[channel] = 0
        model[4].weight[3] = 0
        model[4].weight[4] = DENORMAL
        model(torch.randn(4, 2, 4, 4))  # starts what starts from data
        model[2].running_var[5] = 0
    x = torch.randn(3, 2, 4, 4)
    x[0] = 0
    report = deploy.pack(model, x[:2], tmp_path / "f.onebit", samples=x)
    assert report.comparison.predictions_differ == 0
    assert report.comparison.bits_differ == 0
    graph = ir.load(tmp_path / "f.onebit")
    (wanted,), _ = graph.run(x.numpy())
    assert np.isfinite(wanted).all()
    for isa in runtime.available_isas():
        assert same_bits(runtime.load(tmp_path / "f.onebit", isa=isa).run(x.numpy()), wanted)
    model.eval()
    assert np.allclose(wanted, model(x).detach().numpy(), atol=1e-4)


def spoil(name: str, value: float) -> nn.Sequential:
    """A network one tensor of which holds ``value``."""
    model = network(("biper", "react"), ("biper", "react"))
    model(torch.randn(4, 2, 4, 4))
    with torch.no_grad():
        model.state_dict()[name].view(-1)[0] = value
    return model


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize(
    "name",
    [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.weight_quantizer.alpha",
        "1.input_quantizer.shift",
        "2.running_mean",
        "2.running_var",
        "6.bias",
    ],
)
def test_a_number_that_is_none_is_refused_with_its_name_and_no_file_is_left(name, value, tmp_path):
    with pytest.raises(ValueError, match=rf"^{name} holds {value} \(1 of \d+\): only finite numbers can be packed"):
        deploy.pack(spoil(name, value), torch.randn(2, 2, 4, 4), tmp_path / "f.onebit")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_scale_of_activations_that_is_no_number_is_refused(value, tmp_path):
    model = nn.Sequential(layers.Linear(3, 2, input_quantizer=UniformActivation(), weight_quantizer="int8"))
    model[0].input_quantizer.step.fill_(value)
    with pytest.raises(ValueError, match=r"0\.input_quantizer\.step holds (nan|inf)"):
        deploy.pack(model, torch.randn(2, 3), tmp_path / "f.onebit")


def test_a_fold_that_gives_no_number_is_refused_with_its_module(tmp_path):
    model = network()
    model[2].running_var.fill_(-1)
    with pytest.raises(ValueError, match=r"batch_norm in module '2' is not finite"):
        deploy.pack(model, torch.randn(2, 2, 4, 4), tmp_path / "f.onebit")
    huge = nn.Sequential(layers.Linear(4, 4, weight_quantizer="binary"))
    huge[0].weight.data.fill_(3e38)  # their mean leaves float32
    with pytest.raises(ValueError, match=r"the constant of mul in module '0' is not finite"):
        deploy.pack(huge, torch.randn(2, 4), tmp_path / "f.onebit")
    assert list(tmp_path.iterdir()) == []


def test_samples_with_nan_are_compared_and_equal_nan_is_no_difference(tmp_path):
    model = nn.Sequential(nn.Linear(4, 3))
    samples = torch.randn(5, 4)
    samples[1, 2], samples[3, 0] = NAN, INF
    compared = deploy.pack(model, samples[:2], tmp_path / "f.onebit", samples=samples).comparison
    assert compared.samples == 5
    assert compared.predictions_differ == 0
    assert np.isfinite(compared.largest_difference)
    assert runtime.load(tmp_path / "f.onebit").predict(samples.numpy()).shape == (5,)


def test_no_pass_divides_by_a_scale_of_zero_or_loses_a_nan_of_the_input():
    model = network(("xnor", "sign"), ("xnor", "sign")).eval()
    with torch.no_grad():
        model[2].weight.zero_()
        model[1].weight.zero_()
    graph = capture.from_torch(model, (torch.randn(2, 2, 4, 4),))
    x = np.float32([NAN, INF, -INF, 0.5])[:, None, None, None] * np.ones((4, 2, 4, 4), np.float32)
    (before,), _ = graph.run(x)
    (after,), _ = passes.optimize(graph).run(x)
    assert np.allclose(before, after, atol=1e-5, equal_nan=True)
