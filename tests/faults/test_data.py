"""Data sets and their normalisation with numbers that are none, and labels that are no classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.faults.values import DENORMAL, INF, NAN

from onebit import ir, runtime
from onebit.data import Dataset, Split, normalize, stratified
from onebit.ir import Graph, TensorType


def dataset(images: torch.Tensor, labels: list[int], **settings) -> Dataset:
    split = Split(images, torch.tensor(labels, dtype=torch.int64))
    return Dataset("made", split, settings.pop("test", split), 3, ("a", "b", "c"), **settings)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_an_input_that_is_no_number_is_named_before_training(part, value, dtype):
    images = torch.zeros(4, 2, 3, dtype=dtype)
    bad = images.clone()
    bad[2, 1, 1] = value
    bad[3, 0] = value
    good, spoilt = (Split(x, torch.zeros(4, dtype=torch.int64)) for x in (images, bad))
    parts = (spoilt, good) if part == "train" else (good, spoilt)
    with pytest.raises(ValueError, match=rf"images of the {part} part must be finite, got {value} in example 2 \(2 in"):
        Dataset("made", *parts, 1, ("a",))


def test_denormals_and_huge_numbers_and_tokens_are_inputs():
    for images in (torch.tensor([[DENORMAL], [3e38]]), torch.tensor([[0], [2**40]])):
        assert len(dataset(images, [0, 1]).train) == 2


@pytest.mark.parametrize("labels", [[0, -1], [3, 0]])
def test_a_label_that_is_no_class_is_named_before_training(labels):
    with pytest.raises(ValueError, match=r"labels of the train part must be 0\.\.2, got"):
        dataset(torch.zeros(2, 4), labels)


@pytest.mark.parametrize("std", [0.0, -1.0, NAN, INF])
def test_a_deviation_that_cannot_divide_is_refused_wherever_it_comes_in(std):
    images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="std must be a finite number above 0"):
        dataset(images, [0, 1], mean=(0.5,), std=(std,))
    with pytest.raises(ValueError, match="std must be finite and above 0"):
        normalize(images, (0.5,), (std,))
    graph = Graph({"x": TensorType("float32", ("batch", 1))}, meta={"mean": [0.5], "std": [std]})
    graph.outputs = [graph.add("relu", "x")]
    with pytest.raises(ValueError, match=r"std|finite|JSON"):
        ir.dumps(graph)


@pytest.mark.parametrize("mean", [NAN, INF])
def test_a_mean_that_is_no_number_is_refused(mean):
    with pytest.raises(ValueError, match="mean must be finite"):
        dataset(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), [0, 1], mean=(mean,), std=(1.0,))


def test_constant_images_have_a_deviation_that_divides():
    from onebit.data.dataset import statistics

    mean, std = statistics(torch.full((2, 1, 4, 4), 7, dtype=torch.uint8))
    assert std == (1e-4,)
    assert normalize(torch.full((1, 1, 1, 1), 7, dtype=torch.uint8), mean, std).isfinite().all()


def test_no_image_is_normalised_to_no_image_in_training_and_in_the_packed_file():
    graph = Graph({"x": TensorType("float32", ("batch", 1, 2, 2))}, meta={"mean": [0.5], "std": [0.25]})
    graph.outputs = [graph.add("relu", "x")]
    model = runtime.Model(ir.dumps(graph))
    empty = np.zeros((0, 1, 2, 2), np.uint8)
    assert model.normalize(empty).shape == normalize(torch.from_numpy(empty), (0.5,), (0.25,)).shape == (0, 1, 2, 2)


def test_of_no_example_none_is_chosen():
    chosen, others = stratified(torch.empty(0, dtype=torch.int64), 0, seed=0)
    assert len(chosen) == len(others) == 0
    with pytest.raises(ValueError, match="count must be"):
        stratified(torch.zeros(2, dtype=torch.int64), 3, seed=0)
