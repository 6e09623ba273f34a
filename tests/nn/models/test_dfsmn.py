"""DFSMN: what a frame sees, channels that keep apart, sizes and errors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from onebit import data
from onebit.learn import ModelSpec
from onebit.nn import models, schemes

SIZES = {"num_classes": 3, "frame_features": 6, "hidden": 16, "memory": 8}


def settled(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        model.train()(torch.randn(16, 20, 6))
    return model.eval()


# xnor scales by the mean of a whole example, which every frame changes
@pytest.mark.parametrize("scheme", [None, *(name for name in schemes.registry if name not in ("xnor", "bitnet"))])
@pytest.mark.parametrize(("back", "ahead"), [(2, 1), (0, 3), (3, 0)])
def test_a_frame_is_seen_as_far_as_the_memories_reach(scheme, back, ahead):
    model = settled(models.build("dfsmn", depth=2, back=back, ahead=ahead, scheme=scheme, **SIZES))
    x = torch.randn(1, 8, 21)
    moved = x.clone()
    moved[:, :, 10] = -moved[:, :, 10]
    with torch.no_grad():
        changed = (model.blocks(x) != model.blocks(moved)).any(1)[0].nonzero().flatten()
    assert changed.min() >= 10 - 2 * ahead
    assert changed.max() <= 10 + 2 * back
    assert 10 in changed
    if scheme is None:
        assert changed.tolist() == list(range(10 - 2 * ahead, 11 + 2 * back))


@pytest.mark.parametrize("scheme", [None, *(name for name in schemes.registry if name not in ("xnor", "bitnet"))])
def test_the_filter_keeps_channels_apart(scheme):
    model = settled(models.build("dfsmn", depth=1, scheme=scheme, **SIZES))
    layer = model.blocks[0].filter
    assert tuple(layer.weight.shape) == (8, 1, 5)
    p = torch.randn(1, 8, 9)
    moved = p.clone()
    moved[:, 3] = -moved[:, 3]
    with torch.no_grad():
        changed = (layer(p) != layer(moved)).any(2)[0]
    assert changed.nonzero().flatten().tolist() == [3]


def test_spectrograms_are_read_frame_by_frame():
    model = settled(models.build("dfsmn", **SIZES))
    x = torch.randn(2, 2, 9, 3)
    assert torch.equal(model(x), model(torch.cat([x[:, 0], x[:, 1]], 2)))


def test_its_sizes_follow_from_spectrograms():
    part = data.Split(torch.randn(2, 1, 9, 6), torch.tensor([0, 1]))
    speech = data.Dataset("speech", part, part, 2, ("yes", "no"))
    assert ModelSpec("dfsmn").fitted(speech).sizes == {"num_classes": 2, "frame_features": 6}


def test_other_sizes_and_shapes_are_named():
    with pytest.raises(ValueError, match="back must be an integer of at least 0, got -1"):
        models.build("dfsmn", back=-1)
    with pytest.raises(ValueError, match=r"x must be frames \(N, T, 6\) or images, got \(2, 9, 5\)"):
        models.build("dfsmn", **SIZES)(torch.randn(2, 9, 5))
