"""The networks: published sizes, twins of one architecture, gradients, errors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from onebit.nn import layers, models

SMALL = {
    "mlp": ({"in_features": 12, "width": 8}, (2, 3, 2, 2)),
    "convnet": ({"width": 6, "depth": 3, "downsample": (1,), "widen": 2}, (2, 1, 9, 9)),
    "vgg-small": ({"width": 4, "image_size": 8}, (2, 3, 8, 8)),
    "resnet20": ({"width": 4}, (2, 3, 9, 9)),
    "resnet18": ({"width": 4, "num_classes": 10}, (2, 3, 33, 33)),
    "pokebnn": (
        {"blocks": (1, 2), "channels": (8, 16), "num_classes": 10, "zero_init": False},
        (2, 3, 33, 33),
    ),
    "quicknet": ({"width": 4, "num_classes": 10}, (2, 3, 33, 33)),
    "pointnet": ({"width": 8, "features": 16}, (2, 3, 9)),
    "vit": ({"image_size": 8, "width": 16}, (2, 1, 8, 8)),
    "dfsmn": ({"frame_features": 6, "hidden": 16, "memory": 8, "depth": 2}, (2, 1, 9, 6)),
    "lstm-classifier": ({"frame_features": 6, "width": 8}, (2, 4, 6)),
    "gru-classifier": ({"frame_features": 6, "width": 8, "depth": 2}, (2, 4, 6)),
    "rnn-classifier": ({"frame_features": 6, "width": 8, "bidirectional": True}, (2, 2, 5, 3)),
    "resnet34": ({"width": 4, "num_classes": 10, "block": "bireal", "small_images": True}, (2, 3, 8, 8)),
}


def count(model: nn.Module, *kinds: type[nn.Module]) -> int:
    parts = [part for part in model.modules() if not kinds or isinstance(part, kinds)]
    return sum(p.numel() for part in parts for p in part.parameters(recurse=not kinds))


@pytest.mark.parametrize(
    ("name", "published"), [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet20", 269_722)]
)
def test_convolutions_norms_and_head_have_the_published_number_of_parameters(name, published):
    with torch.device("meta"):
        model = models.build(name)
    assert count(model, nn.Conv2d, nn.BatchNorm2d, nn.Linear) == published


def test_quicknet_has_sections_of_one_width_and_float_transitions_between_them():
    model = models.build("quicknet", width=16, scheme="bnn")
    convs = [m for m in model.modules() if isinstance(m, layers.Conv2d)]
    assert [m.out_channels for m in convs] == [16] * 4 + [32] * 4 + [64] * 4 + [128] * 4
    assert all(m.in_channels == m.out_channels and m.stride == (1, 1) for m in convs)
    blurs = [m for m in model.sections.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert [m.in_channels for m in blurs] == [16, 32, 64]
    for blur in blurs:
        assert torch.allclose(blur.weight.sum((1, 2, 3)), torch.ones(blur.in_channels))


def test_vgg_small_has_the_published_widths():
    with torch.device("meta"):
        model = models.build("vgg-small")
    assert [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)] == [128, 128, 256, 256, 512, 512]
    assert model.head.in_features == 512 * 4 * 4


@pytest.mark.parametrize("name", SMALL)
def test_the_network_of_bits_and_its_float_twin_have_the_same_shapes(name):
    sizes, shape = SMALL[name]
    twin, bits = models.build(name, **sizes), models.build(name, scheme="bnn", **sizes)
    assert {key: value.shape for key, value in twin.state_dict().items()} == {
        key: value.shape for key, value in bits.state_dict().items() if "quantizer" not in key
    }
    x = torch.randn(shape)
    assert twin(x).shape == bits(x).shape == (2, 10)


@pytest.mark.parametrize("scheme", [None, "react", "biper"])
@pytest.mark.parametrize("name", SMALL)
def test_every_weight_gets_a_gradient(name, scheme):
    sizes, shape = SMALL[name]
    model = models.build(name, scheme=scheme, **sizes)
    model(torch.randn(shape)).square().sum().backward()
    assert [key for key, p in model.named_parameters() if p.ndim > 1 and not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("name", SMALL)
def test_stem_head_and_projections_alone_stay_float(name):
    sizes, _ = SMALL[name]
    model = models.build(name, scheme="react", **sizes)
    weights = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    kept = [m for m in weights if not isinstance(m, layers.Quantized)]
    assert weights[0] is kept[0]
    assert weights[-1] is kept[-1]
    assert all(m.kernel_size == (1, 1) or m.groups == m.in_channels for m in kept[1:-1])


@pytest.mark.parametrize("name", SMALL)
def test_int8_stem_and_head_start_close_to_float(name):
    sizes, shape = SMALL[name]
    coarse, fine = models.build(name, stem="int8", head="int8", **sizes), models.build(name, **sizes)
    coarse.load_state_dict(fine.state_dict(), strict=False)
    weights = [[m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))] for model in (coarse, fine)]
    pairs = list(zip(*weights))
    for a, b in (pairs[0], pairs[-1]):
        assert isinstance(a, layers.Quantized)
        x = torch.randn(shape) if isinstance(b, nn.Conv2d) else torch.randn(2, b.in_features)
        assert (a(x) - b(x)).abs().max() < 0.02 * b(x).abs().max()


def test_a_sign_sees_both_signs_in_every_block():
    model = models.build("convnet", width=8, depth=3, downsample=(1,), scheme="bireal")
    seen = []
    for module in model.modules():
        if isinstance(module, layers.Conv2d):
            module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(torch.randn(8, 1, 12, 12))
    assert len(seen) == 3
    assert all((x > 0).any(0).all() and (x < 0).any() for x in seen)


def test_a_react_block_shifts_once():
    bare, react = (models.build("resnet18", width=4, scheme=scheme) for scheme in ("bireal", "react"))
    assert isinstance(bare.blocks[0].shift, layers.Shift)
    assert isinstance(react.blocks[0].shift, nn.Identity)


def test_shortcuts_fit_odd_maps():
    model = models.build("convnet", width=4, depth=2, downsample=(0, 1), stem_stride=1)
    assert model(torch.randn(1, 1, 7, 5)).shape == (1, 10)


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("convnet", {"width": 0}, "width must be an integer of at least 1, got 0"),
        ("convnet", {"downsample": (7,)}, "downsample must be ascending positions in 0..4, got"),
        ("convnet", {"activation": "gelu"}, "activation must be one of prelu, hardtanh, rprelu, got 'gelu'"),
        ("quicknet", {"width": 6}, "width must be a multiple of 4, got 6"),
        ("vgg-small", {"image_size": 7}, "image_size must be an integer of at least 8, got 7"),
        ("resnet18", {"block": "basic"}, "block must be one of bireal, react, got 'basic'"),
        ("mlp", {"stem": "int4"}, "stem must be one of float, int8, got 'int4'"),
        ("mlp", {"depth": True}, "depth must be an integer of at least 0, got True"),
    ],
)
def test_a_size_out_of_range_is_named(name, sizes, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        models.build(name, **sizes)


def test_unknown_names_and_arguments_are_answered_with_the_known_ones():
    with pytest.raises(KeyError, match="did you mean 'resnet20'"):
        models.build("resnet2")
    with pytest.raises(TypeError, match="did you mean 'width'"):
        models.build("mlp", widht=3)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_convnet_halves_the_map_in_the_middle_without_being_told(depth):
    model = models.build("convnet", width=4, depth=depth)
    strides = [block.conv.stride[0] for block in model.blocks]
    assert strides == [2 if position == depth // 2 else 1 for position in range(depth)]
