"""Generated point clouds: eight shapes, turned, scaled and jittered, without a file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from onebit.core.errors import check_range
from onebit.core.seeds import derive, generator
from onebit.data.dataset import Dataset, Split, registry
from onebit.data.sources import Sources

Shape = Callable[[np.ndarray], np.ndarray]
JITTER = 0.02
SCALES = (0.8, 1.2)


# Each shape maps the unit cube ``(..., 3)`` onto a surface in the unit ball ``(..., 3)``, equal volumes to equal areas.
# The first coordinate chooses between the parts of a surface.


def sphere(u: np.ndarray) -> np.ndarray:
    """Of radius 1: slices of one height have one area, so z and the angle are uniform."""
    z = 2 * u[..., 1] - 1
    return _about_z(np.sqrt(1 - z * z), u[..., 2], z)


def cube(u: np.ndarray) -> np.ndarray:
    """Of half side 1 / sqrt(3)."""
    face = np.minimum((6 * u[..., 0]).astype(int), 5)
    flat = np.stack([2 * u[..., 1] - 1, 2 * u[..., 2] - 1, np.where(face % 2, 1.0, -1.0)], -1)
    order = (np.arange(3) + face[..., None] // 2) % 3
    return np.take_along_axis(flat, order, -1) / np.sqrt(3)


def cylinder(u: np.ndarray) -> np.ndarray:
    """Of radius .6 and half height .8, with both lids."""
    part, along, turn = np.moveaxis(u, -1, 0)
    side = part < 1.6 / (1.6 + 0.6)  # areas: 2 pi r h and 2 pi r^2
    lid = np.where(part < (1.6 + 0.3) / (1.6 + 0.6), 0.8, -0.8)
    return _about_z(np.where(side, 0.6, 0.6 * np.sqrt(along)), turn, np.where(side, 1.6 * along - 0.8, lid))


def cone(u: np.ndarray) -> np.ndarray:
    """From its tip at z = 1 to its base of radius .8 at z = -.6."""
    part, along, turn = np.moveaxis(u, -1, 0)
    slant = np.hypot(0.8, 1.6)  # areas: pi r s and pi r^2
    share = np.sqrt(along)
    return _about_z(0.8 * share, turn, np.where(part < slant / (slant + 0.8), 1 - 1.6 * share, -0.6))


def torus(u: np.ndarray) -> np.ndarray:
    """A tube of radius .3 about a circle of radius .7."""
    flip, along, turn = np.moveaxis(u, -1, 0)
    angle = 2 * np.pi * along
    # The density is (1 + a cos) / 2 pi; an angle refused by it is mirrored to the other side of the tube.
    angle = np.where(2 * flip < 1 + 0.3 / 0.7 * np.cos(angle), angle, np.pi - angle)
    return _about_z(0.7 + 0.3 * np.cos(angle), turn, 0.3 * np.sin(angle))


def plane_pair(u: np.ndarray) -> np.ndarray:
    """Two squares of half side .6, one at z = .5 and one at z = -.5."""
    return np.stack([1.2 * u[..., 1] - 0.6, 1.2 * u[..., 2] - 0.6, np.where(u[..., 0] < 0.5, 0.5, -0.5)], -1)


def helix(u: np.ndarray) -> np.ndarray:
    """A line that winds three times about the z axis at a distance of .7, from z = -.7 to .7."""
    return _about_z(np.full(u.shape[:-1], 0.7), 3 * u[..., 1], 1.4 * u[..., 1] - 0.7)


def cross(u: np.ndarray) -> np.ndarray:
    """Two upright squares of half side .7 that meet at right angles in the z axis."""
    across, z = 1.4 * u[..., 1] - 0.7, 1.4 * u[..., 2] - 0.7
    first = u[..., 0] < 0.5
    return np.stack([np.where(first, across, 0.0), np.where(first, 0.0, across), z], -1)


def _about_z(radius: np.ndarray, turns: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.stack([radius * np.cos(2 * np.pi * turns), radius * np.sin(2 * np.pi * turns), z], -1)


SHAPES: dict[str, Shape] = {
    shape.__name__.replace("_", " "): shape for shape in (sphere, cube, cylinder, cone, torus, plane_pair, helix, cross)
}


def shapes3d_points(n: int, points: int = 256, seed: int = 0) -> Split:
    """``n`` clouds of points at random on the surfaces of :data:`SHAPES`, which take turns: cloud ``i`` is of class
    ``i % 8``.

    Each surface, in the unit ball, is turned about z by any angle and scaled by 0.8 to 1.2; then every point moves by a
    normal deviate of deviation 0.02 a coordinate.

    Args:
        n: number of clouds, 0 or more. The first clouds are the same whatever ``n``.
        points: of a cloud, 1..65536.
        seed: of everything.

    Returns:
        inputs ``(n, 3, points)`` float32, labels ``(n,)`` int64.

    Example:
        >>> clouds = shapes3d_points(16, points=100)
        >>> tuple(clouds.inputs.shape), clouds.labels[:9].tolist()
        ((16, 3, 100), [0, 1, 2, 3, 4, 5, 6, 7, 0])
    """
    check_range("n", n, 0, 1_000_000)
    check_range("points", points, 1, 65_536)
    names = ("surface", "pose", "jitter")
    surface, pose, jitter = (generator(seed, "shapes3d_points", name, points) for name in names)
    u, (turn, size) = surface.random((n, points, 3)), pose.random((n, 2)).T
    labels = np.arange(n) % len(SHAPES)
    clouds = np.empty((n, points, 3))
    for label, shape in enumerate(SHAPES.values()):
        clouds[labels == label] = shape(u[labels == label])
    cos, sin = np.cos(2 * np.pi * turn)[:, None], np.sin(2 * np.pi * turn)[:, None]
    x, y, z = np.moveaxis(clouds, -1, 0)
    scale = (SCALES[0] + (SCALES[1] - SCALES[0]) * size)[:, None, None]
    turned = scale * np.stack([cos * x - sin * y, sin * x + cos * y, z], -1)
    turned += JITTER * jitter.standard_normal((n, points, 3))
    return Split(torch.from_numpy(turned.transpose(0, 2, 1).astype(np.float32)), torch.from_numpy(labels))


@registry.register("shapes3d-points")
def shapes3d_points_set(
    sources: Sources, points: int = 256, train: int = 2000, test: int = 800, seed: int = 0
) -> Dataset:
    """Generated point clouds of 8 classes: sphere, cube, cylinder, cone, torus, plane pair, helix, cross.

    Inputs: ``(N, 3, points)`` float32 of :func:`shapes3d_points`, the two parts from streams of their own.

    Args:
        sources: not used; nothing is read.
        points: of a cloud.
        train, test: number of clouds, 8 or more: all classes are in both parts.
        seed: of the clouds.
    """
    parts = []
    for part, count in (("train", train), ("test", test)):
        check_range(part, count, len(SHAPES), 1_000_000)
        parts.append(shapes3d_points(count, points, derive(seed, "shapes3d-points", part)))
    return Dataset("shapes3d-points", parts[0], parts[1], len(SHAPES), tuple(SHAPES))
