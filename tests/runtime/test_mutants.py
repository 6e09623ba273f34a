"""The fuzzer's first mutants, in every test run; `make fuzz` runs many more."""

from __future__ import annotations

import pytest

from . import mutate

BATCH = 250


@pytest.mark.parametrize("start", range(0, 2000, BATCH))
def test_both_readers_treat_mutants_alike_and_run_them_to_the_same_bits(start):
    findings = [mutate.finding(index) for index in range(start, start + BATCH)]
    assert [finding for finding in findings if finding] == []


def test_a_mutant_depends_on_its_number_alone():
    assert mutate.mutant(7) == mutate.mutant(7)
    assert len({mutate.mutant(index) for index in range(50)}) > 45
