"""Batches, batch-norm statistics, evaluation, checkpoint files: the parts of the loop, each by itself."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from onebit.data import Augment, Dataset, Split, normalize
from onebit.learn import Recipe, checkpoints, evaluate, outputs, predict, reestimate
from onebit.learn.batches import Batches
from onebit.learn.divergence import first_non_finite
from onebit.learn.latents import flip_rate


def dataset(count: int = 40, classes: int = 4) -> Dataset:
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(count) % classes)
    return Dataset("a-set", split, split, classes, tuple("abcdefgh"[:classes]), (0.4,), (0.3,), Augment(1, True))


def batches(data: Dataset, rank: int = 0, processes: int = 1, **settings) -> Batches:
    return Batches(data.train, data, Recipe(**settings), torch.device("cpu"), rank, processes)


def test_every_example_comes_once_an_epoch_in_an_order_of_its_own():
    data = dataset()
    all_batches = batches(data, batch_size=8, augment=False)
    epochs = [torch.cat([all_batches.batch(epoch, k).inputs for k in range(5)]) for epoch in (0, 1)]
    expected = normalize(data.train.images, data.mean, data.std).flatten(1).sort(0).values
    for inputs in epochs:
        assert torch.equal(inputs.flatten(1).sort(0).values, expected)
    assert not torch.equal(*epochs)


def test_a_batch_is_a_function_of_seed_epoch_and_step():
    data = dataset()
    first, second, other = batches(data, batch_size=8), batches(data, batch_size=8), batches(data, batch_size=8, seed=1)
    second.batch(0, 0)
    assert torch.equal(first.batch(2, 3).inputs, second.batch(2, 3).inputs)
    assert not torch.equal(first.batch(2, 3).inputs, other.batch(2, 3).inputs)


def test_processes_share_out_the_batch_that_one_process_has():
    data = dataset()
    whole = batches(data, batch_size=8).batch(1, 2)
    shares = [batches(data, rank, 4, batch_size=8).batch(1, 2) for rank in range(4)]
    assert torch.equal(torch.cat([share.inputs for share in shares]), whole.inputs)
    assert torch.equal(torch.cat([share.labels for share in shares]), whole.labels)
    assert {share.size for share in shares} == {8}


def test_a_batch_larger_than_the_training_part_is_the_training_part():
    assert batches(dataset(6), batch_size=128).per_epoch == 1
    with pytest.raises(ValueError, match="batch_size must be a multiple of the number of processes, 3, got 8"):
        batches(dataset(), 0, 3, batch_size=8)


def noisy_network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(12, 4))


def test_reestimated_statistics_are_the_average_over_the_batches():
    model = noisy_network()
    parts = [torch.randn(6, 1, 4, 4) for _ in range(3)]
    reestimate(model, parts)
    maps = [model[0](part).detach().transpose(0, 1).flatten(1) for part in parts]
    assert torch.allclose(model[1].running_mean, torch.stack([m.mean(1) for m in maps]).mean(0), atol=1e-6)
    assert torch.allclose(model[1].running_var, torch.stack([m.var(1) for m in maps]).mean(0), atol=1e-6)


def test_statistics_in_order_are_the_average_over_what_each_norm_is_given_in_evaluation():
    torch.manual_seed(0)
    layers = [[nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Hardtanh()] for _ in range(3)]
    model = nn.Sequential(*(layer for group in layers for layer in group))
    batches = [torch.randn(4, 5) * scale for scale in (1.0, 3.0)]
    reestimate(model, batches, in_order=True)
    exact = copy.deepcopy(model.state_dict())
    for place in (1, 4, 7):
        given = [model.eval()[:place](batch).detach() for batch in batches]
        mean, var = (torch.stack(each).mean(0) for each in ([x.mean(0) for x in given], [x.var(0) for x in given]))
        assert torch.allclose(model[place].running_mean, mean, atol=1e-6)
        assert torch.allclose(model[place].running_var, var, atol=1e-6)
    reestimate(model, batches, in_order=True)
    assert all(torch.equal(value, exact[name]) for name, value in model.state_dict().items())
    reestimate(model, batches)
    assert not torch.equal(model[4].running_var, exact["4.running_var"])


@pytest.mark.parametrize("in_order", [False, True])
def test_reestimation_touches_nothing_but_the_statistics(in_order):
    model = noisy_network().train()
    model[2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stream = torch.get_rng_state()
    reestimate(model, [torch.ones(2, 1, 4, 4)], in_order)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert torch.equal(torch.get_rng_state(), stream)
    assert [module.training for module in model] == [True, True, False, True, True]
    assert model[1].momentum == 0.1


def test_reestimation_is_the_same_at_every_call():
    model, part = noisy_network(), torch.randn(6, 1, 4, 4)
    reestimate(model, [part])
    first = model[1].running_mean.clone()
    reestimate(model, [part])
    assert torch.equal(model[1].running_mean, first)


def test_evaluation_is_the_mean_over_all_examples_whatever_the_batch_size():
    data, model = dataset(), noisy_network()
    found = [evaluate(model, data, batch_size=size) for size in (1, 7, 100)]
    model.eval()
    logits = model(normalize(data.test.images, data.mean, data.std)).detach()
    loss = nn.functional.cross_entropy(logits, data.test.labels).item()
    for metrics in found:
        assert metrics.loss == pytest.approx(loss, rel=1e-6)
        assert metrics.accuracy == float((logits.argmax(1) == data.test.labels).double().mean())
    assert torch.equal(predict(model, data), outputs(model, data).argmax(1))
    assert predict(model, data.test.images[:0], mean=(), std=()).shape == (0,)


def test_evaluation_leaves_modes_and_random_streams_alone():
    model, stream = noisy_network().train(), torch.get_rng_state()
    model[1].eval()
    evaluate(model, dataset())
    assert [module.training for module in model] == [True, False, True, True, True]
    assert torch.equal(torch.get_rng_state(), stream)


def test_images_without_their_normalisation_are_refused():
    with pytest.raises(ValueError, match="mean and std must be given"):
        evaluate(noisy_network(), dataset().test)


def test_the_first_layer_with_a_non_finite_output_is_found():
    model = noisy_network()
    assert first_non_finite(model, torch.zeros(2, 1, 4, 4)) is None
    model[4].weight.data[0, 0] = torch.inf
    assert first_non_finite(model, torch.ones(2, 1, 4, 4)) == ("4", "Linear")
    model[0].bias.data[1] = torch.nan
    assert first_non_finite(model, torch.zeros(2, 1, 4, 4)) == ("0", "Conv2d")


def test_flip_rate_counts_the_changed_bits_of_the_layers_in_both():
    before = {"a": torch.tensor([True, False]), "b": torch.tensor([True, True]), "c": torch.tensor([True])}
    after = {"a": torch.tensor([False, False]), "b": torch.tensor([True, True])}
    assert flip_rate(before, after) == 0.25
    assert flip_rate({}, after) is None


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
tensors = st.sampled_from([torch.float32, torch.int64, torch.uint8, torch.bool, torch.bfloat16]).flatmap(
    lambda dtype: st.lists(st.integers(0, 1), max_size=3).map(lambda v: torch.tensor(v, dtype=dtype))
)
keys = st.text("ab/", max_size=3) | st.integers(-2, 2)
trees = st.recursive(leaves | tensors, lambda t: st.lists(t, max_size=3) | st.dictionaries(keys, t, max_size=3))


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@settings(max_examples=40)
@given(tree=trees)
def test_a_checkpoint_holds_any_tree(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "a.safetensors"
    checkpoints.save(path, tree)
    assert same(tree, checkpoints.load(path))


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoints.save(path, {"a": torch.arange(100)})
    whole = path.read_bytes()
    for damaged in (b"", whole[:50], whole[:-1], b"\xff" * 64, whole.replace(b"tree", b"twig")):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is no checkpoint of onebit"):
            checkpoints.load(path)
    with pytest.raises(TypeError, match="must be a tensor, a number"):
        checkpoints.save(path, {"a": object()})


def test_a_view_and_a_tied_tensor_are_saved_by_value(tmp_path):
    base = torch.arange(6.0).view(2, 3)
    checkpoints.save(tmp_path / "a", {"t": base.t(), "row": base[1], "again": base})
    tree = checkpoints.load(tmp_path / "a")
    assert torch.equal(tree["t"], base.t())
    assert torch.equal(tree["row"], base[1])
