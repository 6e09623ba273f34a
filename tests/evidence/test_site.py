"""The report: whole, self-contained, readable in a browser that nobody looks at."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from tests.evidence.reading import assert_a_browser_shows, assert_links_lead_somewhere

from onebit.cli.main import main
from onebit.core.catalogue import systems
from onebit.evidence import claims, records, site
from onebit.evidence.claims import surrogates
from onebit.evidence.claims.run import recheck
from onebit.evidence.site.plots import svg
from onebit.evidence.statistics import Interval


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A record of the one statement that needs no training."""
    folder = tmp_path_factory.mktemp("results")
    claim = claims.registry["reste"]
    number = next(n for n, s in claim.statements.items() if isinstance(s, surrogates.RationalFlexible))
    records.append(folder, recheck(claim, number, "small", folder / "runs"))
    return folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory, results) -> Path:
    return site.build(tmp_path_factory.mktemp("report"), results).parent


def test_every_system_has_a_page_and_every_link_leads_somewhere(pages):
    assert {path.stem for path in (pages / "systems").iterdir()} == set(systems())
    assert_links_lead_somewhere(pages)


def test_a_page_shows_statement_threshold_verdict_and_the_command_that_repeats_it(pages, results):
    (record,) = records.read(results)
    text = (pages / "systems" / "reste.html").read_text()
    for said in (record.outcome, record.command, "Not run yet"):
        assert said in text
    assert "<svg" in text
    assert f">{record.statement}: {record.outcome}<" in (pages / "index.html").read_text()


def test_intervals_have_a_column_where_there_are_some(pages, results, tmp_path):
    head = '<th scope="col">95 % interval</th>'
    assert head not in (pages / "systems/reste.html").read_text()
    (record,) = records.read(results)
    gap = {"gap": Interval(1.5, -1.0, 4.0, 5)}
    records.append(tmp_path, dataclasses.replace(record, numbers={"count": 16794.0}, intervals=gap))
    text = (site.build(tmp_path / "site", tmp_path).parent / "systems/reste.html").read_text()
    assert head in text
    for cell in ("16,794", "+1.5", "-1 to +4"):
        assert f"<td>{cell}</td>" in text


def test_pages_need_nothing_from_elsewhere(pages):
    for path in pages.rglob("*.html"):
        assert not re.search(r"<(?:script|img|link)[^>]*(?:src|href)=.https?:", path.read_text())


def test_the_same_results_give_the_same_pages(pages, results, tmp_path):
    again = site.build(tmp_path, results).parent
    for path in pages.rglob("*.html"):
        assert (again / path.relative_to(pages)).read_text() == path.read_text()


def test_ink_is_the_pages_and_text_is_text():
    drawn = svg(lambda axes: axes.plot([0, 1], [0, 1], color="#000000", label="a < b") and axes.legend(), 'a "plot"')
    assert "#000000" not in drawn
    assert "currentColor" in drawn
    assert "a &lt; b</text>" in drawn
    assert 'aria-label="a &quot;plot&quot;"' in drawn
    assert "clip0" not in drawn or "width=" not in drawn.partition(">")[0]


def test_without_results_every_page_says_how_to_get_them(tmp_path, capsys):
    assert main(["report", "--output", str(tmp_path / "site"), "--results", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out == f"Report: {tmp_path / 'site' / 'index.html'}\n"
    assert "Not measured yet" in (tmp_path / "site" / "engine.html").read_text()
    assert "onebit claim biper --statement 1" in (tmp_path / "site" / "systems" / "biper.html").read_text()


def test_a_damaged_record_is_named_and_nothing_is_written(tmp_path, capsys):
    (tmp_path / "biper.jsonl").write_text('{"claim": 1}\n')
    assert main(["report", "--output", str(tmp_path / "site"), "--results", str(tmp_path)]) == 2
    assert "biper.jsonl, line 1" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("name", ["index", "systems/reste", "engine", "tracks"])
def test_a_browser_shows_the_page_without_complaint(pages, tmp_path, name):
    assert_a_browser_shows(pages / f"{name}.html", tmp_path)
