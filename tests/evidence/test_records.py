"""Records of claims: what is written comes back, and nothing is lost."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from onebit.evidence.records import Record, append, latest, read
from onebit.evidence.statistics import Interval

RECORD = Record(
    claim="biper", statement=2, scale="small", outcome="holds", summary="Säule", text="t", threshold="h", published="p",
    unverified="", command="onebit claim biper", date="2026-01-02T03:04:05+00:00", seconds=1.5,
    numbers={"gap": math.nan, "n": 3}, intervals={"d": Interval(1.0, -math.inf, math.inf, 1)}, baselines=("a",),
    rows=({"seed": 0, "accuracy": 0.5},), made_on={"cpu": "x", "packages": {"torch": "1"}},
)  # fmt: skip


def test_a_record_comes_back_as_it_was(tmp_path):
    append(tmp_path, RECORD)
    (again,) = read(tmp_path)
    assert again.intervals == RECORD.intervals
    assert math.isnan(again.numbers["gap"])
    assert again.to_dict() == RECORD.to_dict()


def test_records_are_added_and_the_newest_counts(tmp_path):
    older, newer = replace(RECORD, summary="older"), replace(RECORD, summary="newer", date="2026-02-01")
    for record in (newer, older, replace(RECORD, scale="smoke")):
        append(tmp_path, record)
    assert [r.summary for r in read(tmp_path)] == ["newer", "older", "Säule"]
    assert latest(tmp_path)["biper", 2, "small"].summary == "newer"
    assert set(latest(tmp_path)) == {("biper", 2, "small"), ("biper", 2, "smoke")}


@pytest.mark.parametrize("line", ["{}", "[1]", '{"claim": "x"}', "nonsense"])
def test_a_line_that_is_no_record_is_named(tmp_path, line):
    append(tmp_path, RECORD)
    path = tmp_path / "biper.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=r"biper\.jsonl, line 2"):
        list(read(tmp_path))


def test_no_folder_no_records(tmp_path):
    assert latest(tmp_path / "none") == {}
