"""Every method of binarization in every form of network: trained, packed, run, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from onebit import capture, ir, runtime
from onebit.nn import Progress, broadcast, models, penalty, schemes

SIZES = {
    "mlp": ({"in_features": 12, "width": 8, "depth": 1}, (4, 12)),
    "vgg-small": ({"width": 2, "image_size": 8}, (4, 3, 8, 8)),
    "resnet20": ({"width": 2}, (4, 3, 6, 6)),
    "pointnet": ({"width": 4, "features": 8}, (4, 3, 5)),
    "transformer": ({"num_tokens": 9, "length": 5, "width": 8, "depth": 1, "heads": 2}, (4, 5)),
    "vit": ({"image_size": 4, "patch": 2, "width": 8, "depth": 1, "heads": 2}, (4, 1, 4, 4)),
    "dfsmn": ({"frame_features": 4, "hidden": 8, "memory": 4, "depth": 1, "ahead": 1}, (4, 1, 5, 4)),
    "gru-classifier": ({"frame_features": 6, "width": 8}, (4, 2, 6)),
}


@pytest.mark.parametrize("scheme", list(schemes.registry))
@pytest.mark.parametrize("name", SIZES)
def test_a_trained_network_of_every_method_keeps_its_bits_when_it_is_packed(name: str, scheme: str, tmp_path):
    sizes, shape = SIZES[name]
    torch.manual_seed(0)
    model = models.build(name, num_classes=3, scheme=scheme, **sizes)
    tokens = sizes.get("num_tokens")
    x, labels = torch.randint(tokens, shape) if tokens else torch.randn(shape), torch.arange(4) % 3
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for epoch in range(2):
        broadcast(model, Progress(epoch, 2, epoch, 2))
        optimizer.zero_grad()
        (nn.functional.cross_entropy(model(x), labels) + penalty(model)).backward()
        optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters()))
    broadcast(model, Progress.complete())
    model.eval()

    # a static batch: torch.export takes half as long, and most of the time of these tests
    graph = ir.passes.optimize(capture.from_torch(model, x, dynamic={}))
    path = tmp_path / "model.onebit"
    ir.save(graph, path)
    (expected,), _ = graph.run(x.numpy())
    assert np.array_equal(runtime.load(path).run(x.numpy()), expected)
    signs = [node for node in graph.nodes if node.kind in ("sign", "threshold", "quantize")]
    assert signs
    assert not any("adaptation" in node.path for node in graph.nodes)
    with torch.no_grad():
        assert np.allclose(model(x).numpy(), expected, atol=1e-4)
