"""Packed models run as their graphs do, bit for bit; what cannot be packed says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import onebit
from onebit import capture, deploy, ir, runtime
from onebit.core.errors import Unsupported
from onebit.nn import models

SMALL = {
    "mlp": ({"in_features": 20, "width": 16}, (20,)),
    "convnet": ({"width": 8, "depth": 3, "downsample": (1,), "widen": 2}, (1, 9, 9)),
    "vgg-small": ({"width": 8, "image_size": 8}, (3, 8, 8)),
    "resnet20": ({"width": 2}, (3, 9, 9)),
    "resnet18": ({"width": 2, "num_classes": 10}, (3, 33, 33)),
    "quicknet": ({"width": 4, "num_classes": 10}, (3, 33, 33)),
}
CASES = [
    *((name, "biper") for name in SMALL),
    ("mlp", "xnor"),
    ("convnet", "react"),
    ("convnet", "xnor"),
    ("mlp", None),
    ("convnet", None),
]


def trained(name: str, scheme: str | None, **more) -> tuple[nn.Module, torch.Tensor]:
    sizes, shape = SMALL[name]
    model = models.build(name, scheme=scheme, **sizes, **more)
    for part in model.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(part.weight, 0.5, 1.0)
            nn.init.normal_(part.bias)
    with torch.no_grad():
        model(torch.randn(8, *shape))
    return model, torch.randn(5, *shape)


@pytest.mark.parametrize(("name", "scheme"), CASES)
def test_the_packed_file_runs_as_its_graph_bit_for_bit(name, scheme, tmp_path):
    model, x = trained(name, scheme, head="int8" if name == "vgg-small" else "float")
    report = deploy.pack(model, x[:1], tmp_path / "model.onebit", samples=x, meta={"class_names": list("abcdefghij")})
    loaded = ir.load(tmp_path / "model.onebit")
    packed = runtime.load(tmp_path / "model.onebit")
    assert packed.class_names == list("abcdefghij")
    for rows in (x.numpy(), x[:1].numpy(), x[:0].numpy()):
        (want,), _ = loaded.run(rows)
        np.testing.assert_array_equal(packed.run(rows), want)
    with torch.no_grad():
        np.testing.assert_allclose(packed.run(x.numpy()), model.eval()(x).numpy(), rtol=1e-3, atol=1e-4)
    assert report.size == (tmp_path / "model.onebit").stat().st_size
    assert report.comparison.samples == 5
    assert report.comparison.predictions_differ == 0
    if scheme:
        assert report.comparison.bits > 0
        assert report.comparison.bits_differ == 0


def test_the_report_counts_a_bit_that_batch_norm_folding_turns(tmp_path):
    class Edge(nn.Module):
        """A batch norm whose result is exactly 0 for some inputs, where a rounding decides the sign after it."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(1, 64, bias=False)
            self.bn = nn.BatchNorm1d(64)
            self.bits = onebit.nn.layers.Linear(64, 2, bias=False, weight_quantizer="bnn", input_quantizer="sign")

        def forward(self, x):
            return self.bits(self.bn(self.inner(x)))

    model = Edge()
    with torch.no_grad():
        model.inner.weight.copy_(torch.rand(64, 1) + 0.5)
        model.bn.running_mean.copy_(model.inner.weight[:, 0] * 3)
        model.bn.running_var.uniform_(0.5, 2)
    x = torch.full((1, 1), 3.0)
    report = deploy.pack(model, x, tmp_path / "edge.onebit", samples=x)
    (got,), _ = ir.load(tmp_path / "edge.onebit").run(x.numpy())
    with torch.no_grad():
        want = model.eval()(x).numpy()
    assert report.comparison.bits == 64
    assert report.comparison.outputs_differ == int((got != want).sum())
    assert (report.comparison.bits_differ == 0) <= bool((got == want).all())


def test_sizes_are_counted_as_in_the_float_twin(tmp_path):
    twin, _ = trained("convnet", None)
    model, x = trained("convnet", "react")
    report = deploy.pack(model, x, tmp_path / "a.onebit")
    numbers = sum(p.numel() for p in twin.parameters())
    statistics = sum(b.numel() for b in twin.buffers() if b.dtype.is_floating_point)
    assert report.float_size == 4 * (numbers + statistics)
    assert report.weight_bits == 8 * 8 * 9 + 8 * 16 * 9 + 16 * 16 * 9
    assert report.comparison is None
    assert "weights of one bit" in str(report)


def test_packing_leaves_the_model_in_training_mode(tmp_path):
    model, x = trained("mlp", "biper")
    deploy.pack(model.train(), x, tmp_path / "a.onebit", samples=x)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["0.weight", "1.running_var", "1.bias"])
def test_what_is_not_finite_is_named_and_not_packed(name, value, tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    model.state_dict()[name].view(-1)[0] = value
    with pytest.raises(ValueError, match=rf"{name} holds {value} \(1 of"):
        deploy.pack(model, torch.zeros(1, 3), tmp_path / "a.onebit")
    assert not list(tmp_path.iterdir())


def test_a_scale_that_overflows_is_not_packed(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        model[1].weight.fill_(3e38)
        model[1].running_var.fill_(1e-5)
    with pytest.raises(ValueError, match="not finite"):
        deploy.pack(model, torch.zeros(1, 3), tmp_path / "a.onebit")


def test_wrong_meta_is_refused_before_a_file_is_written(tmp_path):
    with pytest.raises(ValueError, match="meta"):
        deploy.pack(nn.Linear(3, 2), torch.zeros(1, 3), tmp_path / "a.onebit", meta={"classes": ["a"]})
    assert not list(tmp_path.iterdir())


def test_pack_is_a_name_of_the_package():
    assert onebit.pack is deploy.pack
    assert onebit.summary is capture.summary


def test_the_float_twin_gives_the_same_in_onnx_runtime(tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, x = trained("convnet", None)
    path = deploy.float_onnx(model, x[:1], tmp_path / "twin.onnx")
    assert capsys.readouterr().out == ""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for rows in (x, x[:1]):
        (got,) = session.run(None, {session.get_inputs()[0].name: rows.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(got, model.eval()(rows).numpy(), rtol=1e-4, atol=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["twin.onnx"]


def test_a_model_of_bits_has_no_float_onnx(tmp_path):
    model, x = trained("mlp", "biper")
    with pytest.raises(Unsupported, match=r"4 is a layer of bits.*onebit\.pack"):
        deploy.float_onnx(model, x, tmp_path / "a.onnx")
