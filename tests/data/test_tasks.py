"""Data sets whose inputs are no images: their files, their splits, and that networks learn from them."""

from __future__ import annotations

import gzip

import pytest
import torch

from onebit import data
from onebit.data import adult
from onebit.learn import ModelSpec, Recipe, train
from onebit.learn.spec import SUITABLE


def accuracy_of_the_commonest(dataset: data.Dataset) -> float:
    """Of a model that always names the class that is commonest in training."""
    commonest = torch.bincount(dataset.train.labels).argmax()
    return float((dataset.test.labels == commonest).double().mean())


def learned(dataset: data.Dataset, spec: ModelSpec, epochs: int) -> float:
    recipe = Recipe(epochs=epochs, batch_size=64, learning_rate=0.01, validation=0.0)
    return train(spec, dataset, recipe, progress=False).history.test.accuracy


def test_adult_holds_its_counts_and_only_zeros_and_ones(load_dataset):
    whole = load_dataset("adult")
    assert (tuple(whole.train.inputs.shape), tuple(whole.test.inputs.shape)) == ((16_100, 123), (16_461, 123))
    assert whole.train.inputs.unique().tolist() == [0, 1]
    assert not whole.is_images
    assert 0.2 < whole.train.labels.double().mean() < 0.3  # a quarter, as its authors say


def test_a_perceptron_of_bits_learns_adult_better_than_the_commonest_class(load_dataset):
    some = load_dataset("adult").limit(4000, 2000)
    assert learned(some, ModelSpec("mlp", {"width": 64, "depth": 1}, "biper"), 3) > accuracy_of_the_commonest(some)


ROWS = "-1 1:1 3:1 \n+1 2:1\n-1\n"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_rows_of_libsvm_are_read_as_they_say(tmp_path, pack):
    (tmp_path / "file").write_bytes(pack(ROWS.encode()))
    split = adult.read(tmp_path / "file", 3, 4)
    assert split.inputs.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert split.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (ROWS[:-3], "must have 3 lines, got 2"),
        (ROWS.replace("+1", "+2"), "line 2 must read like"),
        (ROWS.replace("2:1", "2:0.5"), "line 2 must read like"),
        (ROWS.replace("3:1", "5:1"), r"line 1 must have ascending indices 1\.\.4"),
        (ROWS.replace("3:1", "1:1"), r"line 1 must have ascending indices 1\.\.4"),
        (ROWS.replace("+1", "\xff"), "must be UTF-8 text, got byte 0xff at 12"),
    ],
)
def test_other_rows_are_refused_with_the_line(tmp_path, rows, reason):
    (tmp_path / "file").write_bytes(rows.encode("latin-1"))
    with pytest.raises(ValueError, match=reason):
        adult.read(tmp_path / "file", 3, 4)


def features(name: str = "table") -> data.Dataset:
    part = data.Split(torch.eye(4), torch.tensor([0, 1, 0, 1]))
    return data.Dataset(name, part, part, 2, ("even", "odd"))


def test_a_model_for_images_refuses_features_in_a_sentence():
    with pytest.raises(ValueError, match=r"model 'convnet' takes examples \(C, H, W\), and those of data set 'table'"):
        ModelSpec("convnet").fitted(features())


OF_KIND = {
    "images": torch.zeros(2, 1, 4, 4),
    "points": torch.zeros(2, 3, 5),
    "tokens": torch.ones(2, 3, dtype=torch.int64),
    "features": torch.zeros(2, 4),
}


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_model_that_does_not_take_the_examples_is_refused_with_one_that_does(kind):
    part = data.Split(OF_KIND[kind], torch.tensor([0, 1]))
    dataset = data.Dataset(kind, part, part, 2, ("no", "yes"), num_tokens=2 if kind == "tokens" else 0)
    suitable = ModelSpec(SUITABLE[kind]).fitted(dataset)
    assert suitable.build(seed=0)(part.inputs).shape == (2, 2)
    takers = {"convnet": "images", "pointnet": "points", "transformer": "tokens", "dfsmn": "images", "vit": "images"}
    for name, wanted in takers.items():
        if kind != wanted:
            with pytest.raises(ValueError, match=f"'{name}' takes .* of data set '{kind}' .* {SUITABLE[kind]!r} for "):
                ModelSpec(name).fitted(dataset)
    # frames of a size that was said are no points
    if kind == "points":
        assert ModelSpec("gru-classifier", {"frame_features": 5}).fitted(dataset).sizes["num_classes"] == 2


def test_an_augmentation_asked_for_on_features_is_refused():
    recipe = Recipe(epochs=1, batch_size=2, validation=0.0, augment=data.Augment(crop=1))
    with pytest.raises(ValueError, match="augment crops and flips images, and data set 'table' has none"):
        train(ModelSpec("mlp", {"width": 4}), features(), recipe, progress=False)
