"""Spoken digits of the Free Spoken Digit Dataset as log-mel spectrograms."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from onebit.core.errors import UNREADABLE, reason, shown
from onebit.data.dataset import Dataset, Split, registry
from onebit.data.sources import Remote, Sources
from onebit.data.speech import logmel

FILE = "fsdd_8khz_idx00-24.npz"
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
SAMPLE_RATE = 8000
TAKES = 25
TEST_TAKES = 5


@dataclass(frozen=True)
class Clips:
    """Recordings: waveforms of int16, and of each its digit, the number of its speaker, and which take it is."""

    waveforms: list[np.ndarray]
    digit: np.ndarray
    speaker: np.ndarray
    take: np.ndarray


def read(path: Path, takes: int = TAKES) -> Clips:
    """The recordings of an npz file: audio end to end, where each begins, and what is said by whom.

    Args:
        path: the file.
        takes: how often each speaker says each digit.

    Raises:
        ValueError: it holds anything else; the text says what.
    """
    keys = ("audio", "offset", "digit", "speaker", "index", "speaker_names", "sample_rate")
    try:
        with np.load(path, allow_pickle=False) as archive:
            audio, offset, digit, speaker, take, names, rate = (archive[key] for key in keys)
    except (*UNREADABLE, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(f"{path} is not a whole npz file with {', '.join(keys)}: {reason(error)}") from error
    count = 10 * len(SPEAKERS) * takes
    if names.shape != (len(SPEAKERS),) or tuple(map(str, names)) != SPEAKERS:
        raise ValueError(f"{path} must have the speakers {', '.join(SPEAKERS)}, got {shown(names.tolist())}")
    if rate.shape != () or rate.dtype.kind not in "iu" or int(rate) != SAMPLE_RATE:
        raise ValueError(f"{path} must have a sample_rate of {SAMPLE_RATE}, got {shown(rate.tolist())}")
    if audio.dtype != np.int16 or audio.ndim != 1:
        raise ValueError(f"{path} must have audio of int16 (S,), got {audio.dtype} {audio.shape}")
    for name, array in (("digit", digit), ("speaker", speaker), ("index", take)):
        if array.dtype.kind not in "iu" or array.shape != (count,):
            raise ValueError(f"{path} must have {count} integers as {name}, got {array.dtype} {array.shape}")
    if offset.dtype.kind not in "iu" or offset.shape != (count + 1,):
        raise ValueError(f"{path} must have {count + 1} integers as offset, got {offset.dtype} {offset.shape}")
    if offset[0] != 0 or offset[-1] != len(audio) or (offset[1:] <= offset[:-1]).any():
        raise ValueError(f"{path}: offset must ascend from 0 to the {len(audio)} samples of audio")
    said = set(zip(digit.tolist(), speaker.tolist(), take.tolist()))
    if said != {(d, s, t) for d in range(10) for s in range(len(SPEAKERS)) for t in range(takes)}:
        raise ValueError(f"{path} must have every digit by every speaker at every index 0..{takes - 1} once")
    waveforms = [audio[begin:end] for begin, end in pairwise(offset.tolist())]
    return Clips(waveforms, digit.astype(np.int64), speaker.astype(np.int64), take.astype(np.int64))


@registry.register("fsdd")
def fsdd(sources: Sources, test_speaker: str | None = None) -> Dataset:
    """Spoken digits, 6 speakers at 8 kHz, as log-mel spectrograms: 1,200 + 300 recordings [Jackson2018].

    Inputs: ``(N, 1, 64, 32)`` float32, :func:`onebit.data.logmel` of 64 frames (0.65 s), each of 32 bands, less the
    mean of the training part and divided by its standard deviation, one number each. The recordings 0..24 of 50 of each
    speaker and digit.

    Args:
        sources: where the file is.
        test_speaker: ``None``: the split of its authors, the recordings 0..4 are the test part, by speakers heard in
            training. The name of a speaker: all 250 recordings of this one are the test part, the other 1,250 the
            training part, so that no voice is in both.
    """
    if test_speaker is not None and test_speaker not in SPEAKERS:
        raise ValueError(f"test_speaker must be one of {', '.join(SPEAKERS)} or None, got {test_speaker!r}")
    how = "make it from github.com/Jakobovski/free-spoken-digit-dataset (audio: the recordings end to end, offset, ...)"
    clips = read(sources.fetch(Remote(FILE), ("fsdd",), how=how))
    tested = clips.take < TEST_TAKES if test_speaker is None else clips.speaker == SPEAKERS.index(test_speaker)
    x = np.stack([logmel(waveform, SAMPLE_RATE).T for waveform in clips.waveforms])[:, None]
    heard = x[~tested].astype(np.float64)
    x = ((x - heard.mean()) / heard.std()).astype(np.float32)
    whole = Split(torch.from_numpy(x), torch.from_numpy(clips.digit))
    train, test = (torch.from_numpy(np.flatnonzero(chosen)) for chosen in (~tested, tested))
    return Dataset("fsdd", whole.take(train), whole.take(test), 10, tuple("0123456789"))
