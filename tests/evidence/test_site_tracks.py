"""The report's pages of tracks: with no, one and all of them measured."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.documents import ROOT
from tests.evidence.invented import PLANS, record
from tests.evidence.reading import Tables, assert_a_browser_shows, assert_links_lead_somewhere

from onebit.evidence import site, tracks
from onebit.evidence.site import charts
from onebit.evidence.site.tracks import recorded
from onebit.evidence.tracks import FLOAT, Plan, document

RECORDS = {name: record(name, PLANS[name]) for name in tracks.registry}


def built(folder: Path, *records: tracks.Record) -> Path:
    """A site of invented records."""
    for each in records:
        tracks.append(each, folder / "results")
    return site.build(folder / "site", folder / "results").parent


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("tracks"), *RECORDS.values())


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("one"), RECORDS["accuracy"])


def test_the_committed_records_make_a_site(tmp_path):
    assert_links_lead_somewhere(site.build(tmp_path, ROOT / "docs/results").parent)


def test_links_lead_somewhere_whatever_is_measured(pages, one, tmp_path):
    for folder in (pages, one, built(tmp_path)):
        assert_links_lead_somewhere(folder)


def test_a_track_has_a_page_and_a_place_in_the_navigation_once_it_has_a_record(pages, one, tmp_path):
    for folder, names in ((pages, list(RECORDS)), (one, ["accuracy"]), (built(tmp_path), [])):
        assert sorted(path.stem for path in folder.glob("tracks/*.html")) == sorted(names)
        front = (folder / "index.html").read_text()
        for name in tracks.registry:
            assert (f'href="tracks/{name}.html"' in front) == (name in names)


def test_the_overview_has_every_question_and_says_how_to_measure_what_is_not(one):
    text = (one / "tracks.html").read_text()
    for name, track in tracks.registry.items():
        assert track.question.replace("'", "&#39;") in text
        assert (f"onebit bench {name} --results" in text) == (name != "accuracy")


def test_no_method_is_the_best_where_all_are_equal(pages):
    assert len({f"{found.metric:.3f}" for name, found in RECORDS["cost"].overall.items() if name != FLOAT}) == 1
    assert f"every method {RECORDS['cost'].overall['bnn'].metric:.3f};" in (pages / "tracks.html").read_text()


def test_the_overview_has_a_row_a_method_and_a_column_a_track_and_marks_the_largest(pages):
    text = (pages / "tracks.html").read_text()
    (table,) = Tables(text).tables
    assert table[0] == ["method", *RECORDS]
    methods = {method for made in RECORDS.values() for method in made.overall} - {FLOAT}
    assert {row[0] for row in table[1:]} == methods
    for row in table[1:]:
        for name, cell in zip(RECORDS, row[1:]):
            found = RECORDS[name].overall.get(row[0])
            assert cell == ("-" if found is None else f"{found.metric:.3f}")
    best = re.findall(r'<td class="best">([\d.]+)</td>', text)
    columns = [[cell for cell in column if cell != "-"] for column in list(zip(*table[1:]))[1:]]
    assert set(best) == {max(cells, key=float) for cells in columns if len(set(cells)) > 1}


@pytest.mark.parametrize("name", RECORDS)
def test_every_method_and_part_of_a_record_is_in_the_tables_of_its_page(pages, name):
    made = RECORDS[name]
    found = Tables((pages / f"tracks/{name}.html").read_text())
    of = document.document(made)
    assert found.tables == [[list(columns), *map(list, rows)] for columns, rows in (of.table, of.parts)]
    assert {row[0] for row in found.tables[0][1:]} >= set(made.overall)
    assert set(found.tables[1][0][1:]) == set(made.overall) - {FLOAT}
    assert {row[0] for row in found.tables[1][1:]} >= {part for o in made.overall.values() for part in o.parts}
    said = " ".join(" ".join(found.said).split())
    for line in (of.question, of.made, *of.notes):
        assert line in said


@pytest.mark.parametrize("name", RECORDS)
def test_every_chart_says_what_it_shows_to_those_who_cannot_see_it(pages, name):
    text = (pages / f"tracks/{name}.html").read_text()
    labels = re.findall(r'<svg role="img" aria-label="([^"]+)"', text)
    assert len(labels) == text.count("<svg") == len(set(labels)) >= 2
    assert "#000000" not in text, "ink is the page's"


def test_few_parts_are_bars_and_many_a_radar(pages):
    for name, made in RECORDS.items():
        text = (pages / f"tracks/{name}.html").read_text()
        many = len(made.overall["bnn"].parts) > 2
        assert ("Circle: 1, the float twin" in text) == many
        assert (f"ratios of {tracks.registry[name].parts} by method" in text) == (not many)


def test_methods_are_ranked_by_their_overall_metric_without_the_twin():
    found = RECORDS["accuracy"].overall
    names = charts.ranked(found)
    assert set(names) == set(found) - {FLOAT}
    assert [found[name].metric for name in names] == sorted((found[name].metric for name in names), reverse=True)


def test_no_more_than_ten_methods_have_a_radar_of_their_own():
    whole = record("accuracy", Plan(tasks=("digits", "mnist", "adult"), seeds=1)).overall
    more = whole | {f"method {number}": whole["bnn"] for number in range(5)}
    track = tracks.registry["accuracy"]
    assert len(charts.small(track, more)) == charts.MOST == 10
    assert len(charts.small(track, dict(list(more.items())[:4]))) == 3


def test_points_are_the_means_of_the_table_and_of_what_the_rows_count():
    made = RECORDS["accuracy"]
    points = charts.points(made)
    assert {(p.method, p.group) for p in points} == {
        (method, task) for method in (FLOAT, *PLANS["accuracy"].methods) for task in PLANS["accuracy"].tasks
    }
    shown = {(row[0], column): cell for row in made.summary.rows for column, cell in zip(made.summary.columns, row)}
    for point in points:
        assert shown[point.method, f"{point.group}, %"].startswith(f"{point.score:.1f}")
        twin = point.method == FLOAT
        assert point.operations == (1_100_000 if twin else 100_000 + 1_000_000 / 64)
        assert point.bytes == (4 * 21_000 if twin else 4 * 1_000 + 20_000 / 8)
    assert charts.points(RECORDS["training"]) == []


def test_a_record_of_scale_smoke_is_shown_only_where_there_is_no_other(tmp_path):
    small = RECORDS["accuracy"]
    smoke = record("accuracy", Plan(scale="smoke", methods=("bnn",)), date="2027-01-01T00:00:00+00:00")
    tracks.append(smoke, tmp_path)
    assert recorded(tmp_path)["accuracy"].scale == "smoke"
    tracks.append(small, tmp_path)
    assert recorded(tmp_path)["accuracy"] == small
    later = replace(small, date="2026-12-01T00:00:00+00:00")
    tracks.append(later, tmp_path)
    assert recorded(tmp_path)["accuracy"].date == later.date


def test_a_record_without_one_whole_method_still_has_its_table(tmp_path):
    made = record("accuracy", Plan(scale="smoke", methods=("bnn",)), failed=0)
    folder = built(tmp_path, made)
    text = (folder / "tracks/accuracy.html").read_text()
    assert "ValueError: invented" in text
    assert "<svg" not in text.partition("Cost against accuracy")[0]
    assert "no method has all its cells" in (folder / "tracks.html").read_text()


@pytest.mark.parametrize("name", ["tracks", "tracks/accuracy"])
def test_a_browser_shows_the_page_of_a_track_without_complaint(pages, tmp_path, name):
    assert_a_browser_shows(pages / f"{name}.html", tmp_path)
