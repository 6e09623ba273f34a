"""The networks of the house as graphs: float, and in bits by every scheme."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import onebit.nn
from onebit import capture, ir
from onebit.nn import models, schemes

SMALL = {
    "mlp": ({"in_features": 20, "width": 16}, (20,)),
    "convnet": ({"width": 8, "depth": 3, "downsample": (1,), "widen": 2, "activation": "rprelu"}, (1, 9, 9)),
    "vgg-small": ({"width": 8, "image_size": 8}, (3, 8, 8)),
    "resnet20": ({"width": 2}, (3, 9, 9)),
    "resnet18": ({"width": 2, "num_classes": 10}, (3, 33, 33)),
    "pokebnn": ({"blocks": (1, 1), "channels": (8, 16), "num_classes": 10}, (3, 17, 18)),
    "quicknet": ({"width": 4, "num_classes": 10}, (3, 33, 33)),
    "pointnet": ({"width": 8, "features": 16}, (3, 9)),
    "vit": ({"image_size": 8, "width": 16}, (1, 8, 8)),
    "dfsmn": ({"frame_features": 6, "hidden": 16, "memory": 8, "depth": 2, "ahead": 1}, (9, 6)),
    "lstm-classifier": ({"frame_features": 6, "width": 8, "depth": 2, "bidirectional": True}, (3, 6)),
}
EVERY_SCHEME = ("mlp", "convnet")
CASES = [
    (name, scheme)
    for name in SMALL
    for scheme in (None, *schemes.registry)
    if name in EVERY_SCHEME or scheme in (None, "react")
]


def settled(model: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """``model`` as after some training: statistics seen, norms that are no identity."""
    for part in model.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(part.weight, 1.0, 0.5)
            nn.init.normal_(part.bias)
    with torch.no_grad():
        for _ in range(2):
            model.train()(torch.randn(8, *shape))
    return model


def run(graph: ir.Graph, *arrays: torch.Tensor) -> np.ndarray:
    (got,), _ = graph.run(*[array.numpy() for array in arrays])
    return got


@pytest.mark.parametrize(("name", "scheme"), CASES)
def test_the_graph_of_a_model_gives_what_the_model_gives(name, scheme):
    sizes, shape = SMALL[name]
    model = settled(models.build(name, scheme=scheme, **sizes), shape)
    graph = capture.from_torch(model, torch.zeros(1, *shape))
    x = torch.randn(3, *shape)
    with torch.no_grad():
        want = model.eval()(x)
    np.testing.assert_allclose(run(graph, x), want.numpy(), rtol=1e-5, atol=1e-5)
    weights = {node.inputs[1] for node in graph.nodes if node.kind in ("conv", "linear")}
    quantized = sum(isinstance(module, onebit.nn.layers.Quantized) for module in model.modules())
    recurrent = [module for module in model.modules() if isinstance(module, onebit.nn.layers.Recurrent)]
    quantized += sum(len(module.weight_quantizers) for module in recurrent)
    assert len(graph.bits | graph.trits) == quantized
    assert sum(graph.tensors[name].dtype == np.float32 for name in weights) == len(weights) - quantized


@pytest.mark.parametrize("name", ["mlp", "vgg-small"])
def test_with_an_int8_stem_and_head_the_graph_is_exact(name):
    sizes, shape = SMALL[name]
    model = settled(models.build(name, scheme="bnn", stem="int8", head="int8", **sizes), shape)
    for part in model.modules():  # norms that only multiply by powers of two, so that float rounding plays no part
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.zero_(), part.running_var.fill_(1 - part.eps)
            part.weight.data.fill_(0.25), part.bias.data.fill_(0.5)
    graph = capture.from_torch(model, torch.zeros(1, *shape))
    x = torch.randn(3, *shape)
    with torch.no_grad():
        np.testing.assert_array_equal(run(graph, x), model.eval()(x).numpy())


class Padded(nn.Module):
    def __init__(self, pad_value: int, weight: str, **settings) -> None:
        super().__init__()
        self.conv = onebit.nn.layers.Conv2d(
            4,
            6,
            3,
            padding=1,
            bias=False,
            pad_value=pad_value,
            weight_quantizer=weight,
            input_quantizer="sign",
            **settings,
        )

    def forward(self, x):
        return self.conv(x)


def test_integers_with_a_scale_for_each_token_are_read_off_the_input():
    layer = onebit.nn.Linear(40, 7, bias=False, weight_quantizer="absmean", input_quantizer="absmax").eval()
    x = torch.cat([torch.randn(3, 40) * torch.tensor([[1e-3], [1.0], [1e3]]), torch.zeros(1, 40)])
    graph = ir.passes.optimize(capture.from_torch(layer, x))
    kinds = [node.kind for node in graph.nodes if node.kind != "reshape"]
    assert kinds == ["abs", "reduce", "max", "div", "div", "quantize", "linear", "mul", "cast", "mul"]
    linear = next(node for node in graph.nodes if node.kind == "linear")
    assert [graph.types()[name].dtype for name in linear.inputs] == ["int8", "ternary"]
    (found,), _ = graph.run(x.numpy())
    assert np.array_equal(found, layer(x).detach().numpy())
    assert not found[3].any()


@pytest.mark.parametrize("pad_value", [-1, 0, 1])
@pytest.mark.parametrize("weight", ["bnn", "ternary", "int8"])
@pytest.mark.parametrize("settings", [{}, {"groups": 2, "stride": 2, "dilation": (1, 2)}])
def test_sums_of_codes_are_exact_whatever_pads_them(pad_value, weight, settings):
    model = Padded(pad_value, weight, **settings)
    graph = capture.from_torch(model, torch.zeros(2, 4, 6, 6))
    assert [bool(graph.bits), bool(graph.trits)] == [weight == "bnn", weight == "ternary"]
    sums = next(node for node in graph.nodes if node.kind == "conv")
    assert graph.types()[sums.output].dtype == "int32"
    x = torch.randn(3, 4, 6, 6)
    np.testing.assert_array_equal(run(graph, x), model.eval()(x).detach().numpy())


class Step(nn.Module):
    """A convolution of the codes 0 and 1."""

    def forward(self, x):
        weight = torch.tensor([1.0, -1.0, 1.0]).view(1, 3, 1, 1)
        return torch.ops.onebit.conv((x >= 0).to(x.dtype), weight, [1, 1], [0, 0, 0, 0], [1, 1], 1, 0)


@pytest.mark.parametrize("codes", ["int8", "uint8", "step"])
def test_codes_that_are_no_signs_are_convolved_as_integers(codes):
    settings = {"padding": 1, "bias": False, "weight_quantizer": "bnn", "input_quantizer": codes}
    model = Step() if codes == "step" else onebit.nn.layers.Conv2d(3, 4, 3, **settings).eval()
    x = torch.randn(2, 3, 5, 5)
    graph = capture.from_torch(model, x)
    (conv,) = [node for node in graph.nodes if node.kind == "conv"]
    assert graph.types()[conv.inputs[0]].dtype == ("int8" if codes == "int8" else "uint8")
    np.testing.assert_array_equal(run(graph, x), model(x).detach().numpy())


def test_float_inputs_meet_bit_weights():
    model = nn.Sequential(onebit.nn.layers.Conv1d(3, 4, 3, weight_quantizer="bnn", input_quantizer=None))
    graph = capture.from_torch(model, torch.zeros(2, 3, 7))
    x = torch.randn(2, 3, 7)
    np.testing.assert_allclose(run(graph, x), model(x).detach().numpy(), rtol=1e-5, atol=1e-5)
    assert len(graph.bits) == 1


def test_the_real_weights_of_a_first_stage_stay_float():
    model = models.build("mlp", in_features=8, width=8, depth=1, scheme=schemes.biper(stages=2))
    assert not capture.from_torch(model, torch.zeros(2, 8)).bits


def test_a_shifted_prelu_becomes_one_prelu():
    graph = capture.from_torch(onebit.nn.layers.RPReLU(3), torch.zeros(2, 3, 4, 4))
    assert [node.kind for node in graph.nodes if node.kind not in ("reshape", "transpose")] == ["sub", "prelu", "add"]


def test_the_summary_counts_operations_by_number_system():
    model = models.build("convnet", width=8, depth=2, downsample=(1,), stem_stride=1, scheme="bnn", stem="int8")
    report = capture.summary(model, (1, 6, 6))
    rows = {row.path: row for row in report.layers}
    assert rows["stem"].int8_macs == 36 * 8 * 9
    assert rows["blocks.0.conv"].bit_macs == 36 * 8 * 8 * 9
    assert rows["blocks.1.conv"].bit_macs == 9 * 8 * 8 * 9
    assert rows["head"].float_macs == 80
    assert rows["blocks.0.conv"].bits == 8 * 8 * 9
    assert report.total.bit_macs == 45 * 8 * 8 * 9
    assert report.total.memory == max(row.memory for row in report.layers)
    assert "blocks.1.conv" in str(report)


def test_a_summary_wants_the_shape_of_one_example():
    with pytest.raises(ValueError, match="input_size must be the shape of one example"):
        capture.summary(nn.Linear(3, 2), (0,))
