"""Log-mel spectrograms: what networks take instead of a waveform."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from onebit.core.errors import check_range

WINDOW_SECONDS, HOP_SECONDS = 0.025, 0.010
FLOOR = 1e-6


def hertz_to_mel(hertz: np.ndarray | float) -> np.ndarray:
    """``2595 log10(1 + f / 700)`` [Davis1980]."""
    return 2595 * np.log10(1 + np.asarray(hertz, np.float64) / 700)


def mel_to_hertz(mel: np.ndarray | float) -> np.ndarray:
    """``700 (10**(m / 2595) - 1)``, the inverse of :func:`hertz_to_mel`."""
    return 700 * (10 ** (np.asarray(mel, np.float64) / 2595) - 1)


@lru_cache(maxsize=8)
def filters(mels: int, size: int, sample_rate: int) -> np.ndarray:
    """Triangles between ``mels + 2`` points that are equally far apart in mel from 0 to half the sample rate.

    Returns:
        ``(mels, size // 2 + 1)`` float64, weights of the bins of a Fourier transform of ``size`` samples, 0..1.
    """
    points = mel_to_hertz(np.linspace(0, hertz_to_mel(sample_rate / 2), mels + 2))
    bins = np.arange(size // 2 + 1) * (sample_rate / size)
    rising = (bins - points[:-2, None]) / (points[1:-1] - points[:-2])[:, None]
    falling = (points[2:, None] - bins) / (points[2:] - points[1:-1])[:, None]
    return np.clip(np.minimum(rising, falling), 0, None)


def logmel(waveform: np.ndarray, sample_rate: int = 8000, mels: int = 32, frames: int = 64) -> np.ndarray:
    """Logarithm of the energy in mel bands over time [Davis1980]: ``ln(filters |FFT(hann * frame)|^2 + 1e-6)``.

    Windows of 25 ms every 10 ms; a waveform that is shorter than ``frames`` of them is followed by silence, a longer
    one is cut.

    Args:
        waveform: ``(S,)`` int16, or floats in -1..1.
        sample_rate: samples a second, 1000..384000.
        mels: bands from 0 to half the sample rate, 1..128.
        frames: windows, 1 or more.

    Returns:
        ``(mels, frames)`` float32.

    Example:
        >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
        >>> bands = logmel(tone)
        >>> bands.shape, round(float(mel_to_hertz((bands[:, 5].argmax() + 1) * hertz_to_mel(4000) / 33)), -2)
        ((32, 64), 1000.0)
    """
    check_range("sample_rate", sample_rate, 1000, 384_000)
    check_range("mels", mels, 1, 128)
    check_range("frames", frames, 1)
    waveform = np.asarray(waveform)
    if waveform.ndim != 1 or not (waveform.dtype == np.int16 or np.issubdtype(waveform.dtype, np.floating)):
        raise ValueError(f"waveform must be (S,) int16 or floats, got {waveform.dtype} {waveform.shape}")
    window, hop = round(WINDOW_SECONDS * sample_rate), round(HOP_SECONDS * sample_rate)
    size = 1 << (window - 1).bit_length()
    samples = np.zeros((frames - 1) * hop + window)
    known = waveform[: len(samples)].astype(np.float64)
    samples[: len(known)] = known / 32768 if waveform.dtype == np.int16 else known
    pieces = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    power = np.abs(np.fft.rfft(pieces * hann, size)) ** 2
    return np.log(filters(mels, size, sample_rate) @ power.T + FLOOR).astype(np.float32)
