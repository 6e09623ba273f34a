"""Records of tracks as Markdown and as text: every cell of their tables comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.evidence.invented import PLANS, record
from tests.evidence.reading import Tables

from onebit.core.tables import markdown_table
from onebit.evidence import tracks
from onebit.evidence.tracks import Plan, document

RECORDED = list(tracks.registry)


def parsed(markdown: str) -> Tables:
    """As another program reads Markdown."""
    return Tables(MarkdownIt("commonmark").enable("table").render(markdown))


CELLS = st.text(st.characters(codec="ascii", min_codepoint=32, exclude_characters="\x7f"), max_size=12)


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1)))
def test_a_markdown_table_parses_back_to_its_cells(rows):
    (found,) = parsed(markdown_table(rows[0], rows[1:])).tables
    assert found == [[" ".join(cell.split()) for cell in row] for row in rows]


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("failed", [None, -1])
def test_the_markdown_of_a_record_has_its_tables_its_notes_and_how_it_was_made(name, failed):
    made = record(name, PLANS[name], failed=failed)
    of, found = document.document(made), parsed(tracks.markdown(made))
    assert found.tables == [[list(columns), *map(list, rows)] for columns, rows in (of.table, of.parts) if rows]
    assert found.tables[0] == [list(made.summary.columns), *made.summary.rows]
    said = [" ".join(line.split()) for line in found.said]
    for line in (of.title, of.question, *of.notes, of.made):
        assert line in said
    assert (failed is None) == (not any("invented" in line for line in said))


@pytest.mark.parametrize("name", RECORDED)
def test_the_text_of_a_record_has_every_method_and_every_part_of_its_overall_metric(name):
    made = record(name, PLANS[name])
    said = tracks.text(made)
    lines = said.splitlines()
    for method, found in made.overall.items():
        assert any(line.split()[:1] == [method] for line in lines)
        for part in found.parts:
            assert any(line.startswith(f"{part} ") for line in lines)
    assert made.command in lines[-1]
    assert all(line == line.rstrip() for line in lines)


def test_a_record_at_scale_smoke_says_that_it_is_no_evidence():
    plan = Plan(scale="smoke", tasks=("digits",), methods=("bnn",))
    assert document.NO_EVIDENCE in tracks.text(record("accuracy", plan))
    assert document.NO_EVIDENCE not in tracks.text(record("accuracy", PLANS["accuracy"]))


def test_a_method_whose_cell_failed_stands_in_the_table_and_not_among_the_ratios():
    whole = record("accuracy", PLANS["accuracy"])
    method = whole.rows[-1].settings["job"]["model"]["scheme"]
    of = document.document(record("accuracy", PLANS["accuracy"], failed=-1))
    assert method in [row[0] for row in of.table[1]]
    assert method not in of.parts[0]
    assert of.failed == [f"{whole.rows[-1].name}: ValueError: invented"]
