"""Normalisation and augmentation: limits, equality with a per-image loop, and batches shared out among processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onebit.data import Augment, Dataset, Split, normalize, random_crop, random_flip, stratified


def images(count: int = 6, height: int = 5, width: int = 7, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 256, (count, 2, height, width), dtype=torch.uint8, generator=generator)


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_normalize_is_the_formula_in_its_order():
    x = images()
    mean, std = torch.tensor([0.3, 0.4]).view(1, 2, 1, 1), torch.tensor([0.2, 0.7]).view(1, 2, 1, 1)
    assert torch.equal(normalize(x, (0.3, 0.4), (0.2, 0.7)), (x.float() / 255 - mean) / std)


def test_normalize_gives_the_bits_of_the_formula_in_numpy_for_every_pixel_value():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    for mean, std in ((0.1307, 0.3081), (0.2860, 0.3530), (0.4914, 0.2470)):
        expected = (pixels.astype(np.float32) / np.float32(255) - np.float32(mean)) / np.float32(std)
        assert np.array_equal(normalize(torch.from_numpy(pixels), (mean,), (std,)).numpy(), expected)


def test_normalize_leaves_what_is_no_image_alone_and_checks_the_channels():
    tokens = torch.arange(6).view(2, 3)
    assert normalize(tokens) is tokens
    with pytest.raises(ValueError, match="2 numbers each, got 1 and 1"):
        normalize(images(), (0.5,), (0.5,))


@settings(max_examples=25, deadline=None)
@given(padding=st.integers(0, 4), seed=st.integers(0, 99), count=st.integers(0, 5))
def test_every_crop_is_a_window_of_the_padded_image(padding, seed, count):
    x = images(count)
    result = random_crop(x, padding, drawn(seed))
    assert result.shape == x.shape
    padded = torch.nn.functional.pad(x, (padding,) * 4)
    places = range(2 * padding + 1)
    for i in range(count):
        assert any(torch.equal(result[i], padded[i, :, a : a + 5, b : b + 7]) for a in places for b in places)


def test_all_places_and_both_mirrorings_occur():
    one = images(1).expand(2000, -1, -1, -1)
    assert len({tuple(x.flatten().tolist()) for x in random_crop(one, 1, drawn(0))}) == 9
    flipped = (random_flip(one, drawn(0)) != one).flatten(1).any(1).double().mean()
    assert abs(float(flipped) - 0.5) < 0.05


def test_a_flip_mirrors_left_and_right():
    x = images()
    result = random_flip(x, drawn(3))
    for before, after in zip(x, result):
        assert torch.equal(after, before) or torch.equal(after, before.flip(-1))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), shares=st.sampled_from([1, 2, 3, 6]))
def test_a_shared_out_batch_gets_what_the_whole_batch_gets(seed, shares):
    x, augment = images(6), Augment(crop=2, flip=True)
    whole = augment(x, drawn(seed))
    rows = [slice(i * 6 // shares, (i + 1) * 6 // shares) for i in range(shares)]
    parts = [augment(x[r], drawn(seed), r, 6) for r in rows]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("arguments", [{"crop": -1}, {"crop": True}, {"flip": 1}])
def test_augment_checks_its_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Augment(**arguments)


@settings(max_examples=40, deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), share=st.floats(0, 1), seed=st.integers(0, 9))
def test_stratified_choice_has_the_asked_count_and_every_class_by_its_share(labels, share, seed):
    y = torch.tensor(labels)
    count = int(share * len(y))
    chosen, others = stratified(y, count, seed)
    assert len(chosen) == count
    assert torch.equal(torch.cat([chosen, others]).sort().values, torch.arange(len(y)))
    exact = torch.bincount(y, minlength=5) * count / len(y)
    assert (torch.bincount(y[chosen], minlength=5) - exact).abs().max() < 1


def test_a_limited_set_is_smaller_and_as_mixed():
    labels = torch.arange(100) % 4
    split = Split(torch.zeros(100, 1, 2, 2, dtype=torch.uint8), labels)
    small = Dataset("a", split, split, 4, ("a", "b", "c", "d"), (0.5,), (0.5,)).limit(train=8, test=200)
    assert torch.bincount(small.train.labels).tolist() == [2, 2, 2, 2]
    assert len(small.test) == 100


def test_a_split_and_a_data_set_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="equally many, got 2 and 3"):
        Split(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="labels must be int64"):
        Split(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(2))
    split = Split(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 2]))
    with pytest.raises(ValueError, match=r"labels of the train part must be 0\.\.1, got 0\.\.2"):
        Dataset("a", split, split, 2, ("a", "b"))
