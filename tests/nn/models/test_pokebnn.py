"""PokeBNN: the counts of its paper, the same counts from its graph, each part as an argument, and the engine."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

import onebit
from onebit import capture, deploy, ir, learn, runtime
from onebit.core.progress import Progress
from onebit.data import Dataset, Split
from onebit.ir import cost
from onebit.learn import Recipe, Stage
from onebit.nn import broadcast, layers, models
from onebit.nn.models.pokebnn import PUBLISHED
from onebit.nn.models.pokebnn_cost import elementwise_operations
from onebit.nn.quantizers import FloatFirst

TINY = {"blocks": (1, 1), "channels": (8, 16), "num_classes": 10}
# ACE of all convolutions on 224x224 images, by width, and of the whole network in 1e9
CONVOLUTIONS = {0.5: 1_344_002_048, 0.75: 2_489_315_840, 1.0: 4_091_469_824, 2.0: 15_068_487_680}
TOTAL = {0.5: 1.410, 0.75: 2.588, 1.0: 4.223, 1.4: 7.758, 2.0: 15.331}
ELEMENTWISE = {
    "batch norm": 17_912_832,
    "DPReLU": 9_106_944,
    "channel adds": 5_419_008,
    "channel muls": 1_705_984,
    "shortcut pooling": 7_902_720,
    "bottleneck adds": 5_519_360,
    "local adds": 8_805_888,
    "gate pooling adds": 8_906_240,
    "gate pooling muls": 20_672,
    "gate ReLU": 2_584,
    "gate hard sigmoid": 22_656,
    "gate multiplication": 8_805_888,
    "final pooling": 100_352,
}


def build(width: float = 1.0, **settings) -> nn.Module:
    return models.build("pokebnn", width=width, **PUBLISHED | settings)


def walked(model: nn.Module, size: int) -> dict[int, int]:
    """Bits -> multiply-accumulates, convolutions and head, read off the modules: no graph is made."""
    counts: dict[int, int] = {}

    def count(part, _, result) -> None:
        bits = part.weight_quantizer.num_bits
        counts[bits] = counts.get(bits, 0) + result.numel() * part.weight[0].numel()

    for part in [*model.modules()]:
        if isinstance(part, layers.Quantized):
            part.register_forward_hook(count)
        for name, child in part.named_children():
            if isinstance(child, (nn.BatchNorm2d, layers.DPReLU)):
                setattr(part, name, nn.Identity())  # what changes no shape only takes time here
    model.eval()(torch.zeros(1, 3, size, size, device="meta"))
    return counts


@functools.cache
def of_width(width: float) -> tuple[dict[int, int], int]:
    """The operations on images of 224x224, and those of the head."""
    with torch.device("meta"):
        model = build(width)
    return walked(model, 224), model.head.weight.numel()


@pytest.mark.parametrize("width", CONVOLUTIONS)
def test_the_operations_of_every_width_are_the_published_integers(width):
    counts, head = of_width(width)
    assert counts[1] + 16 * counts[4] + 64 * (counts[8] - head) == CONVOLUTIONS[width]
    assert head == 2048 * width * 1000
    assert round(sum(bits**2 * count for bits, count in counts.items()) / 1e9, 3) == TOTAL[width]


def test_at_width_1_the_operations_of_each_number_system_are_the_published_integers():
    counts, head = of_width(1.0)
    assert counts == {1: 3_609_460_736, 4: 3_632_640, 8: 8_671_232}
    assert 64 * head == 131_072_000


def test_a_width_that_gives_odd_channels_has_the_published_effort():
    counts, _ = of_width(1.4)
    assert round(sum(bits**2 * count for bits, count in counts.items()) / 1e9, 3) == TOTAL[1.4]


def test_element_wise_operations_are_the_published_integers():
    with torch.device("meta"):
        model = build()
    assert elementwise_operations(model, (3, 224, 224)) == ELEMENTWISE


def test_parameters_are_as_many_of_each_width_as_published():
    with torch.device("meta"):
        model = build()
    counts = dict.fromkeys((1, 4, 8), 0)
    for part in model.modules():
        if isinstance(part, layers.Quantized):
            counts[part.weight_quantizer.num_bits] += part.weight.numel()
    assert counts == {1: 20_676_608, 4: 3_632_640, 8: 2_050_112}


def test_the_graph_has_the_operations_that_the_modules_have():
    size = 33
    model = build(**TINY).eval()
    graph = capture.from_torch(model, torch.zeros(1, 3, size, size))
    with torch.device("meta"):
        counts = walked(build(**TINY), size)
    assert cost.ace(graph) == sum(bits**2 * count for bits, count in counts.items())
    assert cost.cpu64(graph) == sum(bits * count for bits, count in counts.items()) / 64
    assert cost.total(cost.table(graph)).operations["bit_macs"] == counts[1]


def settled(model: nn.Module, *shape: int) -> nn.Module:
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.3)
            nn.init.normal_(part.bias, 0.0, 0.3)
        elif isinstance(part, layers.DPReLU):
            for parameter in part.parameters():
                nn.init.normal_(parameter, parameter.detach().mean().item(), 0.1)
    with torch.no_grad():
        for _ in range(3):
            model.train()(torch.randn(8, *shape))
    return model.eval()


def test_a_packed_network_runs_in_the_engine_as_in_the_interpreter_and_as_in_pytorch(tmp_path):
    torch.manual_seed(0)
    model = settled(build(small_images=True, **TINY), 3, 9, 10)
    x = torch.randn(5, 3, 9, 10)
    path = tmp_path / "poke.onebit"
    deploy.pack(model, x[:2], path)
    packed = runtime.load(path)
    graph = ir.load(path)
    kinds = {
        tuple(graph.types()[name].dtype for name in n.inputs[:2]) for n in graph.nodes if n.kind in ("conv", "linear")
    }
    assert kinds == {("bit", "bit"), ("int8", "int8"), ("uint8", "int8")}
    got = packed.run(x.numpy())
    np.testing.assert_array_equal(got, graph.run(x.numpy())[0][0])
    with torch.no_grad():
        np.testing.assert_allclose(got, model(x).numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "part",
    [
        {"gate": "none"},
        {"gate": "int8"},
        {"local_shortcut": False},
        {"block_shortcut": False},
        {"second_norm": False},
        {"activation": "relu"},
        {"scheme": "react"},
        {"scheme": None},
        {"small_images": True},
        {"width": 1.4},
    ],
    ids=str,
)
def test_each_part_is_an_argument(part):
    torch.manual_seed(0)
    whole, other = (build(**TINY | {"zero_init": False} | extra) for extra in ({}, part))
    shared = {
        k: v
        for k, v in whole.state_dict().items()
        if k in other.state_dict() and other.state_dict()[k].shape == v.shape
    }
    other.load_state_dict(shared, strict=False)
    x = torch.randn(2, 3, 16, 16)
    assert whole(x).shape == other(x).shape == (2, 10)
    assert not torch.equal(whole(x), other(x))


@pytest.mark.parametrize("activation", ["prelu", "rprelu"])
def test_other_activations_with_a_slope_start_as_dprelu_does(activation):
    torch.manual_seed(0)
    whole, other = build(**TINY), build(activation=activation, **TINY)
    other.load_state_dict(whole.state_dict(), strict=False)
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(whole(x), other(x))


def test_the_last_convolution_of_a_bottleneck_starts_without_effect():
    model = build(**TINY)
    x = torch.randn(2, 3, 16, 16)
    before = model(x)
    with torch.no_grad():
        for block in model.blocks:
            block.convs[-1].conv.weight.normal_()
    assert torch.equal(model(x), before)


def test_in_the_float_phase_no_weight_is_quantized_and_afterwards_all_are():
    later, now = build(**TINY, float_phase=0.25), build(**TINY)
    weights = [part for part in later.modules() if isinstance(part, layers.Quantized)]
    assert all(isinstance(part.weight_quantizer, FloatFirst) for part in weights)
    for part in weights:
        assert torch.equal(part.weight_quantizer(part.weight), part.weight)
    broadcast(later, Progress.complete())
    now.load_state_dict({key.replace("zer.quantizer", "zer"): v for key, v in later.state_dict().items()}, strict=False)
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(later(x), now(x))
    assert torch.equal(later.eval()(x), now.eval()(x))


def test_the_first_of_two_stages_of_training_is_the_float_phase():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 1, 8, 8), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(16) % 2)
    data = Dataset("noise", split, split, 2, ("a", "b"), (0.5,), (0.5,), None)
    model = build(**TINY | {"num_classes": 2}, in_channels=1, small_images=True, float_phase="stage")
    seen = []
    recipe = Recipe(
        stages=(Stage(1), Stage(1)), batch_size=8, augment=False, validation=0.0, threads=1, reestimate_batches=0
    )
    first = model.blocks[0].convs[0].conv.weight_quantizer
    learn.fit(model, data, recipe, progress=False, on_epoch=lambda _: seen.append(bool(first.quantizes)))
    assert seen == [False, True]


def test_a_network_that_was_saved_in_its_float_phase_comes_back_in_it(tmp_path):
    model = build(**TINY, float_phase=0.5)
    onebit.save(model, tmp_path / "m.safetensors")
    again = onebit.load(tmp_path / "m.safetensors")
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(model.eval()(x), again.eval()(x))
    broadcast(model, Progress.complete())
    onebit.save(model, tmp_path / "m.safetensors")
    assert torch.equal(model(x), onebit.load(tmp_path / "m.safetensors").eval()(x))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 0}, "width must be a finite number above 0, got 0"),
        ({"width": 0.001}, "width 0.001 leaves a stage of 64 channels none"),
        ({"blocks": (1,)}, r"blocks and channels must have one entry for each stage, got \(1,\)"),
        ({"gate": "int3"}, "gate must be one of int4, int8, float, none, got 'int3'"),
        ({"activation": "gelu"}, "activation must be one of dprelu, rprelu, prelu, relu, got 'gelu'"),
        ({"float_phase": 1.5}, "phase must be 0..1, got 1.5"),
        ({"width": 0.1}, "in_channels must be at least ratio = 8 for a gate to have a hidden layer, got 6"),
    ],
)
def test_a_setting_out_of_range_is_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        models.build("pokebnn", **sizes)


def test_operations_are_counted_of_a_pokebnn_only():
    with pytest.raises(ValueError, match="model must be a PokeBNN, got MLP"):
        elementwise_operations(models.build("mlp"), (3, 8, 8))
