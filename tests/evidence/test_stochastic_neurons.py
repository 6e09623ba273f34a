"""Verdicts on stochastic neurons follow from their rows."""

from __future__ import annotations

from typing import Any

import pytest

from onebit.core.errors import Unsupported
from onebit.evidence import claims
from onebit.evidence.claims import FAILS, HOLDS, IN_PART
from onebit.evidence.claims.stochastic_neurons import STOCHASTIC, first_order, score_moments, straight_through_signs

CLAIM = claims.registry["stochastic-neurons"]


def trained(errors: dict[str, float], active: float = 0.1) -> list[dict[str, Any]]:
    return [
        row | {"error": errors.get(row["gate"], 0.05) + 0.001 * row["seed"], "active": active, "decided": 0.1}
        for row in CLAIM.statement(4).runs("small")
    ]


@pytest.mark.parametrize(
    ("errors", "active", "outcome"),
    [
        ({}, 0.1, HOLDS),
        ({"reinforce": 0.2}, 0.1, IN_PART),
        ({gate: 0.2 for gate in STOCHASTIC}, 0.1, IN_PART),
        ({gate: 0.6 for gate in STOCHASTIC}, 0.1, FAILS),
        ({}, 0.9, FAILS),
    ],
)
def test_gaters_hold_where_all_four_are_sparse_and_close_to_the_dense_baseline(errors, active, outcome):
    assert CLAIM.statement(4).judge(trained(errors, active), "small").outcome == outcome


@pytest.mark.parametrize(
    ("skipping", "experts", "outcome"), [(80, 0.1, HOLDS), (150, 0.1, IN_PART), (250, 0.1, FAILS), (80, 0.3, FAILS)]
)
def test_computation_is_saved_only_where_the_time_of_the_gater_is_counted(skipping, experts, outcome):
    macs = {"gater": 70.0, "experts": 100.0 * experts, "output": 0.0, "dense": 100.0}
    times = {"skipping": skipping, "everything": 200, "without a gater": 100}
    rows = [row | {"macs": macs, "microseconds": times} for row in CLAIM.statement(5).runs("small")]
    verdict = CLAIM.statement(5).judge(rows, "small")
    assert verdict.outcome == outcome
    assert verdict.numbers["all operations / layer without a gater, 10 % on"] == pytest.approx(0.7 + experts)


def test_the_optimal_baseline_has_the_least_variance_in_every_unit_of_a_random_problem():
    found = score_moments(5, 1000, 3)["variances"]
    for name in ("mean", "none"):
        assert all(best <= other for best, other in zip(found["optimal"], found[name]))


def test_first_order_errors_of_the_square_are_the_closed_form():
    assert first_order("square", 0.25)["difference"] == pytest.approx(0.25**1.5 - 0.25**2)


def test_straight_through_signs_all_agree_where_the_loss_is_linear_in_each_unit():
    assert straight_through_signs("linear in each unit", 4, 10, 0) == {"agree": 40, "signs": 40}


def test_the_published_set_up_is_refused_with_what_it_takes():
    with pytest.raises(Unsupported, match="hour a gater on a GPU"):
        CLAIM.statement(4).runs("paper")
