"""Point clouds of meshes of ModelNet: bathtubs, chairs and toilets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from onebit.core.errors import check_range, shown
from onebit.core.seeds import derive
from onebit.data.dataset import Dataset, Split, registry
from onebit.data.lines import read_lines
from onebit.data.sources import Remote, Sources

CLASSES = ("bathtub", "chair", "toilet")
TRAIN = ("bathtub_0001", "bathtub_0002", "bathtub_0003", "bathtub_0004", "chair_0001", "chair_0002", "toilet_0001")
TEST = ("bathtub_0005", "chair_0059", "toilet_0002")
MOST = 1_000_000


def read(path: Path) -> np.ndarray:
    """The triangles of a mesh in the text form of OFF: vertices, then faces of 3 corners.

    Returns:
        ``(F, 3, 3)`` float64: face, corner, coordinate.

    Raises:
        ValueError: it holds anything else; the text says what.
    """
    words = [line.split() for line in read_lines(path) if line.strip() and not line.startswith("#")]
    if not words or words[0] != ["OFF"]:
        raise ValueError(f"{path} must begin with the line OFF, got {shown(' '.join(words[0]) if words else '')}")
    sizes = words[1] if len(words) > 1 else []
    if len(sizes) != 3 or not all(size.isascii() and size.isdigit() and len(size) < 8 for size in sizes):
        raise ValueError(f"{path} must say how many vertices, faces and edges it has, got {shown(' '.join(sizes))}")
    vertices, faces = int(sizes[0]), int(sizes[1])
    if not (1 <= vertices <= MOST and 1 <= faces <= MOST and len(words) == 2 + vertices + faces):
        raise ValueError(f"{path} must have {vertices} vertices and {faces} faces, 1 or more, a line each")
    try:
        points = np.array(words[2 : 2 + vertices], dtype=np.float64)
        corners = np.array(words[2 + vertices :], dtype=np.int64)
    except (ValueError, OverflowError):
        raise ValueError(f"{path} must have 3 numbers a vertex and 4 integers a face") from None
    if points.shape != (vertices, 3) or not (np.abs(points) < 1e9).all():
        raise ValueError(f"{path} must have 3 finite numbers a vertex")
    if corners.shape != (faces, 4) or (corners[:, 0] != 3).any() or not 0 <= corners.min() <= corners.max() < vertices:
        raise ValueError(f"{path} must have faces of 3 corners, vertices 0..{vertices - 1}")
    triangles = points[corners[:, 1:]]
    if not areas(triangles).sum() > 0:
        raise ValueError(f"{path} must have a surface, all its faces have no area")
    return triangles


def areas(triangles: np.ndarray) -> np.ndarray:
    """Areas ``(F,)`` of triangles ``(F, 3, 3)``."""
    sides = triangles[:, 1:] - triangles[:, :1]
    return np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1) / 2


def sample(triangles: np.ndarray, points: int, generator: np.random.Generator) -> np.ndarray:
    """Points at random on a surface, equally likely everywhere, turned about z, in the unit ball about their mean.

    Returns:
        ``(3, points)`` float32; the farthest is at distance 1.
    """
    share = areas(triangles)
    chosen = triangles[generator.choice(len(triangles), points, p=share / share.sum())]
    root, along = np.sqrt(generator.random(points)), generator.random(points)
    weights = np.stack([1 - root, root * (1 - along), root * along], 1)
    cloud = (weights[:, :, None] * chosen).sum(1)
    cloud -= cloud.mean(0)
    turn = generator.random() * 2 * np.pi
    cloud[:, :2] = cloud[:, :2] @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return (cloud / max(np.linalg.norm(cloud, axis=1).max(), 1e-12)).T.astype(np.float32)


@registry.register("shapes3d")
def shapes3d(sources: Sources, points: int = 256, clouds: int = 120, seed: int = 0) -> Dataset:
    """Point clouds of ten meshes of ModelNet, 3 classes: 360 + 180 clouds of 256 points [Wu2015].

    Inputs: ``(N, 3, points)`` float32, :func:`sample` of a mesh. Seven meshes are the training part and three others,
    one of each class, the test part: no mesh is in both. So few meshes make a check, no benchmark.

    Args:
        sources: where the files are.
        points: of a cloud, 2 or more.
        clouds: of each class in training, 1..100000; half as many, rounded up, in the test part.
        seed: of the points.
    """
    check_range("points", points, 2, 65_536)
    check_range("clouds", clouds, 1, 100_000)
    names = ("shapes3d/modelnet_off", "modelnet_off", "shapes3d")
    how = "get the mesh from ModelNet40, gzipped or not,"
    parts = []
    for part, meshes, count in (("train", TRAIN, clouds), ("test", TEST, -(-clouds // 2))):
        generator = np.random.default_rng(derive(seed, "shapes3d", part))
        x, y = [], []
        for label, kind in enumerate(CLASSES):
            files = [mesh for mesh in meshes if mesh.startswith(kind)]
            found = [read(sources.fetch(Remote(f"{f}.off.gz"), names, (f"{f}.off",), how)) for f in files]
            x += [sample(found[i % len(found)], points, generator) for i in range(count)]
            y += [label] * count
        parts.append(Split(torch.from_numpy(np.stack(x)), torch.tensor(y, dtype=torch.int64)))
    return Dataset("shapes3d", parts[0], parts[1], len(CLASSES), CLASSES)
