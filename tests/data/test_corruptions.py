"""Corruptions of images: what they leave alone, how they grow, what each follows from, and some against a reference."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onebit import data
from onebit.data import CORRUPTIONS, corrupt

KINDS = pytest.mark.parametrize("kind", CORRUPTIONS)
CONSTANT = {"defocus_blur", "box_blur", "motion_blur", "zoom_blur", "glass_blur", "contrast", "elastic", "pixelate"}


def images(count: int, channels: int = 1, height: int = 9, width: int = 8, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).square().mean())


@KINDS
@settings(max_examples=12)
@given(
    count=st.integers(0, 3),
    channels=st.sampled_from([1, 3]),
    height=st.integers(4, 12),
    width=st.integers(4, 12),
    severity=st.integers(1, 5),
)
def test_shape_and_dtype_stay_and_the_input_is_untouched(kind, count, channels, height, width, severity):
    x = images(count, channels, height, width)
    before = x.clone()
    result = corrupt(x, kind, severity)
    assert (result.shape, result.dtype) == (x.shape, torch.uint8)
    assert torch.equal(x, before)
    assert not count or result.data_ptr() != x.data_ptr()


@KINDS
@settings(max_examples=10)
@given(cut=st.integers(0, 7), severity=st.integers(1, 5), seed=st.integers(0, 9), channels=st.sampled_from([1, 3]))
def test_an_image_gets_the_same_however_the_images_are_shared_out(kind, cut, severity, seed, channels):
    x = images(7, channels, seed=seed)
    whole = corrupt(x, kind, severity, seed)
    parts = [corrupt(x[:cut], kind, severity, seed), corrupt(x[cut:], kind, severity, seed, first=cut)]
    assert torch.equal(torch.cat(parts), whole)


@KINDS
def test_sets_longer_than_what_is_done_at_once_are_one_set(kind, monkeypatch):
    x = images(7, 3)
    whole = corrupt(x, kind, 3)
    monkeypatch.setattr(data.corruptions, "AT_ONCE", 3)
    assert torch.equal(corrupt(x, kind, 3), whole)


@pytest.mark.parametrize("name", ["digits", "mnist", "cifar10-jpeg"])
def test_a_higher_severity_is_never_nearer_to_the_image(load_dataset, name):
    x = load_dataset(name).test.images[:30]
    for kind in CORRUPTIONS:
        far = [difference(corrupt(x, kind, severity), x) for severity in range(1, 6)]
        assert far[0] > 0, kind
        assert far == sorted(far), kind


@pytest.mark.parametrize("kind", ["gaussian_noise", "impulse_noise", "occlusion", "fog", "brightness", "contrast"])
def test_severities_share_their_draws_so_that_every_image_moves_away(kind):
    x = images(20, 3)
    far = [[difference(a, b) for a, b in zip(corrupt(x, kind, severity), x)] for severity in range(1, 6)]
    for milder, harder in itertools.pairwise(far):
        assert all(a <= b for a, b in zip(milder, harder))


@pytest.mark.parametrize("kind", sorted(CONSTANT))
@pytest.mark.parametrize("level", [0, 77, 255])
def test_means_and_moves_leave_an_image_of_one_level_as_it_is(kind, level):
    x = torch.full((2, 3, 7, 10), level, dtype=torch.uint8)
    for severity in range(1, 6):
        assert torch.equal(corrupt(x, kind, severity), x)


@pytest.mark.parametrize("kind", sorted(set(CORRUPTIONS) - {"jpeg", "shot_noise", "brightness", "contrast", *CONSTANT}))
def test_other_seeds_and_other_images_get_other_draws(kind):
    x = torch.full((4, 1, 16, 16), 100, dtype=torch.uint8)
    result = corrupt(x, kind, 3)
    assert len({tuple(image.flatten().tolist()) for image in result}) > 1
    assert not torch.equal(corrupt(x, kind, 3, seed=1), result)


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.04), (2, 0.08), (3, 0.12), (4, 0.18), (5, 0.26)])
def test_gaussian_and_shot_noise_have_their_deviation_on_middle_grey(severity, deviation):
    grey = torch.full((4, 1, 60, 60), 128, dtype=torch.uint8)
    for kind in ("gaussian_noise", "shot_noise"):
        noise = corrupt(grey, kind, severity).double() / 255 - 128 / 255
        assert abs(float(noise.mean())) < 4 * deviation / 120
        assert float(noise.std()) == pytest.approx(deviation, rel=0.08)  # clipped by black and white, and 7 photons


@pytest.mark.parametrize(("severity", "share"), [(1, 0.01), (2, 0.03), (3, 0.06), (4, 0.10), (5, 0.17)])
def test_impulses_are_black_and_white_by_their_share(severity, share):
    grey = torch.full((4, 3, 60, 60), 128, dtype=torch.uint8)
    result = corrupt(grey, "impulse_noise", severity)
    for level, expected in ((0, share / 2), (255, share / 2), (128, 1 - share)):
        found = float((result == level).double().mean())
        assert abs(found - expected) < 4 * (expected * (1 - expected) / grey.numel()) ** 0.5


@pytest.mark.parametrize(("severity", "width"), [(2, 3), (3, 3), (4, 5), (5, 5)])
def test_a_box_blur_of_an_odd_side_is_the_average_over_windows(severity, width):
    x = images(3, 3)
    padded = torch.nn.functional.pad(x.double(), (width // 2,) * 4, mode="replicate")
    mean = torch.nn.functional.avg_pool2d(padded, width, stride=1)
    assert float((corrupt(x, "box_blur", severity) - mean).abs().max()) <= 0.5 + 1e-3


@pytest.mark.parametrize("kind", ["defocus_blur", "box_blur", "motion_blur", "zoom_blur"])
def test_the_blurs_move_nothing_on_the_whole(kind):
    x = torch.zeros(1, 1, 21, 21, dtype=torch.uint8)
    x[..., 10, 10] = 255
    for severity in range(1, 6):
        result = corrupt(x, kind, severity)
        assert torch.equal(result, result.flip(2, 3))  # the same turned by half a turn about the centre


@pytest.mark.parametrize(("severity", "factor"), [(3, 2), (5, 3)])
def test_pixels_of_a_whole_factor_are_means_of_blocks(severity, factor):
    x = images(2, 3, 12, 18)
    means = torch.nn.functional.avg_pool2d(x.double(), factor)
    expected = means.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    assert float((corrupt(x, "pixelate", severity) - expected).abs().max()) <= 0.5 + 1e-3


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_pillow_writes_and_reads(channels):
    from PIL import Image

    x = images(1, channels, 16, 16)
    file = io.BytesIO()
    pixels = x[0].permute(1, 2, 0).numpy()
    Image.fromarray(pixels if channels == 3 else pixels[:, :, 0]).save(file, "JPEG", quality=25)
    read = np.asarray(Image.open(file)).reshape(16, 16, channels)
    assert np.array_equal(corrupt(x, "jpeg", 3)[0].permute(1, 2, 0).numpy(), read)


@settings(max_examples=20)
@given(height=st.integers(4, 20), width=st.integers(4, 20), severity=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_hidden_part_is_one_square_inside_the_image(height, width, severity, seed):
    hidden = corrupt(torch.zeros(5, 1, height, width, dtype=torch.uint8), "occlusion", severity, seed)[:, 0] > 0
    side = max(1, round(severity * min(height, width) / 10))
    for image in hidden:
        rows, columns = image.any(1).nonzero().flatten(), image.any(0).nonzero().flatten()
        assert int(image.sum()) == side * side == len(rows) * len(columns)
        assert (int(rows.max() - rows.min()), int(columns.max() - columns.min())) == (side - 1, side - 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"images": torch.zeros(1, 1, 4, 4)}, r"images must be uint8 of shape \(N, C, H, W\), got torch.float32"),
        ({"images": torch.zeros(4, 4, dtype=torch.uint8)}, r"got torch.uint8 \(4, 4\)"),
        ({"images": [1]}, "got list"),
        ({"images": images(1, 2)}, "1 or 3 channels, got 2"),
        ({"images": images(1, 1, 3, 8)}, "4x4 pixels or larger, got 3x8"),
        ({"severity": 0}, r"severity must be an integer 1\.\.5, got 0"),
        ({"severity": 1.0}, r"severity must be an integer 1\.\.5, got 1\.0"),
        ({"first": -1}, "first must be"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(change, reason):
    with pytest.raises(ValueError, match=reason):
        corrupt(**{"images": images(1), "kind": "fog", "severity": 1} | change)


def test_an_unknown_kind_is_named_with_the_nearest():
    with pytest.raises(KeyError, match=r"unknown corruption 'fogg' \(did you mean 'fog'\?\)"):
        corrupt(images(1), "fogg", 1)
