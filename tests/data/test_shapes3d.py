"""Meshes, points on them, and the set of point clouds."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch

from onebit import data
from onebit.data import shapes3d

SQUARE = "OFF\n4 2 0\n0 0 0\n2 0 0\n2 2 0\n0 2 0\n3 0 1 2\n3 0 2 3\n"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_triangles_of_a_mesh_have_its_area(tmp_path, pack):
    (tmp_path / "file").write_bytes(pack(SQUARE.encode()))
    triangles = shapes3d.read(tmp_path / "file")
    assert triangles.shape == (2, 3, 3)
    assert shapes3d.areas(triangles).sum() == 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must begin with the line OFF"),
        ("OFF\n", "how many vertices"),
        (SQUARE[:-8], "4 vertices and 2 faces"),
        (SQUARE.replace("2 2 0", "2 2 x"), "3 numbers a vertex"),
        (SQUARE.replace("2 2 0", "2 2 nan"), "3 finite numbers a vertex"),
        (SQUARE.replace("3 0 2 3", "3 0 2 4"), r"vertices 0\.\.3"),
        (SQUARE.replace("3 0 2 3", "4 0 2 3"), "faces of 3 corners"),
        (SQUARE.replace("2", "0").replace("4 0 0", "4 2 0"), "have no area"),
    ],
)
def test_other_meshes_are_refused_with_the_reason(tmp_path, text, reason):
    (tmp_path / "file").write_text(text)
    with pytest.raises(ValueError, match=reason):
        shapes3d.read(tmp_path / "file")


def test_points_lie_in_the_unit_ball_about_their_mean_and_on_the_surface():
    flat = np.array([[[0, 0, 5], [1, 0, 5], [0, 1, 5]]], float)
    cloud = shapes3d.sample(flat, 500, np.random.default_rng(0))
    assert np.allclose(cloud.mean(1), 0, atol=1e-6)
    assert np.linalg.norm(cloud, axis=0).max() == pytest.approx(1)
    assert np.allclose(cloud[2], 0)


def test_the_clouds_follow_from_the_seed_and_are_equally_many_of_each_class(load_dataset):
    load_dataset("shapes3d")
    first, again, other = (data.load("shapes3d", download=False, points=32, clouds=4, seed=s) for s in (0, 0, 1))
    assert torch.equal(first.train.inputs, again.train.inputs)
    assert not torch.equal(first.train.inputs, other.train.inputs)
    assert tuple(first.train.inputs.shape) == (12, 3, 32)
    assert torch.bincount(first.test.labels).tolist() == [2, 2, 2]


def test_no_mesh_is_in_both_parts():
    assert not set(shapes3d.TRAIN) & set(shapes3d.TEST)
