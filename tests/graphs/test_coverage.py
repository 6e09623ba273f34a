"""Random graphs cover every kind, number system and pass; ``python -m tests.graphs.coverage`` prints the table."""

from __future__ import annotations

import collections

import pytest
from tests.graphs import coverage
from tests.graphs.case import random_case
from tests.graphs.facts import Fact, facts

from onebit.ir import passes, registry
from onebit.ir.types import VALUES

MOST_SEEDS = 4000


@pytest.fixture(scope="module")
def found() -> collections.Counter[Fact]:
    """How many of the first seeds show each fact; as many seeds as it takes to see them all."""
    counted: collections.Counter[Fact] = collections.Counter()
    missing = set(coverage.WANTED)
    for seed in range(MOST_SEEDS):
        met = set(facts(random_case(seed)))
        counted.update(met)
        missing -= met
        if not missing:
            break
    return counted


def test_everything_that_is_wanted_is_met(found):
    missing = [" ".join(fact) for fact in coverage.WANTED if not found[fact]]
    assert not missing, f"not in {MOST_SEEDS} random graphs: {', '.join(missing)}"


def test_what_is_wanted_names_every_kind_every_dtype_and_every_pass():
    groups = collections.defaultdict(set)
    for group, fact in coverage.WANTED:
        groups[group].add(fact)
    assert groups["kind"] == set(registry)
    assert groups["pass"] == {one.__name__ for one in passes.PASSES}
    assert groups["input"] == set(VALUES)
    assert len(groups["cast"]) == 40


@pytest.mark.parametrize("one", dict.fromkeys(passes.PASSES), ids=lambda one: one.__name__)
def test_every_pass_changes_many_graphs(found, one):
    assert found["pass", one.__name__] >= 20
