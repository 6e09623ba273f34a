"""Downloads, against a local HTTP server: whole, with a wrong checksum, cut short, missing; mirrors."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from onebit.data.sources import DataNotFound, Remote, Sources

CONTENT = bytes(range(256)) * 40
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        body = b"something else" if self.path.startswith("/wrong") else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:1000] if self.path.startswith("/short") else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


def remote(server: str, *kinds: str) -> Remote:
    return Remote("file.bin", tuple(f"{server}/{kind}/file.bin" for kind in kinds), MD5)


def test_a_good_file_lands_in_the_cache_and_is_found_there_afterwards(server, tmp_path):
    path = Sources((), tmp_path).fetch(remote(server, "good"), ["a-set"])
    assert path == tmp_path / "a-set" / "file.bin"
    assert path.read_bytes() == CONTENT
    assert Sources((), tmp_path, download=False).fetch(remote(server, "good"), ["a-set"]) == path


@pytest.mark.parametrize(
    ("kind", "reason"), [("wrong", "wrong checksum"), ("missing", "answered 404"), ("short", "file.bin")]
)
def test_a_failed_download_says_why_and_leaves_nothing_behind(server, tmp_path, kind, reason):
    with pytest.raises(DataNotFound, match=reason):
        Sources((), tmp_path).fetch(remote(server, kind), ["a-set"])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_mirrors_are_tried_in_turn(server, tmp_path):
    path = Sources((), tmp_path).fetch(remote(server, "missing", "wrong", "short", "good"), ["a-set"])
    assert path.read_bytes() == CONTENT


def test_a_server_that_is_not_there_is_said_in_one_sentence(tmp_path):
    dead = Remote("file.bin", ("http://127.0.0.1:9/file.bin",), MD5)
    with pytest.raises(DataNotFound, match="no connection") as caught:
        Sources((), tmp_path).fetch(dead, ["a-set"])
    assert "\n" not in str(caught.value)


def test_nothing_is_downloaded_where_downloads_are_not_allowed(server, tmp_path):
    with pytest.raises(DataNotFound, match="not allowed"):
        Sources((), tmp_path, download=False).fetch(remote(server, "good"), ["a-set"])
