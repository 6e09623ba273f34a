"""Tables of the documentation are those of the newest records."""

from __future__ import annotations

import pytest
from tests.cli.documents import Page, pages
from tests.cli.recorded import BLOCK, RESULTS, filled
from tests.evidence.invented import PLANS, record

from onebit.evidence import tracks

RECORDED = [page for page in pages() if BLOCK.search(page.text)]


@pytest.mark.parametrize("page", RECORDED, ids=str)
def test_the_tables_of_the_documentation_are_those_of_the_newest_record(page):
    assert filled(page.text) == page.text, f"{page}: python -m tests.cli.recorded puts the newest records there"


def test_every_record_of_a_benchmark_is_shown_in_the_documentation():
    shown = {found["track"] for page in RECORDED for found in BLOCK.finditer(page.text)}
    assert {path.stem for path in (RESULTS / "bench").glob("*.jsonl")} <= shown
    assert shown >= set(tracks.registry)


def test_a_page_gets_the_table_of_a_record_once_there_is_one(tmp_path):
    text = "Before.\n\n```console\nonebit bench accuracy --recorded\n```\n\n```text\nnothing\n```\n\nAfter.\n"
    without = filled(text, tmp_path)
    assert "Not measured yet: onebit bench accuracy --results docs/results" in without
    for failed in (None, -1):
        made = record("accuracy", PLANS["accuracy"], date=f"2026-12-0{1 if failed is None else 2}", failed=failed)
        tracks.append(made, tmp_path)
        shown = filled(without, tmp_path)
        assert tracks.text(made) in shown
        assert filled(shown, tmp_path) == shown
        assert shown.startswith("Before.\n\n```console\nonebit bench accuracy --recorded\n```")
        assert shown.endswith("```\n\nAfter.\n")


def test_the_page_of_the_benchmark_names_every_track_and_its_overall_metric():
    text = Page("docs/benchmark.md").text
    for name in tracks.registry:
        assert f"| `{name}` |" in text


def test_the_accuracies_of_the_readme_are_those_of_the_newest_record():
    made = tracks.newest(RESULTS, "accuracy")
    lines = Page("README.md").text.splitlines()
    start = next(n for n, line in enumerate(lines) if "(`onebit bench accuracy`)" in line) + 2
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start : lines.index("", start)]]
    expected = [[row[0] if row[0] == "float" else f"`{row[0]}`", *row[1:6]] for row in made.summary.rows]
    assert [[row[0].replace("float twin", "float"), *row[1:]] for row in shown] == expected
