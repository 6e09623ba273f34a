"""``onebit run`` on pictures of every make, and ``onebit`` on files that are none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tests.faults.values import INF, NAN

from onebit import ir
from onebit.cli import picture
from onebit.cli.main import main
from onebit.ir import Graph, TensorType

RAMP = np.linspace(0, 255, 64).reshape(8, 8).round().astype(np.uint8)
GREY = Image.fromarray(RAMP)


@pytest.fixture
def read(tmp_path):
    def saved(image: Image.Image, name: str = "p.png", channels: int = 1, **options) -> np.ndarray:
        image.save(tmp_path / name, **options)
        return picture.read(tmp_path / name, channels, 8, 8)

    return saved


def test_a_grey_picture_of_the_right_size_is_itself(read):
    assert np.array_equal(read(GREY)[0, 0], RAMP)
    assert np.array_equal(read(GREY, channels=3)[0], np.stack([RAMP] * 3))


@pytest.mark.parametrize("name", ["p.png", "p.tif"])
def test_16_bits_a_pixel_are_scaled_to_8_and_not_clipped_to_white(read, name):
    assert np.array_equal(read(Image.fromarray(RAMP.astype(np.uint16) * 257), name)[0, 0], RAMP)
    assert np.array_equal(read(Image.fromarray(RAMP.astype(np.uint16) * 257), name, channels=3)[0, 1], RAMP)


@pytest.mark.parametrize(("dtype", "kind"), [(np.int32, "integers of 32 bits"), (np.float32, "floats")])
def test_pixels_without_a_range_are_refused(read, dtype, kind):
    with pytest.raises(ValueError, match=f"has pixels that are {kind}, which have no range"):
        read(Image.fromarray(RAMP.astype(dtype)), "p.tif")


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "p.tif"), ("LA", "p.png"), ("P", "p.gif"), ("RGBA", "p.png")])
def test_every_mode_of_colour_gives_the_same_greys(read, mode, name):
    for channels in (1, 3):
        image = GREY.convert(mode) if mode == "P" else GREY.convert("RGB").convert(mode)
        assert np.abs(read(image, name, channels)[0, 0].astype(int) - RAMP).max() <= 1


def test_one_bit_a_pixel_is_black_and_white_and_what_is_transparent_white(read):
    assert set(np.unique(read(GREY.point(lambda v: 255 * (v > 99)).convert("1")))) == {0, 255}
    assert (read(Image.new("RGBA", (8, 8), (0, 0, 0, 0))) == 255).all()


@pytest.mark.parametrize("name", ["p.gif", "p.png", "p.tif"])
def test_of_an_animation_the_first_picture_is_read(read, name):
    others = [Image.fromarray(255 - RAMP), Image.new("L", (8, 8), 7)]
    assert np.array_equal(read(GREY, name, save_all=True, append_images=others)[0, 0], RAMP)


def test_a_picture_is_turned_as_its_camera_says(read):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    assert np.array_equal(read(GREY, exif=exif)[0, 0], RAMP[::-1, ::-1])


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_a_picture_of_one_pixel_or_one_row_is_scaled(read, size):
    assert (read(Image.new("L", size, 77)) == 77).all()


@pytest.fixture
def network(tmp_path):
    def packed(scale: float = 1.0, channels: int = 1):
        """Scores (0, s, 2s) where s is ``scale`` times the mean of the pixels, normalised."""
        graph = Graph({"x": TensorType("float32", ("batch", channels, 8, 8))})
        flat = graph.add("reshape", "x", shape=["batch", 64 * channels])
        weight = np.repeat(np.float32([[0], [1], [2]]) * np.float32(scale), 64 * channels, axis=1)
        graph.outputs = [graph.add("linear", flat, graph.constant(weight))]
        path = tmp_path / f"{channels}.onebit"
        path.write_bytes(ir.dumps(graph))
        return str(path)

    return packed


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(["run", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


BAD = {
    "empty": (b"", "is not a picture that can be read"),
    "text": (b"hello", "is not a picture that can be read"),
    "no pixels": (b"P5 0 0 255\n", "is not a picture that can be read"),
    "half": (None, "is a damaged picture: "),
}


@pytest.mark.parametrize("bad", list(BAD))
def test_a_file_that_is_no_picture_is_named_in_one_sentence(bad, network, tmp_path, capsys):
    content, said = BAD[bad]
    path = tmp_path / "p.png"
    if content is None:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
        Image.fromarray(noise).save(path)
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    status, out, err = run(capsys, network(), str(path))
    assert (status, out) == (2, "")
    assert err.startswith(f"onebit run: {path} {said}")
    assert err.count("\n") == 1


def test_a_folder_a_missing_file_and_a_network_of_other_channels_are_named(network, tmp_path, capsys):
    GREY.save(tmp_path / "p.png")
    for file, given, said in (
        (network(), tmp_path / "gone.png", "gone.png does not exist"),
        (network(channels=2), tmp_path / "p.png", "the network takes 2 channels, and a picture has 1 (grey) or 3"),
    ):
        status, out, err = run(capsys, file, str(given))
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert said in err
    assert run(capsys, network(), str(tmp_path))[0] == 2


def test_scores_that_overflow_name_no_class(network, tmp_path, capsys):
    GREY.save(tmp_path / "p.png")
    assert run(capsys, network(), str(tmp_path / "p.png"))[:2] == (0, "2 (100 %)\n")
    status, out, err = run(capsys, network(scale=3e37), str(tmp_path / "p.png"))
    assert (status, out) == (2, "")
    assert "not finite, which name no class" in err


def test_examples_with_a_nan_score_are_not_right(tmp_path, capsys):
    graph = Graph({"x": TensorType("float32", ("batch", 1, 8, 8))})
    flat = graph.add("reshape", "x", shape=["batch", 64])
    zero = graph.add("linear", flat, graph.constant(np.zeros((10, 64), np.float32)))
    huge = graph.add("linear", flat, graph.constant(np.full((10, 64), 3e38, np.float32)))
    graph.outputs = [graph.add("mul", zero, graph.add("add", huge, huge))]  # 0 times infinity
    (tmp_path / "f.onebit").write_bytes(ir.dumps(graph))
    status, out, _ = run(capsys, str(tmp_path / "f.onebit"), "--data", "digits", "--limit", "20")
    assert status == 0
    assert out.startswith("0.00 % of 20 test examples")


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_light_picture_is_told_from_a_dark_one_by_finite_means_only(value):
    assert not picture.looks_inverted(np.full((1, 1, 8, 8), 255, np.uint8), [value])
    assert picture.looks_inverted(np.full((1, 1, 8, 8), 255, np.uint8), [0.1])
