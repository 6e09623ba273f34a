"""Killed with SIGKILL at any moment, then started again: the same result, and never half a file under its name.

Moments are file-system events (in the middle of a write, between write and rename, ...) drawn at random, and points in
time. ``ONEBIT_KILLS`` says how many of each subject; ``make kill`` takes 20.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.kill.conftest import KILLS, Made
from tests.kill.contents import contents, leftovers
from tests.kill.machine import Machine

from onebit.core.seeds import generator


@dataclass(frozen=True)
class Subject:
    """A command that writes into a folder, and is started again with the same words.

    Args:
        arguments: its words, from what was made and the folder.
        old: what lies in the folder before, under the name that the command writes: from what was made.
        resumes: whether what a killed command leaves changes what the next start does. Where not, all are killed in the
            same folder and only the last is followed by one that is not.
    """

    arguments: Callable[[Made, Path], list[str]]
    old: Callable[[Made, Path], object] = lambda made, folder: None
    resumes: bool = True


SUBJECTS = {
    "train": Subject(
        lambda made, folder: ["train", "--recipe", str(made.job), "-o", str(folder / "run"), "--resume"],
    ),
    "sweep": Subject(
        lambda made, folder: [
            *("sweep", str(made.job), "--over", "recipe.seed=0,1", "--over", "recipe.epochs=1"),
            *("-o", str(folder / "sweep"), "--resume"),
        ],
    ),
    "pack": Subject(
        lambda made, folder: ["pack", str(made.run), "--samples", "0", "-o", str(folder / "a.onebit")],
        lambda made, folder: shutil.copy(made.packed, folder / "a.onebit"),
        resumes=False,
    ),
    "sweep-in-two-processes": Subject(
        lambda made, folder: [
            *("sweep", str(made.job), "--over", "recipe.seed=0,1", "--over", "recipe.epochs=1", "--jobs", "2"),
            *("-o", str(folder / "sweep"), "--resume"),
        ],
    ),
    "bench": Subject(
        # A float twin, and the network of bits that begins with its weights.
        lambda made, folder: [
            *("bench", "accuracy", "--scale", "smoke", "--methods", "bnn", "--folder", str(folder / "tracks")),
        ],
    ),
    "float-twin": Subject(
        lambda made, folder: ["tests.kill.writers:float_onnx", str(folder)],
        resumes=False,
    ),
    "export": Subject(
        lambda made, folder: [
            *("export", str(made.packed), "--to", "onnx", "--samples", "0", "-o", str(folder / "a.onnx")),
        ],
        resumes=False,
    ),
}


#: Seconds each: in ``make kill`` only.
SLOW = {"sweep-in-two-processes", "float-twin"}


@pytest.mark.parametrize("name", [name for name in SUBJECTS if name not in SLOW or KILLS >= 20])
def test_a_command_killed_at_any_moment_and_started_again_ends_the_same(name, warm: Machine, made: Made, tmp_path):
    subject, random = SUBJECTS[name], generator(0, "kills", name)
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    whole = warm.run(subject.arguments(made, undisturbed), undisturbed)
    assert whole.status == 0, whole.err
    expected = contents(undisturbed)
    killed = 0
    kills = max(1, KILLS // 4) if name in ("sweep-in-two-processes", "bench") else KILLS  # these take seconds
    for number in range(kills):
        folder = tmp_path / (str(number) if subject.resumes else "killed")
        if not folder.exists():
            folder.mkdir()
            subject.old(made, folder)
        before = contents(folder)
        by_clock = number % 2 == 1
        if by_clock:
            moment = {"after": float(random.uniform(0, whole.seconds))}
        else:
            moment = {"at": int(random.integers(1, whole.events + 1))}
        ended = warm.run(subject.arguments(made, folder), folder, "nothing" if by_clock else "kill", **moment)
        assert ended.status == -9 or (by_clock and ended.status == 0), (moment, ended)
        killed += ended.status == -9
        between = contents(folder)  # whatever has its name is whole
        for file, old in before.items():
            assert between[file] in (old, expected[file]), moment
        if subject.resumes or number == kills - 1:
            again = warm.run(subject.arguments(made, folder), folder)
            assert again.status == 0, (moment, again.err)
            assert contents(folder) == expected, moment
            assert leftovers(folder) == [], moment
            assert all(path.read_bytes().endswith(b"\n") for path in folder.rglob("*.jsonl")), moment
    assert killed >= (kills + 1) // 2


def test_a_run_killed_again_and_again_ends_the_same(warm: Machine, made: Made, tmp_path):
    arguments = SUBJECTS["train"].arguments
    expected, folder = tmp_path / "undisturbed", tmp_path / "killed"
    for path in (expected, folder):
        path.mkdir()
    assert warm.run(arguments(made, expected), expected).status == 0
    events = [int(n) for n in generator(0, "again and again").integers(20, 60, 4)]
    statuses = [warm.run(arguments(made, folder), folder, "kill", at=at).status for at in events]
    assert statuses.count(-9) >= 2
    assert warm.run(arguments(made, folder), folder).status == 0
    assert contents(folder) == contents(expected)
    assert leftovers(folder) == []
