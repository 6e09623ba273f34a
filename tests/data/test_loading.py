"""Every loader on the real files where they are, on damaged files, and the folders that are searched."""

from __future__ import annotations

import gzip
import io
import tarfile

import numpy as np
import pytest
import torch

from onebit import data
from onebit.data import cifar, idx
from onebit.data.sources import Remote, Sources


def real(name: str) -> data.Dataset:
    try:
        return data.load(name, download=False)
    except data.DataNotFound as error:
        pytest.skip(f"data set {name} is not here: {error}")


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


# Per-class counts, mean and deviation as published by the authors of the sets.
@pytest.mark.parametrize(
    ("name", "mean", "std", "least"), [("mnist", 0.1307, 0.3081, 5421), ("fashion-mnist", 0.2860, 0.3530, 6000)]
)
def test_idx_sets_hold_what_their_authors_publish(name, mean, std, least):
    dataset = real(name)
    assert dataset.train.images.shape == (60_000, 1, 28, 28)
    assert dataset.test.images.shape == (10_000, 1, 28, 28)
    assert dataset.train.images.dtype == torch.uint8
    assert (dataset.mean, dataset.std) == ((mean,), (std,))
    assert int(torch.bincount(dataset.train.labels).min()) == least
    assert dataset.input_shape == (1, 28, 28)


def test_the_first_mnist_labels_are_the_known_ones():
    dataset = real("mnist")
    assert dataset.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert dataset.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_recoded_cifar_holds_its_counts_with_every_class_equally_often():
    dataset = real("cifar10-jpeg")
    assert dataset.train.images.shape == (20_000, 3, 32, 32)
    assert dataset.test.images.shape == (10_000, 3, 32, 32)
    assert torch.bincount(dataset.train.labels).tolist() == [2000] * 10
    assert torch.bincount(dataset.test.labels).tolist() == [1000] * 10


def test_digits_split_is_fixed_by_the_seed_and_keeps_the_shares_of_the_classes():
    first, again, other = (data.load("digits", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.test.images, again.test.images)
    assert not torch.equal(first.test.images, other.test.images)
    assert len(first.train) + len(first.test) == 1797
    whole = torch.bincount(torch.cat([first.train.labels, first.test.labels])).double()
    assert (torch.bincount(first.test.labels) / whole - 360 / 1797).abs().max() < 1 / whole.min()
    assert first.train.images.max() == 255
    sixteenths = first.train.images.double() * 16 / 255
    assert (sixteenths - sixteenths.round()).abs().max() < 0.04


def test_digits_parts_have_no_example_in_common():
    dataset = data.load("digits")
    rows = torch.cat([dataset.train.images, dataset.test.images]).flatten(1)
    whole = data.load("digits", test_share=0.5)
    other = torch.cat([whole.train.images, whole.test.images]).flatten(1)
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, other.tolist()))


def test_an_unknown_set_names_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'mnist'"):
        data.load("mnits")


def test_a_set_that_cannot_be_had_says_where_it_was_looked_for_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(data.DataNotFound) as caught:
        data.load("cifar10", folder=tmp_path, download=False)
    text = str(caught.value)
    for part in (str(tmp_path / "cifar10"), str(tmp_path / "cache"), "https://www.cs.toronto.edu", "ONEBIT_DATA"):
        assert part in text
    assert "\n" not in text


def test_a_folder_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ONEBIT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="ONEBIT_DATA must name a folder"):
        data.load("mnist")


