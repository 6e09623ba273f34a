"""Transformers of tokens and of patches: padding, order, positions, what they refuse."""

from __future__ import annotations

import pytest
import torch

from onebit import data
from onebit.learn import ModelSpec
from onebit.nn import models

TEXT = {"num_classes": 3, "num_tokens": 20, "length": 12, "width": 16}


@pytest.mark.parametrize("scheme", [None, "bnn", "react", "xnor"])
def test_padding_changes_nothing(scheme):
    model = models.build("transformer", scheme=scheme, **TEXT).eval()
    tokens = torch.randint(1, 20, (3, 5))
    longer = torch.cat([tokens, torch.zeros(3, 7, dtype=torch.int64)], 1)
    torch.testing.assert_close(model(longer), model(tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scheme", [None, "bireal"])
def test_the_order_of_tokens_is_known_by_their_positions_alone(scheme):
    model = models.build("transformer", scheme=scheme, **TEXT).eval()
    tokens = torch.arange(1, 9)[None]
    assert not torch.allclose(model(tokens), model(tokens.flip(1)), atol=1e-3)
    torch.nn.init.zeros_(model.encoder.positions)
    torch.testing.assert_close(model(tokens), model(tokens.flip(1)), rtol=1e-4, atol=1e-5)


def test_a_sequence_of_nothing_but_padding_has_finite_outputs_and_gradients():
    model = models.build("transformer", scheme="bnn", **TEXT)
    model(torch.zeros(2, 4, dtype=torch.int64)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("scheme", [None, "react", "pokebnn", "biper"])
def test_every_weight_of_a_transformer_of_tokens_gets_a_gradient(scheme):
    model = models.build("transformer", scheme=scheme, **TEXT)
    model(torch.randint(0, 20, (8, 12))).square().sum().backward()
    assert [key for key, p in model.named_parameters() if p.ndim > 1 and not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("scheme", ["react", "fda", "recu"])
def test_the_weights_of_the_float_twin_fit_a_transformer_of_bits(scheme):
    twin, bits = (models.build("transformer", scheme=s, **TEXT) for s in (None, scheme))
    bits.load_state_dict(twin.state_dict())
    assert torch.equal(bits.encoder.blocks[1].attention.key[0].weight, twin.encoder.blocks[1].attention.key[0].weight)


def test_a_patch_is_a_square_of_the_image():
    model = models.build("vit", in_channels=2, image_size=4, patch=2, width=8)
    seen = []
    model.stem.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = torch.arange(32.0).view(1, 2, 4, 4)
    model(x)
    assert seen[0].shape == (1, 4, 8)
    assert torch.equal(seen[0][0, 1], x[0, :, :2, 2:].flatten())


def sentences() -> data.Dataset:
    part = data.Split(torch.tensor([[5, 1, 0], [5, 2, 3]]), torch.tensor([0, 1]))
    return data.Dataset("sentences", part, part, 2, ("no", "yes"), num_tokens=6)


def test_sizes_follow_from_the_data_and_other_data_are_refused_in_a_sentence():
    assert ModelSpec("transformer").fitted(sentences()).sizes == {"num_classes": 2, "num_tokens": 6, "length": 3}
    part = data.Split(torch.randn(2, 1, 8, 8), torch.tensor([0, 9]))
    pictures = data.Dataset("pictures", part, part, 10, tuple("abcdefghij"))
    assert ModelSpec("vit").fitted(pictures).sizes == {"num_classes": 10, "in_channels": 1, "image_size": 8}
    with pytest.raises(ValueError, match="model 'transformer' takes tokens of a vocabulary, and the examples of data"):
        ModelSpec("transformer").fitted(pictures)
    with pytest.raises(ValueError, match="model 'vit' takes examples"):
        ModelSpec("vit").fitted(sentences())


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("vit", {"patch": 5}, "image_size must be a multiple of patch = 5, got 28"),
        ("vit", {"heads": 5}, "width must be a multiple of heads = 5, got 64"),
        ("transformer", {"num_tokens": 0}, "num_tokens must be an integer of at least 1, got 0"),
        ("transformer", {"num_tokens": 5, "depth": 0}, "depth must be an integer of at least 1, got 0"),
    ],
)
def test_sizes_out_of_range_are_named(name, sizes, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, **sizes)


def test_inputs_of_other_shapes_are_named():
    with pytest.raises(ValueError, match=r"x must be tokens \(N, T\) with T at most 12, got \(1, 13\)"):
        models.build("transformer", **TEXT)(torch.ones(1, 13, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"x must be images \(N, 1, 28, 28\), got \(1, 1, 28, 27\)"):
        models.build("vit")(torch.randn(1, 1, 28, 27))
