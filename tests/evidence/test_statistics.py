"""Intervals and rank correlation against what they are defined by."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from onebit.evidence.statistics import interval, paired, spearman


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    trials = 4000
    covered = sum(low <= 3.0 <= high for _, low, high, _ in (interval(rng.normal(3, 2, 5)) for _ in range(trials)))
    # binomial: 95 % within four standard deviations
    assert abs(covered / trials - 0.95) < 4 * math.sqrt(0.95 * 0.05 / trials)


def test_a_paired_interval_is_that_of_the_paired_t_test():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=7), rng.normal(size=7)
    expected = stats.ttest_rel(a, b).confidence_interval(0.9)
    found = paired(a.tolist(), b.tolist(), 0.9)
    np.testing.assert_allclose((found.low, found.high), (expected.low, expected.high), rtol=1e-12)


def test_one_value_tells_nothing_of_the_spread():
    assert interval([2.0]) == (2.0, -math.inf, math.inf, 1)


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.inf]])
def test_values_that_have_no_mean_are_refused(values):
    with pytest.raises(ValueError, match="one or more finite numbers"):
        interval(values)


def test_rank_correlation_sees_order_alone():
    x = [1.0, 2.0, 3.0, 5.0]
    assert spearman(x, [math.exp(v) for v in x]) == 1
    assert spearman(x, [-v for v in x]) == -1
    assert math.isnan(spearman(x, [1.0] * 4))
