"""Files are whole or not there; folders are claimed by one process at a time."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from onebit.core import files
from onebit.core.errors import sentence

fork = multiprocessing.get_context("spawn")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a"
    files.write_text(path, "old")
    with files.atomic(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_after_an_error_the_old_file_is_untouched_and_nothing_is_left(error, tmp_path):
    path = tmp_path / "a"
    files.write_text(path, "old")

    def write() -> None:
        with files.atomic(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_the_mode_is_that_of_a_file_made_by_anybody(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_folders_on_the_way_are_made(tmp_path):
    files.write_bytes(tmp_path / "b" / "c" / "a", b"x")
    assert (tmp_path / "b" / "c" / "a").read_bytes() == b"x"


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there" / "a")
    files.write_text(link, "text")
    assert link.is_symlink()
    assert (tmp_path / "there" / "a").read_text() == "text"
    assert names(tmp_path / "there") == ["a"]


def test_a_part_that_a_killed_writer_left_goes_with_the_next_write_to_that_name(tmp_path):
    (tmp_path / ".a.0123456789abcdef.part").write_text("half")
    (tmp_path / ".b.0123456789abcdef.part").write_text("half")
    files.write_text(tmp_path / "a", "whole")
    assert names(tmp_path) == [".b.0123456789abcdef.part", "a"]
    files.remove_stale(tmp_path)
    assert names(tmp_path) == ["a"]


def test_two_writers_of_one_name_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "a"
    with files.atomic(path) as slow:
        slow.write_text("slow")
        files.write_text(path, "quick")
        files.remove_stale(tmp_path)
        assert path.read_text() == "quick"
    assert path.read_text() == "slow"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_refused_and_stays(kind, tmp_path):
    path = tmp_path / "a"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path = Path("/dev/null")
    mode = path.stat().st_mode
    with pytest.raises(OSError, match="not a file") as caught:
        files.write_text(path, "text")
    assert caught.value.filename == str(path)
    assert path.stat().st_mode == mode


def test_an_error_names_the_file_that_was_asked_for_and_not_the_temporary_one(tmp_path):
    path = tmp_path / "a"


    def write() -> None:
        with files.atomic(path), open("/dev/full", "w") as full:
            full.write("x")

    with pytest.raises(OSError, match="No space left on device") as caught:
        write()
    assert sentence(caught.value) == f"{path}: no space left on device"


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, files.atomic(tmp_path / "a"):
        (tmp_path / "other").read_text()
    assert sentence(caught.value) == f"{tmp_path / 'other'} does not exist"


def test_a_path_below_a_file_names_that_file(tmp_path):
    (tmp_path / "file").write_text("here")
    below = tmp_path / "file" / "b"
    for write in (lambda: files.write_text(below / "a", "x"), files.claimed(below).__enter__):
        with pytest.raises(NotADirectoryError) as caught:
            write()
        assert sentence(caught.value) == f"{tmp_path / 'file'}: is a file, not a folder"


def _hold(folder: Path, held, release) -> None:
    with files.claimed(folder):
        held.set()
        release.wait()


def test_a_claimed_folder_is_refused_to_others_until_its_process_ends(tmp_path):
    held, release = fork.Event(), fork.Event()
    process = fork.Process(target=_hold, args=(tmp_path, held, release))
    process.start()
    assert held.wait(60)
    with pytest.raises(files.InUse, match="in use by another process") as caught, files.claimed(tmp_path):
        pass
    assert str(tmp_path) in sentence(caught.value)
    process.kill()
    process.join()
    with files.claimed(tmp_path):
        pass
    assert names(tmp_path) == []


def test_a_disk_that_is_really_full(tmp_path):
    """On a file system of 64 KiB, mounted in a namespace of its own, where the system allows that."""
    script = (
        "import os, sys; from pathlib import Path; from onebit.core import files, journal\n"
        "here = Path(sys.argv[1])\n"
        "files.write_bytes(here / 'a', b'x' * 30_000); journal.append(here / 'b', [0] * 5000)\n"
        "before = {p.name: p.read_bytes() for p in here.iterdir()}\n"
        "for write in (lambda: files.write_bytes(here / 'a', b'y' * 30_000),\n"
        "              lambda: journal.append(here / 'b', [1] * 10_000)):\n"
        "    try: write()\n"
        "    except OSError as error: print(error.strerror, error.filename)\n"
        "assert {p.name: p.read_bytes() for p in here.iterdir()} == before\n"
    )
    mount = f"mount -t tmpfs -o size=64k tmpfs {tmp_path} && exec {sys.executable} -c \"$0\" {tmp_path}"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", mount, script], capture_output=True, text=True)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    assert done.stdout.splitlines() == [f"No space left on device {tmp_path / name}" for name in "ab"], done.stderr
