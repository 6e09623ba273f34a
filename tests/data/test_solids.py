"""Generated point clouds: on their surfaces, equally likely everywhere there, and what they follow from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onebit import data
from onebit.data.solids import SHAPES, shapes3d_points

N = 20_000
ROOT = 1 / np.sqrt(3)


def points(name: str) -> np.ndarray:
    """``(3, N)``."""
    return SHAPES[name](np.random.default_rng(0).random((N, 3))).T


def share(chosen: np.ndarray, expected: float) -> None:
    """Within four deviations of a share of ``N`` draws."""
    assert abs(float(np.mean(chosen)) - expected) < 4 * np.sqrt(expected * (1 - expected) / N)


@pytest.mark.parametrize("name", SHAPES)
def test_the_surface_is_in_the_unit_ball_and_has_as_many_points_on_each_side(name):
    x, y, z = points(name)
    assert np.sqrt(x * x + y * y + z * z).max() <= 1 + 1e-12
    for coordinate in (x, y) if name == "cone" else (x, y, z):
        share(coordinate[coordinate != 0] > 0, 0.5)


def test_the_sphere_has_as_many_points_in_slices_of_one_height():
    x, y, z = points("sphere")
    assert np.allclose(x * x + y * y + z * z, 1)
    for low in (-1, -0.5, 0.9):
        share((z >= low) & (z < low + 0.1), 0.05)


def test_the_six_faces_of_the_cube_are_equally_likely():
    cube = points("cube")
    assert np.allclose(np.abs(cube).max(0), ROOT)
    for axis in cube:
        for side in (-ROOT, ROOT):
            share(np.isclose(axis, side), 1 / 6)


def test_the_lids_of_the_cylinder_have_the_share_of_their_area():
    x, y, z = points("cylinder")
    radius, lid = np.hypot(x, y), np.isclose(np.abs(z), 0.8)
    assert np.allclose(radius[~lid], 0.6)
    assert radius.max() <= 0.6 + 1e-12
    assert np.abs(z).max() <= 0.8 + 1e-12
    share(lid, 2 * np.pi * 0.36 / (2 * np.pi * 0.36 + 2 * np.pi * 0.6 * 1.6))
    share(radius < 0.3, 0.09 / 0.36 * 0.72 / (0.72 + 1.92))  # the inner discs, of a quarter of the lids' area


def test_the_cone_has_its_area_below_and_around():
    x, y, z = points("cone")
    radius, base = np.hypot(x, y), np.isclose(z, -0.6)
    assert np.allclose(z[~base], 1 - 2 * radius[~base])
    slant = np.pi * 0.8 * np.hypot(0.8, 1.6)
    share(base, np.pi * 0.64 / (np.pi * 0.64 + slant))
    share(~base & (z > 0.2), slant / 4 / (np.pi * 0.64 + slant))  # half way to the tip: a quarter of the area


def test_the_outer_half_of_the_torus_has_the_share_of_its_area():
    x, y, z = points("torus")
    radius = np.hypot(x, y)
    assert np.allclose((radius - 0.7) ** 2 + z * z, 0.09)
    share(radius > 0.7, 0.5 + 0.3 / (0.7 * np.pi))


def test_planes_cross_and_helix_are_where_they_are_said_to_be():
    x, y, z = points("plane pair")
    assert np.allclose(np.abs(z), 0.5)
    assert np.abs([x, y]).max() <= 0.6
    x, y, z = points("cross")
    assert (np.minimum(np.abs(x), np.abs(y)) == 0).all()
    share(x == 0, 0.5)
    x, y, z = points("helix")
    angle = 2 * np.pi * 3 * (z + 0.7) / 1.4
    assert np.allclose([x, y], [0.7 * np.cos(angle), 0.7 * np.sin(angle)])


def test_a_cloud_is_its_surface_turned_about_z_scaled_and_jittered():
    clouds = shapes3d_points(800, points=400)
    x, y, z = clouds.inputs.unbind(1)
    sphere = torch.sqrt(x * x + y * y + z * z)[clouds.labels == 0].double()
    scales = sphere.mean(1)
    assert scales.min() > 0.79
    assert scales.max() < 1.21
    assert float(scales.std()) == pytest.approx(0.4 / 12**0.5, rel=0.2)  # that of a uniform draw of 100
    assert float((sphere - scales[:, None]).std()) == pytest.approx(0.02, rel=0.05)
    planes = clouds.labels == 5
    angle = torch.atan2(y[planes], x[planes])
    assert float(z[planes].abs().max()) < 0.6 + 5 * 0.02  # no turn leaves the plane
    tops = (x[planes] ** 2 + y[planes] ** 2).argmax(1)  # the corners point anywhere
    corners = angle[torch.arange(len(tops)), tops] % (torch.pi / 2)
    assert torch.histc(corners, 4, 0, torch.pi / 2).min() > 10


@settings(max_examples=10)
@given(n=st.integers(0, 20), more=st.integers(0, 9), points=st.integers(1, 40), seed=st.integers(0, 9))
def test_the_first_clouds_are_the_same_whatever_their_number(n, more, points, seed):
    few, many = shapes3d_points(n, points, seed), shapes3d_points(n + more, points, seed)
    assert tuple(few.inputs.shape) == (n, 3, points)
    assert few.inputs.dtype == torch.float32
    assert torch.equal(few.inputs, many.inputs[:n])
    assert torch.equal(few.labels, many.labels[:n])
    assert not n or not torch.equal(few.inputs, shapes3d_points(n, points, seed + 1).inputs)


def test_the_set_needs_no_file_and_its_parts_share_no_cloud():
    found = data.load("shapes3d-points", download=False, points=64, train=160, test=80)
    assert torch.bincount(found.train.labels).tolist() == [20] * 8
    assert torch.bincount(found.test.labels).tolist() == [10] * 8
    assert found.class_names[5] == "plane pair"
    assert not any((cloud == found.train.inputs).all() for cloud in found.test.inputs)
    again = data.load("shapes3d-points", points=64, train=160, test=80)
    assert torch.equal(again.test.inputs, found.test.inputs)


def test_what_does_not_depend_on_the_order_of_points_tells_the_classes_apart():
    found = data.load("shapes3d-points", points=128, train=400, test=200)

    def profile(x):  # heights and distances from the axis, sorted
        return torch.cat([x[:, 2].sort(1).values, torch.hypot(x[:, 0], x[:, 1]).sort(1).values], 1)

    near = torch.cdist(profile(found.test.inputs), profile(found.train.inputs)).argmin(1)
    assert float((found.train.labels[near] == found.test.labels).double().mean()) > 0.95


@pytest.mark.parametrize(("change", "said"), [({"points": 0}, "points must be"), ({"train": 7}, "train must be 8")])
def test_sizes_are_checked(change, said):
    with pytest.raises(ValueError, match=said):
        data.load("shapes3d-points", **change)
