"""Files that a person hands over, damaged: they work, or a sentence says what is wrong; nothing else ever happens."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

import onebit
from onebit import nn
from onebit.cli import picture
from onebit.cli.main import main
from onebit.data import adult, cifar, fsdd, glue, idx, shapes3d
from onebit.data.sources import Sources
from onebit.learn import Recipe, checkpoints, load_run, run, train
from onebit.learn.recipe import read_yaml
from onebit.learn.spec import ModelSpec
from onebit.learn.train import Job

from .damage import damaged, refusal, with_damaged_notes

COUNT = 200


def complaints(files, path, read, *arguments) -> list[str]:
    """What is wrong with how ``read(*arguments)`` takes each of the ``files`` at ``path``."""
    found = []
    for number, data in enumerate(files):
        path.write_bytes(data)
        problem = refusal(read, *arguments)
        if problem is not None:
            found.append(f"file {number}: {problem}")
    return found


# What `onebit.save` and the trainer write


def small() -> torch.nn.Module:
    """A float model with a layer that becomes bits."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> bytes:
    """The bytes of a saved model of bits."""
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    model = small()
    nn.quantize_(model, "biper")
    onebit.save(model, path)
    return path.read_bytes()


def notes_key(data: bytes) -> str:
    """The one key of a file's metadata."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return next(iter(header["__metadata__"]))


def test_a_damaged_saved_model_is_refused_in_a_sentence(saved, tmp_path):
    path = tmp_path / "model.safetensors"
    assert complaints(damaged(saved, COUNT), path, lambda: onebit.load(path, small())) == []
    files = with_damaged_notes(saved, notes_key(saved), COUNT)
    assert complaints(files, path, lambda: onebit.load(path, small())) == []


def test_a_damaged_checkpoint_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    checkpoints.save(path, {"step": 3, "weights": [torch.ones(2), None], 5: {"x": torch.zeros(1), "name": "a"}})
    data = path.read_bytes()
    assert complaints(damaged(data, COUNT), path, checkpoints.load, path) == []
    assert complaints(with_damaged_notes(data, checkpoints.KEY, COUNT), path, checkpoints.load, path) == []
    deep = json.dumps({"version": 1, "tree": "@"}).replace('"@"', '{"list":[' * 5000 + "]}" * 5000)
    notes = json.dumps({"__metadata__": {checkpoints.KEY: deep}}).encode()
    path.write_bytes(len(notes).to_bytes(8, "little") + notes)
    assert refusal(checkpoints.load, path) is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a short run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    spec = ModelSpec("mlp", {"width": 4}, "biper")
    train(spec, "digits", Recipe(epochs=1, batch_size=512), folder=folder)
    return folder


@pytest.mark.parametrize("name", [run.MODEL, run.HISTORY])
def test_a_run_folder_with_a_damaged_file_is_refused_in_a_sentence(trained, tmp_path, name):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    data = (folder / name).read_bytes()
    assert complaints(damaged(data, COUNT // 2), folder / name, load_run, folder) == []
    if name == run.MODEL:
        assert complaints(with_damaged_notes(data, checkpoints.KEY, COUNT // 2), folder / name, load_run, folder) == []


def test_a_damaged_checkpoint_of_a_run_is_refused_in_a_sentence(trained, tmp_path):
    path = tmp_path / run.CHECKPOINT
    source = trained / run.CHECKPOINT
    data = (source if source.is_file() else trained / run.MODEL).read_bytes()
    assert complaints(damaged(data, 50), path, checkpoints.load, path) == []


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi")
)
JOBS = {
    "aliases of aliases": LAUGHS,
    "aliases of aliases as a model": f"{LAUGHS}model: *i\ndata: digits\n",
    "an alias of itself": "model: &m [*m]\ndata: digits\n",
    "deep nesting": "[" * 1500,
    "a date that is none": "model: 2024-13-45\n",
    "a number without end": f"model: mlp\ndata: digits\nrecipe: {{epochs: {'9' * 5000}}}\n",
    "a number beyond float64": f"model: {{name: mlp}}\ndata: digits\nrecipe: {{learning_rate: {'9' * 400}}}\n",
    "a tag of Python": "model: !!python/object/apply:os.system [echo]\n",
    "keys that are lists": "? [a, b]\n: c\n",
    "nothing": "",
    "a list": "[1, 2]",
    "bytes": "\x00\x01",
}


@pytest.mark.parametrize("name", JOBS)
def test_a_hostile_recipe_is_refused_in_a_sentence(tmp_path, name):
    path = tmp_path / "job.yaml"
    path.write_text(JOBS[name])
    with pytest.raises(ValueError, match=r"."):
        Job.from_yaml(path)
    assert refusal(Job.from_yaml, path) is None


def test_a_damaged_recipe_is_refused_in_a_sentence(trained, tmp_path):
    path = tmp_path / "job.yaml"
    assert complaints(damaged((trained / run.RECIPE).read_bytes(), COUNT), path, Job.from_yaml, path) == []
    assert read_yaml(trained / run.RECIPE)


# Pictures


def picture_files() -> dict[str, bytes]:
    """A small picture in several formats."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    files = {}
    for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, form)
        files[form] = stream.getvalue()
    return files


