"""JSON lines: each is whole or not there."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onebit.core import journal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=25)
@given(st.lists(VALUES, max_size=5))
def test_what_was_appended_is_read_back_in_its_order(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("journal") / "rows.jsonl"
    for value in values:
        journal.append(path, value)
    assert journal.read(path) == values


@pytest.mark.parametrize("kept", range(12))
def test_a_line_that_a_kill_cut_off_is_passed_over_and_removed_by_the_next_append(kept, tmp_path):
    path = tmp_path / "rows.jsonl"
    journal.append(path, {"row": 1})
    with path.open("ab") as file:
        file.write(json.dumps({"row": 2}).encode()[:kept])
    assert journal.read(path) == [{"row": 1}]
    journal.append(path, {"row": 3})
    assert journal.read(path) == [{"row": 1}, {"row": 3}]


def test_a_cut_off_line_longer_than_what_is_read_at_a_time_is_removed_too(tmp_path):
    path = tmp_path / "rows.jsonl"
    for first in ([], ["x"]):
        path.write_text("".join(json.dumps(value) + "\n" for value in first) + '"' + "y" * 10_000)
        journal.append(path, "z")
        assert journal.read(path) == [*first, "z"]


def test_a_bad_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("1\n{\n2\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 2, is no JSON"):
        journal.read(path)


def test_a_value_that_json_does_not_have_changes_nothing(tmp_path):
    path = tmp_path / "rows.jsonl"
    journal.append(path, 1)
    for value in (math.nan, object()):
        with pytest.raises((ValueError, TypeError)):
            journal.append(path, value)
    assert path.read_text() == "1\n"


def test_numbers_that_are_not_finite_survive_as_words():
    values = {"a": [math.inf, -math.inf, 1.5], "b": {"c": "text"}}
    assert journal.decode(json.loads(json.dumps(journal.encode(values), allow_nan=False))) == values
    assert math.isnan(journal.decode(journal.encode(math.nan)))
