"""The page of guarantees names tests and commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()


def defined(path: Path) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))


def test_every_test_on_the_page_exists_and_every_promise_has_one():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line and "held by" not in line]
    assert len(rows) > 50
    for row in rows:
        held = row.rstrip(" |").rpartition("|")[2]
        files = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", held)
        assert files, row
        for file, name in files:
            path = ROOT / "tests" / file
            assert path.is_file(), file
            assert not name or name in defined(path), f"{file} has no {name}"


def test_every_command_on_the_page_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", PAGE)) <= targets


def test_every_file_of_faults_is_on_the_page():
    named = set(re.findall(r"faults/(test_\w+\.py)", PAGE))
    assert named | {Path(__file__).name} == {path.name for path in Path(__file__).parent.glob("test_*.py")}
