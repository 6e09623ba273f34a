"""Small networks of every scheme, captured once."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import nn

import onebit
from onebit import capture
from onebit.ir import Graph, passes
from onebit.nn import models, schemes


class Block(nn.Module):
    """A transformer block."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, ids):
        return self.head(self.layer(self.embedding(ids)).mean(1))


def network(name: str, scheme: str) -> tuple[nn.Module, torch.Tensor]:
    """A small network with batch norms that do something, and inputs for it."""
    torch.manual_seed(0)
    if name == "transformer":
        model: nn.Module = Block()
        onebit.quantize_(model, scheme)
        return model.eval(), torch.randint(0, 11, (6, 7))
    sizes, shape = {
        "mlp": ({"in_features": 20, "width": 16}, (20,)),
        "convnet": ({"width": 8, "depth": 3, "downsample": (1,), "widen": 2}, (1, 9, 9)),
        "resnet20": ({"width": 2}, (3, 9, 9)),
        "vgg-small": ({"width": 8, "image_size": 8, "stem": "int8"}, (3, 8, 8)),
    }[name]
    model = models.build(name, scheme=scheme, **sizes)
    for part in model.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(part.weight, 0.5, 1.0)
            nn.init.normal_(part.bias)
    with torch.no_grad():
        model.train()(torch.randn(16, *shape))
    return model.eval(), torch.randn(12, *shape)


NETWORKS = [("convnet", scheme) for scheme in schemes.registry]
NETWORKS += [("mlp", "xnor"), ("mlp", "reste"), ("resnet20", "biper"), ("vgg-small", "biper"), ("transformer", "bnn")]


@functools.cache
def graph_of(name: str, scheme: str) -> tuple[Graph, np.ndarray]:
    model, x = network(name, scheme)
    return passes.optimize(capture.from_torch(model, x[:1])), x.numpy()
