"""Disks that are full, folders that are read-only or vanish: a sentence, the old file untouched, nothing left."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.kill.conftest import KILLS, Made
from tests.kill.contents import contents, leftovers
from tests.kill.machine import Ended, Machine

from onebit.core.seeds import generator

WRITERS: dict[str, Callable[[Made, Path], list[str]]] = {
    "export": lambda made, folder: [
        *("export", str(made.packed), "--to", "onnx", "--samples", "0", "-o", str(folder / "a.onnx")),
    ],
    "plot": lambda made, folder: ["plot", "-o", str(folder / "a.svg")],
    "weights": lambda made, folder: ["tests.kill.writers:weights", str(folder)],
    "history": lambda made, folder: ["tests.kill.writers:history", str(folder)],
    "page": lambda made, folder: ["tests.kill.writers:page", str(folder)],
    "float_onnx": lambda made, folder: ["tests.kill.writers:float_onnx", str(folder)],
    "pack": lambda made, folder: ["pack", str(made.run), "--samples", "0", "-o", str(folder / "a.onebit")],
}
SLOW = {"float_onnx", "pack", "plot"}  # seconds each: one fault only, and in `make kill`; they write as all others do
FAULTS = {
    "full": ("full", errno.ENOSPC, "no space left on device"),
    "quota": ("full", errno.EDQUOT, "disk quota exceeded"),
    "read-only": ("read-only", errno.EROFS, "read-only file system"),
    "not-permitted": ("read-only", errno.EACCES, "permission denied"),
    "broken": ("full", errno.EIO, "input/output error"),
}


def failed_in_one_sentence(ended: Ended, folder: Path, said: str) -> None:
    """A command has ended with status 2 and a sentence; a library call has raised an OSError that says the same."""
    last = ended.err.strip().splitlines()[-1]
    assert str(folder) in last, ended.err
    assert said in last.lower(), ended.err
    assert ".part" not in last
    if last.startswith("onebit"):
        assert ended.status == 2
        assert "Traceback" not in ended.err
        assert "ONEBIT_DEBUG" not in last
    else:
        assert last.startswith(("OSError", "PermissionError", "FileNotFoundError")), last


@pytest.mark.parametrize(
    ("writer", "fault"),
    [(w, f) for w in WRITERS for f in FAULTS if w not in SLOW or (f == "full" and KILLS >= 20)],
)
def test_a_disk_that_fails_while_a_file_is_written(writer, fault, warm: Machine, made: Made, tmp_path):
    arguments = WRITERS[writer](made, tmp_path)
    whole = warm.run(arguments, tmp_path)
    assert whole.status == 0, whole.err
    old = contents(tmp_path)
    action, number, said = FAULTS[fault]
    random = generator(0, "disk", writer, fault)
    # The first event is the making of the temporary file, the last ones are rename and cleaning up.
    moments = [1, 2, int(random.integers(2, whole.events - 4))]
    for at in [2] if writer in SLOW else [1] if action == "read-only" else moments:
        ended = warm.run(arguments, tmp_path, action, at=at, number=number)
        failed_in_one_sentence(ended, tmp_path, said)
        assert contents(tmp_path) == old
        assert leftovers(tmp_path) == []


def test_a_folder_that_vanishes_while_a_file_is_written(warm: Machine, made: Made, tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    ended = warm.run(WRITERS["export"](made, folder), folder, "vanish", at=2)
    failed_in_one_sentence(ended, folder, "its folder does not exist")


def test_a_training_on_a_full_disk_stops_with_a_sentence_and_goes_on_from_its_last_checkpoint(
    warm: Machine, made: Made, tmp_path
):
    def arguments(folder: Path) -> list[str]:
        return ["train", "--recipe", str(made.job), "-o", str(folder), "--resume"]

    whole = warm.run(arguments(tmp_path / "whole"), tmp_path / "whole")
    folder = tmp_path / "run"
    # A third of the events lie before the end of the second epoch, two thirds before that of the third.
    for at in (1, whole.events // 3, 2 * whole.events // 3):
        shutil.rmtree(folder, ignore_errors=True)
        ended = warm.run(arguments(folder), folder, "full", at=at, number=errno.ENOSPC)
        failed_in_one_sentence(ended, folder, "no space left on device; the same command with --resume goes on")
        contents(folder)
        assert leftovers(folder) == []
        again = warm.run(arguments(folder), folder)
        assert again.status == 0, again.err
        assert contents(folder) == contents(tmp_path / "whole")


def test_a_sweep_on_a_full_disk_keeps_its_rows_and_goes_on_from_them(warm: Machine, made: Made, tmp_path):
    arguments = ["tests.kill.writers:rows", str(tmp_path)]
    whole = warm.run(arguments, tmp_path)
    expected = contents(tmp_path)["rows.jsonl"]
    assert len(expected) == 3
    for at in range(1, whole.events + 1):
        (tmp_path / "rows.jsonl").unlink()
        ended = warm.run(arguments, tmp_path, "full", at=at, number=errno.ENOSPC)
        failed_in_one_sentence(ended, tmp_path / "rows.jsonl", "no space left on device")
        found = contents(tmp_path).get("rows.jsonl", [])
        assert len(found) < 3
        assert set(found) <= set(expected)
        warm.run(arguments, tmp_path)
        assert set(contents(tmp_path)["rows.jsonl"]) == set(expected)


def test_files_that_grow_beyond_the_limit_of_the_process_are_said_so(warm: Machine, made: Made, tmp_path):
    old = shutil.copy(made.packed, tmp_path / "a.onnx")
    before = Path(old).read_bytes()
    ended = warm.run(WRITERS["export"](made, tmp_path), tmp_path, limit=1000)
    failed_in_one_sentence(ended, tmp_path, "file too large")
    assert Path(old).read_bytes() == before
    assert leftovers(tmp_path) == []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(bytes(5000))

    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize("action", ["full", "read-only", "kill"])
def test_a_download_onto_a_disk_that_fails_blames_no_server_and_leaves_nothing(action, warm: Machine, tmp_path):
    cache = tmp_path / "cache"
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        arguments = ["tests.kill.writers:download", str(cache), f"http://127.0.0.1:{http.server_address[1]}/file.bin"]
        events = warm.run(arguments, cache).events
        for at in [1] if action == "read-only" else range(1, events - 3):  # the last ones are of the whole file
            shutil.rmtree(cache, ignore_errors=True)
            ended = warm.run(arguments, cache, action, at=at, number=errno.ENOSPC)
            assert contents(cache) == {}
            if action != "kill":
                failed_in_one_sentence(ended, cache / "a-set" / "file.bin", "no space left on device")
                assert leftovers(cache) == []
            assert warm.run(arguments, cache).status == 0
            assert contents(cache) == {"a-set/file.bin": bytes(5000)}
            assert leftovers(cache) == []
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("command", ["train", "export"])
def test_a_path_below_a_file_is_said_so(command, warm: Machine, made: Made, tmp_path):
    file = tmp_path / "file"
    file.write_text("here")
    arguments = {
        "train": ["train", "--recipe", str(made.job), "-o", str(file / "run")],
        "export": WRITERS["export"](made, file / "deeper"),
    }[command]
    ended = warm.run(arguments, tmp_path)
    failed_in_one_sentence(ended, file, "is a file, not a folder")
    assert file.read_text() == "here"


def test_a_device_is_not_replaced_by_a_file(warm: Machine, made: Made, tmp_path):
    pipe = tmp_path / "a.onnx"
    os.mkfifo(pipe)
    ended = warm.run(WRITERS["export"](made, tmp_path), tmp_path)
    failed_in_one_sentence(ended, tmp_path, "is a device or a pipe, not a file")
    assert pipe.is_fifo()
