"""The catalogue of published systems: whole, consistent with the bibliography, and never told what is built."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from onebit.core.catalogue import DATA, System, find, systems

BIBLIOGRAPHY = Path(__file__).parents[2] / "docs" / "references.bib"


def entries() -> dict[str, str]:
    text = BIBLIOGRAPHY.read_text()
    return {match[1]: match[0] for match in re.finditer(r"@\w+\{(\w+),.*?\n\}", text, re.S)}


def plain(title: str) -> str:
    return re.sub(r"[^a-z0-9 ]", "", title.lower().replace("-", " ")).strip()


def test_numbers_are_1_to_n_and_names_are_slugs():
    assert [system.number for system in systems().values()] == list(range(1, len(systems()) + 1))
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", slug) for slug in systems())
    assert len({system.key for system in systems().values()}) == len(systems())


@pytest.mark.parametrize("system", systems().values(), ids=systems())
def test_every_system_is_in_the_bibliography_under_the_same_title_and_year(system: System):
    entry = entries()[system.key]
    title = re.search(r"title = \{(.*)\},", entry)
    assert title is not None
    assert plain(title[1]) == plain(system.title)
    assert f"year = {{{system.year}}}" in entry
    for author in system.authors:
        assert author.split()[-1] in entry, author


def test_the_data_file_says_nothing_of_what_is_built():
    allowed = {field.name for field in fields(System)} - {"slug"}
    for table in tomllib.loads(DATA.read_text()).values():
        assert set(table) == allowed


def test_a_system_is_found_by_name_number_and_key():
    for system in systems().values():
        assert find(system.slug) is find(str(system.number)) is find(f"{system.number:02}") is find(system.key)