def test_folders_are_searched_in_the_documented_order(tmp_path, monkeypatch):
    monkeypatch.setenv("ONEBIT_DATA", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    places = [
        tmp_path / "given",
        tmp_path / "named",
        tmp_path / "work" / "data",
        tmp_path / "shared" / "data",
        tmp_path / "cache" / "onebit" / "data",
    ]
    for place in places:
        (place / "a-set").mkdir(parents=True)
        (place / "a-set" / "file").touch()
    sources = Sources.search(places[0])
    for place in places:
        found = sources.find(["a-set"], ["file"])
        assert found is not None
        assert found.resolve() == place / "a-set" / "file"
        found.unlink()
    assert sources.find(["a-set"], ["file"]) is None


ARRAY = np.arange(24).reshape(2, 3, 4)
DAMAGE = {
    "cut short or damaged": gzip.compress(idx_bytes(ARRAY))[:-9],
    "idx magic": b"\x00\x00\x0d\x03" + idx_bytes(ARRAY)[4:],
    "its header says": idx_bytes(ARRAY[:1]),
    "must have 40 bytes": idx_bytes(ARRAY)[:-1],
    "got no bytes": b"",
}


@pytest.mark.parametrize("reason", DAMAGE)
def test_a_damaged_idx_file_is_refused_with_the_reason(tmp_path, reason):
    path = tmp_path / "file"
    path.write_bytes(DAMAGE[reason])
    with pytest.raises(ValueError, match=reason):
        idx.read(path, (2, 3, 4))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_idx_file_reads_back_gzipped_or_not(tmp_path, pack):
    (tmp_path / "file").write_bytes(pack(idx_bytes(ARRAY)))
    assert np.array_equal(idx.read(tmp_path / "file", (2, 3, 4)), ARRAY)


def test_labels_out_of_range_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for file, count, label in (("train", 60_000, 10), ("t10k", 10_000, 0)):
        (folder / f"{file}-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((count, 28, 28), np.uint8)))
        (folder / f"{file}-labels-idx1-ubyte").write_bytes(idx_bytes(np.full(count, label)))
    with pytest.raises(ValueError, match=r"labels 0\.\.9, got 10"):
        data.load("mnist", folder=tmp_path)


def cifar_batch(seed: int, images: int = cifar.PER_FILE) -> bytes:
    rows = np.random.default_rng(seed).integers(0, 256, (images, cifar.RECORD), dtype=np.uint8)
    rows[:, 0] = np.arange(images) % 10
    return rows.tobytes()


def cifar_archive(path, batches: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in batches.items():
            member = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def small_cifar(monkeypatch):
    monkeypatch.setattr(cifar, "PER_FILE", 20)
    return {name: cifar_batch(i, 20) for i, name in enumerate((*cifar.TRAIN_FILES, *cifar.TEST_FILES))}


def test_cifar_archive_and_its_unpacked_files_hold_the_same(tmp_path, small_cifar):
    (tmp_path / "packed" / "cifar10").mkdir(parents=True)
    cifar_archive(tmp_path / "packed" / "cifar10" / cifar.ARCHIVE.file, small_cifar)
    loose = tmp_path / "loose" / cifar.FOLDER
    loose.mkdir(parents=True)
    for name, content in small_cifar.items():
        (loose / name).write_bytes(content)
    packed, unpacked = (data.load("cifar10", folder=tmp_path / kind) for kind in ("packed", "loose"))
    for part in ("train", "test"):
        assert torch.equal(getattr(packed, part).images, getattr(unpacked, part).images)
    record = np.frombuffer(small_cifar["data_batch_2.bin"], np.uint8).reshape(20, -1)[3]
    assert packed.train.labels[23] == record[0]
    assert packed.train.images[23, 1, 2, 5] == record[1 + 1024 + 2 * 32 + 5]


def test_a_damaged_cifar_archive_is_refused_with_the_reason(tmp_path, small_cifar):
    path = tmp_path / "cifar10" / cifar.ARCHIVE.file
    path.parent.mkdir()
    cifar_archive(path, small_cifar)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ValueError, match="cut short or damaged"):
        data.load("cifar10", folder=tmp_path)
    cifar_archive(path, {**small_cifar, "test_batch.bin": small_cifar["test_batch.bin"][:-1]})
    with pytest.raises(ValueError, match=r"test_batch.bin must have 61460 bytes, got 61459"):
        data.load("cifar10", folder=tmp_path)
    del small_cifar["data_batch_4.bin"]
    cifar_archive(path, small_cifar)
    with pytest.raises(ValueError, match=r"data_batch_4.bin, which is missing"):
        data.load("cifar10", folder=tmp_path)


def test_an_npz_that_would_need_unpickling_is_refused(tmp_path):
    path = tmp_path / "file.npz"
    objects = np.array([{}], dtype=object)
    np.savez(path, jpeg=objects, offset=objects, label=objects, class_names=objects)
    with pytest.raises(ValueError, match="not a whole npz file"):
        cifar._jpegs(path, 1)


def test_a_file_without_addresses_says_so(tmp_path):
    with pytest.raises(data.DataNotFound, match="not published for download"):
        Sources((), tmp_path).fetch(Remote("file"), ["a-set"])
