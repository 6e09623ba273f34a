"""PointNet: clouds of points, whatever their order."""

from __future__ import annotations

import torch
from torch import nn

from onebit.nn.models import parts
from onebit.nn.models.registry import registry


@registry.register("pointnet")
class PointNet(nn.Module):
    """PointNet without its transforms of the input: one perceptron for every point, then the largest of each feature
    [Qi2017].

    | layer | output at width 64 | numbers |
    | --- | --- | --- |
    | linear of each point, BN, hardtanh | `(P, 64)` | `stem` |
    | twice: linear of each point, BN, hardtanh | `(P, 64)` | bits |
    | linear of each point, BN, hardtanh | `(P, 128)` | bits |
    | linear of each point, maximum over the points, BN, hardtanh | `features`, 1024 | bits |
    | linear, BN, hardtanh | `features / 2` | bits |
    | linear, BN, hardtanh | `features / 4` | bits |
    | linear with bias | `num_classes` | `head` |

    Published: ``width=64``, ``features=1024``. The maximum is taken before the norm, as in [Zhang2018]: the largest of
    many activations is nearly always above 0, so that signs of it would tell clouds apart no longer [Qin2021]. The
    layers of points are linear layers, not convolutions of kernel 1, which compute the same in float: schemes scale
    maps by their positions (``xnor++``) or as a whole (``xnor``), and then the order of the points would matter.

    Args:
        num_classes: outputs.
        point_features: numbers of a point: its coordinates.
        width: features of a point in the first layers.
        features: of the cloud, a multiple of 4.
        scheme: how layers become bits; ``None`` is the float twin.
        stem, head: ``"float"`` or ``"int8"`` for first and last layer.

    Shape: ``(N, point_features, P) -> (N, num_classes)``. A packed network takes clouds of as many points as it was
    packed with.

    Example:
        >>> model = PointNet(num_classes=3, width=8, features=32, scheme="bnn").eval()
        >>> cloud = torch.randn(1, 3, 20)
        >>> bool((model(cloud) == model(cloud[:, :, torch.randperm(20)])).all())
        True
    """

    def __init__(
        self,
        num_classes: int = 10,
        point_features: int = 3,
        width: int = 32,
        features: int = 256,
        scheme=None,
        stem: str = "float",
        head: str = "float",
    ) -> None:
        super().__init__()
        sizes = (("num_classes", num_classes), ("point_features", point_features), ("width", width))
        for name, value in sizes:
            parts.check_size(name, value)
        if parts.check_size("features", features, 4) % 4:
            raise ValueError(f"features must be a multiple of 4, got {features}")
        self.point_features = point_features
        points: list[nn.Module] = [parts.stem_linear(point_features, width, stem), parts.LastNorm(width), nn.Hardtanh()]
        for narrow, wide in ((width, width), (width, width), (width, 2 * width)):
            points += [parts.linear(narrow, wide, scheme), parts.LastNorm(wide), nn.Hardtanh()]
        self.points = nn.Sequential(*points, parts.linear(2 * width, features, scheme))
        cloud: list[nn.Module] = [nn.BatchNorm1d(features), nn.Hardtanh()]
        for wide, narrow in ((features, features // 2), (features // 2, features // 4)):
            cloud += [parts.linear(wide, narrow, scheme), nn.BatchNorm1d(narrow), nn.Hardtanh()]
        self.cloud = nn.Sequential(*cloud)
        self.head = parts.head(features // 4, num_classes, head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() != 3 or x.shape[1] != self.point_features:
            raise ValueError(f"x must be clouds (N, {self.point_features}, P), got {tuple(x.shape)}")
        return self.head(self.cloud(self.points(x.transpose(1, 2)).amax(1)))
