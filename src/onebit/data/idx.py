"""MNIST and the sets published in its form: four gzipped idx files."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch

from onebit.data.augment import Augment
from onebit.data.dataset import Dataset, Split, registry, statistics
from onebit.data.sources import Remote, Sources

MNIST_URLS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
FASHION_URLS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
MNIST_MD5 = (
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
)
FASHION_MD5 = (
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)
FASHION_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The array of an idx file of unsigned bytes, gzipped or not.

    The format: two zero bytes, the type (8: unsigned byte), the number of dimensions, each size as a big-endian 32-bit
    integer, then the values, last axis fastest.

    Args:
        path: the file.
        shape: what it must hold.

    Raises:
        ValueError: it holds anything else; the text says what.
    """
    length = 4 + 4 * len(shape) + math.prod(shape)
    try:
        with path.open("rb") as plain:
            gzipped = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if gzipped else path.open("rb") as file:
            data = file.read(length + 1)  # a file may unpack to a thousand times its size
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is cut short or damaged: {error}") from error
    header = 4 + 4 * len(shape)
    magic = bytes((0, 0, 8, len(shape)))
    if data[:4] != magic:
        raise ValueError(f"{path} must begin with the idx magic {magic.hex()}, got {data[:4].hex() or 'no bytes'}")
    sizes = tuple(int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(len(shape)))
    if sizes != shape:
        raise ValueError(f"{path} must hold an array of shape {shape}, its header says {sizes}")
    if len(data) != length:
        got = "more" if len(data) > length else len(data)
        raise ValueError(f"{path} must have {length} bytes unpacked, got {got}")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def _load(
    sources: Sources,
    names: tuple[str, ...],
    urls: tuple[str, ...],
    md5: tuple[str, ...],
    classes: tuple[str, ...],
    augment: Augment,
) -> Dataset:
    paths = [
        sources.fetch(Remote(f"{file}.gz", tuple(f"{url}{file}.gz" for url in urls), f"md5:{check}"), names, (file,))
        for file, check in zip(FILES, md5)
    ]
    parts = []
    for images, labels, count in ((paths[0], paths[1], 60_000), (paths[2], paths[3], 10_000)):
        x, y = read(images, (count, 28, 28)), read(labels, (count,))
        if y.max() > 9:
            raise ValueError(f"{labels} must hold labels 0..9, got {y.max()}")
        parts.append(Split(torch.from_numpy(x[:, None].copy()), torch.from_numpy(y.astype(np.int64))))
    mean, std = statistics(parts[0].images)
    return Dataset(names[0], parts[0], parts[1], 10, classes, mean, std, augment)


@registry.register("mnist")
def mnist(sources: Sources) -> Dataset:
    """MNIST: 60,000 + 10,000 handwritten digits, 28x28 grey [LeCun1998]."""
    return _load(sources, ("mnist", "MNIST/raw"), MNIST_URLS, MNIST_MD5, tuple("0123456789"), Augment())


@registry.register("fashion-mnist")
def fashion_mnist(sources: Sources) -> Dataset:
    """Fashion-MNIST: 60,000 + 10,000 articles of clothing, 28x28 grey [Xiao2017]."""
    names = ("fashion-mnist", "FashionMNIST/raw")
    return _load(sources, names, FASHION_URLS, FASHION_MD5, FASHION_CLASSES, Augment(crop=2, flip=True))
