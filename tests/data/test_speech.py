"""Log-mel spectrograms, and the spoken digits."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from onebit import data
from onebit.data import fsdd, speech
from onebit.learn import ModelSpec, Recipe, train


def test_bands_overlap_so_that_between_the_outer_centres_every_frequency_counts_once():
    weights = speech.filters(20, 1024, 8000)
    points = speech.mel_to_hertz(np.linspace(0, speech.hertz_to_mel(4000), 22))
    bins = np.arange(513) * 8000 / 1024
    inside = (bins >= points[1]) & (bins <= points[-2])
    assert np.allclose(weights.sum(0)[inside], 1)
    assert (weights.sum(0) <= 1 + 1e-12).all()
    assert np.allclose(speech.mel_to_hertz(speech.hertz_to_mel(bins)), bins)


def test_twice_as_loud_is_four_times_the_energy():
    noise = np.random.default_rng(0).standard_normal(8000) / 8
    quiet, loud = speech.logmel(noise), speech.logmel(2 * noise)
    assert np.allclose(loud - quiet, np.log(4), atol=1e-3)


def test_a_short_clip_is_followed_by_silence_and_a_long_one_is_cut():
    noise = np.random.default_rng(0).integers(-3000, 3000, 20_000).astype(np.int16)
    whole = speech.logmel(noise)
    assert np.array_equal(whole, speech.logmel(noise[: 63 * 80 + 200]))
    short = speech.logmel(noise[:400])
    assert np.array_equal(short[:, 5:], np.full((32, 59), np.log(speech.FLOOR), np.float32))
    assert np.array_equal(short[:, :3], whole[:, :3])
    assert np.array_equal(speech.logmel(noise / 32768), whole)
    assert np.array_equal(speech.logmel(noise[:0]), np.full((32, 64), np.log(speech.FLOOR), np.float32))


def test_a_waveform_of_two_channels_is_refused():
    with pytest.raises(ValueError, match=r"waveform must be \(S,\) int16 or floats, got int16 \(2, 5\)"):
        speech.logmel(np.zeros((2, 5), np.int16))


def test_the_spoken_digits_hold_their_counts_in_both_splits(load_dataset):
    official = load_dataset("fsdd")
    assert tuple(official.train.inputs.shape) == (1200, 1, 64, 32)
    assert torch.bincount(official.train.labels).tolist() == [120] * 10
    assert torch.bincount(official.test.labels).tolist() == [30] * 10
    assert abs(float(official.train.inputs.double().mean())) < 1e-6
    assert float(official.train.inputs.double().std()) == pytest.approx(1, abs=1e-4)
    by_voice = data.load("fsdd", download=False, test_speaker="theo")
    assert torch.bincount(by_voice.train.labels).tolist() == [125] * 10
    assert torch.bincount(by_voice.test.labels).tolist() == [25] * 10


def test_a_convolutional_network_of_bits_learns_spoken_digits(load_dataset):
    spec = ModelSpec("convnet", {"width": 32, "stem_stride": 8, "depth": 1, "downsample": []}, "dorefa")
    recipe = Recipe(epochs=5, batch_size=20, learning_rate=0.01, validation=0.0)
    result = train(spec, load_dataset("fsdd").limit(800, 150), recipe, progress=False)
    assert result.history.test.accuracy > 0.1 + 5 * (0.1 * 0.9 / 150) ** 0.5  # five deviations above chance


def arrays() -> dict[str, np.ndarray]:
    """Of one take of every digit by every speaker, each of 3 samples."""
    count = 10 * len(fsdd.SPEAKERS)
    return {
        "audio": np.arange(3 * count, dtype=np.int16),
        "offset": np.arange(count + 1) * 3,
        "digit": np.arange(count) % 10,
        "speaker": np.arange(count) // 10,
        "index": np.zeros(count, np.int64),
        "speaker_names": np.array(fsdd.SPEAKERS),
        "sample_rate": np.array(8000),
    }


def npz(content: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **content)
    return stream.getvalue()


def test_recordings_are_read_as_they_lie_end_to_end(tmp_path):
    (tmp_path / "file.npz").write_bytes(npz(arrays()))
    clips = fsdd.read(tmp_path / "file.npz", 1)
    assert clips.waveforms[7].tolist() == [21, 22, 23]
    assert (clips.digit[17], clips.speaker[17]) == (7, 1)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("audio", np.array([{}]), "not a whole npz file"),
        ("audio", np.zeros(180), r"audio of int16 \(S,\), got float64"),
        ("audio", np.zeros(179, np.int16), "offset must ascend from 0 to the 179 samples"),
        ("offset", np.zeros(61), "61 integers as offset, got float64"),
        ("digit", np.zeros(60, np.int64), "every digit by every speaker"),
        ("speaker", np.zeros(59, np.int64), "60 integers as speaker"),
        ("speaker_names", np.array(["a"] * 6), "must have the speakers george"),
        ("sample_rate", np.array(16_000), "sample_rate of 8000, got 16000"),
    ],
)
def test_other_recordings_are_refused_with_the_reason(tmp_path, name, value, reason):
    (tmp_path / "file.npz").write_bytes(npz({**arrays(), name: value}))
    with pytest.raises(ValueError, match=reason):
        fsdd.read(tmp_path / "file.npz", 1)


def test_a_speaker_who_is_not_among_them_is_refused():
    with pytest.raises(ValueError, match="test_speaker must be one of george"):
        data.load("fsdd", test_speaker="nobody")