@pytest.mark.parametrize("form", picture_files())
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_picture_is_refused_in_a_sentence(tmp_path, form):
    path = tmp_path / "picture"
    assert complaints(damaged(picture_files()[form], COUNT // 2), path, picture.read, path, 1, 8, 8) == []


def test_a_picture_that_unpacks_to_gigabytes_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.png"
    data = picture_files()["PNG"]
    header = data[:16] + (60000).to_bytes(4, "big") * 2 + data[24:29]
    import zlib

    path.write_bytes(header + zlib.crc32(header[12:]).to_bytes(4, "big") + data[33:])
    with pytest.raises(ValueError, match=r"is too large for a picture"):
        picture.read(path, 1, 8, 8)


# Data sets


def idx_bytes(array: np.ndarray) -> bytes:
    """An idx file of bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_damaged_idx_file_is_refused_in_a_sentence(tmp_path, pack):
    path = tmp_path / "file"
    data = pack(idx_bytes(np.arange(60).reshape(3, 4, 5)))
    assert complaints(damaged(data, COUNT), path, idx.read, path, (3, 4, 5)) == []


def test_an_idx_file_that_unpacks_to_more_than_it_may_is_not_unpacked_further(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros((3, 4, 5))) + bytes(100_000_000)))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"must have 76 bytes unpacked, got more$"):
        idx.read(path, (3, 4, 5))
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 5_000_000


def test_a_damaged_archive_of_cifar_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "PER_FILE", 2)
    path = tmp_path / "cifar10" / cifar.ARCHIVE.file
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        for name in (*cifar.TRAIN_FILES, *cifar.TEST_FILES):
            member = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
            member.size = 2 * cifar.RECORD
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    sources = Sources((tmp_path,), tmp_path / "cache", download=False)
    plain = gzip.decompress(path.read_bytes())
    assert complaints(damaged(path.read_bytes(), COUNT // 2), path, cifar.cifar10, sources) == []
    files = (gzip.compress(data, 1) for data in damaged(plain, COUNT // 2))
    assert complaints(files, path, cifar.cifar10, sources) == []


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_damaged_file_of_rows_of_features_is_refused_in_a_sentence(tmp_path, pack):
    path = tmp_path / "file"
    data = pack(b"-1 1:1 3:1 \n+1 2:1\n-1\n" * 3)
    assert complaints(damaged(data, COUNT), path, adult.read, path, 9, 4) == []


def test_damaged_meshes_are_refused_in_a_sentence(tmp_path):
    path = tmp_path / "file"
    mesh = b"OFF\n4 2 0\n0 0 0\n2 0 0\n2 2 0\n0 2 0\n3 0 1 2\n3 0 2 3\n"
    assert complaints(damaged(mesh, COUNT), path, shapes3d.read, path) == []
    assert complaints(damaged(gzip.compress(mesh), COUNT), path, shapes3d.read, path) == []


def test_damaged_sentences_are_refused_in_a_sentence(tmp_path):
    path = tmp_path / "file"
    text = b"sentence\tlabel\na b \t1\nb\t0\n"
    assert complaints(damaged(text, COUNT), path, glue.read_sst2, path, 2) == []
    assert complaints(damaged(gzip.compress(text), COUNT), path, glue.read_sst2, path, 2) == []


def test_damaged_recordings_are_refused_in_a_sentence(tmp_path):
    path = tmp_path / "file.npz"
    count = 10 * len(fsdd.SPEAKERS)
    whole = io.BytesIO()
    np.savez(
        whole,
        audio=np.arange(3 * count, dtype=np.int16),
        offset=np.arange(count + 1) * 3,
        digit=np.arange(count) % 10,
        speaker=np.arange(count) // 10,
        index=np.zeros(count, np.int64),
        speaker_names=np.array(fsdd.SPEAKERS),
        sample_rate=np.array(fsdd.SAMPLE_RATE),
    )
    path.write_bytes(whole.getvalue())
    assert len(fsdd.read(path, 1).waveforms) == count
    assert complaints(damaged(whole.getvalue(), COUNT), path, fsdd.read, path, 1) == []


@pytest.fixture(scope="module")
def jpegs() -> bytes:
    """An npz file of two pictures."""
    stream = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(stream, "JPEG")
    one = np.frombuffer(stream.getvalue(), np.uint8)
    whole = io.BytesIO()
    np.savez(
        whole,
        jpeg=np.concatenate([one, one]),
        offset=np.array([0, len(one), 2 * len(one)]),
        label=np.array([0, 9], np.uint8),
        class_names=np.array(cifar.CLASSES),
    )
    return whole.getvalue()


def test_a_damaged_file_of_jpegs_is_refused_in_a_sentence(jpegs, tmp_path):
    path = tmp_path / "file.npz"
    assert complaints(damaged(jpegs, COUNT), path, cifar._jpegs, path, 2) == []


def test_arrays_that_say_they_are_huge_are_refused(jpegs, tmp_path):
    path = tmp_path / "file.npz"
    path.write_bytes(jpegs)
    good = cifar._jpegs(path, 2)
    assert len(good) == 2
    huge = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**45,)})
    import zipfile

    with zipfile.ZipFile(path) as old, zipfile.ZipFile(huge, "w") as new:
        for name in old.namelist():
            new.writestr(name, header.getvalue() if name == "jpeg.npy" else old.read(name))
    path.write_bytes(huge.getvalue())
    assert refusal(cifar._jpegs, path, 2) is None
    with pytest.raises(ValueError, match=r"npz"):
        cifar._jpegs(path, 2)


# The command


def test_the_command_ends_with_2_and_one_sentence_for_each_damaged_file(trained, saved, tmp_path, capsys):
    packed = tmp_path / "f.onebit"
    packed.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    (folder / run.MODEL).write_bytes(saved[:100])
    job = tmp_path / "job.yaml"
    job.write_text(LAUGHS)
    nothing = tmp_path / "none.onebit"
    for arguments in (
        ["run", packed, "--data", "digits"],
        ["inspect", packed],
        ["run", nothing, "--data", "digits"],
        ["eval", folder],
        ["pack", folder, "-o", tmp_path / "out.onebit"],
        ["train", "--recipe", job],
        ["run", tmp_path, "--data", "digits"],
    ):
        assert main(list(map(str, arguments))) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"onebit {arguments[0]}: ")
        assert said.err.count("\n") == 1
    assert not (tmp_path / "out.onebit").exists()
