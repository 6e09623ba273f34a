"""PointNet: the order of the points, its size, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from onebit import capture, data, ir, runtime
from onebit.learn import ModelSpec
from onebit.nn import models, schemes

SIZES = {"num_classes": 3, "width": 8, "features": 16}


@pytest.mark.parametrize("scheme", [None, *schemes.registry])
def test_the_order_of_the_points_changes_no_bit_of_a_packed_network(scheme, tmp_path):
    torch.manual_seed(0)
    model = models.build("pointnet", num_classes=3, width=16, features=64, scheme=scheme)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d):
            nn.init.normal_(part.weight, 0.5, 1.0)
            nn.init.normal_(part.bias)
    clouds = torch.randn(4, 3, 21) * torch.tensor([0.1, 0.5, 1.0, 2.0]).view(4, 1, 1)
    with torch.no_grad():
        model(clouds)
    # a static batch: torch.export takes half as long
    graph = ir.passes.optimize(capture.from_torch(model.eval(), clouds, dynamic={}))
    ir.save(graph, tmp_path / "model.onebit")
    packed = runtime.load(tmp_path / "model.onebit")
    want = packed.run(clouds.numpy())
    assert len(np.unique(want, axis=0)) > 1  # the network tells clouds apart
    for order in (torch.randperm(21), torch.arange(21).flip(0)):
        np.testing.assert_array_equal(packed.run(clouds[:, :, order].contiguous().numpy()), want)


def test_doubled_points_are_the_same_cloud():
    model = models.build("pointnet", scheme="react", **SIZES).eval()
    cloud = torch.randn(1, 3, 9)
    assert torch.equal(model(cloud), model(torch.cat([cloud, cloud[:, :, :4]], 2)))


def test_the_published_sizes_have_the_published_number_of_weights():
    with torch.device("meta"):
        model = models.build("pointnet", num_classes=40, width=64, features=1024)
    weights = [tuple(m.weight.shape) for m in model.modules() if isinstance(m, nn.Linear)]
    assert weights == [(64, 3), (64, 64), (64, 64), (128, 64), (1024, 128), (512, 1024), (256, 512), (40, 256)]


def clouds(name: str = "clouds") -> data.Dataset:
    part = data.Split(torch.randn(4, 3, 7), torch.tensor([0, 1, 0, 1]))
    return data.Dataset(name, part, part, 2, ("near", "far"))


def test_its_sizes_follow_from_clouds_and_images_are_refused_in_a_sentence():
    assert ModelSpec("pointnet").fitted(clouds()).sizes == {"num_classes": 2, "point_features": 3}
    part = data.Split(torch.randn(2, 1, 8, 8), torch.tensor([0, 1]))
    pictures = data.Dataset("pictures", part, part, 2, ("no", "yes"))
    with pytest.raises(ValueError, match=r"model 'pointnet' takes clouds of points \(F, P\), and the examples of data"):
        ModelSpec("pointnet").fitted(pictures)
    with pytest.raises(ValueError, match=r"model 'convnet' takes examples \(C, H, W\), and those of data set 'clouds'"):
        ModelSpec("convnet").fitted(clouds())


def test_other_shapes_and_sizes_are_named():
    with pytest.raises(ValueError, match=r"x must be clouds \(N, 3, P\), got \(2, 7, 3\)"):
        models.build("pointnet")(torch.randn(2, 7, 3))
    with pytest.raises(ValueError, match="features must be a multiple of 4, got 10"):
        models.build("pointnet", features=10)
