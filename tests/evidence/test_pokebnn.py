"""What is said of PokeBNN follows from the rows, and the networks that are compared are of one effort."""

from __future__ import annotations

import pytest
import torch

from onebit.evidence import claims
from onebit.evidence.claims import FAILS, HOLDS, IN_PART, pokebnn
from onebit.nn import models
from onebit.nn.models.pokebnn_cost import multiply_accumulates


class Colours:
    num_classes = 10
    input_shape = (3, 32, 32)


def test_the_two_contenders_have_one_effort_within_three_percent():
    with torch.device("meta"):
        efforts = [
            sum(bits**2 * n for bits, n in multiply_accumulates(pokebnn.contender(name, Colours), (3, 32, 32)).items())
            for name in ("PokeBNN", "ReActNet")
        ]
    assert max(efforts) <= 1.03 * min(efforts)


def test_every_variant_differs_from_the_whole_in_one_argument():
    for name, sizes in pokebnn.VARIANTS.items():
        assert len(sizes) == (name != "full")
        models.build("pokebnn", **pokebnn.PUBLISHED | pokebnn.NETWORK | sizes)


def effort(**change) -> dict:
    total = pokebnn.EFFORT[0.5] + 65_536_000
    return {"width": 0.5, "walked": total, "head": 65_536_000, "elementwise": {}, "ace": total} | change


@pytest.mark.parametrize(
    ("change", "outcome"), [({}, HOLDS), ({"ace": 1}, IN_PART), ({"walked": 65_536_001}, FAILS), ({"head": 0}, FAILS)]
)
def test_effort_holds_where_graph_and_layers_have_the_published_integers(change, outcome):
    assert claims.registry["pokebnn"].statement(1).judge([effort(**change)], "small").outcome == outcome


def trained(**percent: float) -> list[dict]:
    given = dict.fromkeys(pokebnn.VARIANTS, 80.0) | {name.replace("_", " "): value for name, value in percent.items()}
    rows = []
    for seed in range(3):
        for name, value in given.items():
            noise = 0.1 * seed * (name == "full")
            rows.append({"variant": name, "seed": seed, "bound": 3.0, "test": (value + noise) / 100, "inside": 1.0})
    return rows


@pytest.mark.parametrize(
    ("percent", "outcome"),
    [
        ({"full": 90.0, "no_gate": 85.0, "ReLU": 88.0}, HOLDS),
        ({"full": 90.0, "no_gate": 70.0}, IN_PART),
        ({"full": 90.0, "no_gate": 95.0}, IN_PART),
        ({"full": 70.0}, FAILS),
    ],
)
def test_the_pieces_hold_where_both_intervals_lie_above_0_in_order(percent, outcome):
    assert claims.registry["pokebnn"].statement(2).judge(trained(**percent), "small").outcome == outcome


@pytest.mark.parametrize(
    ("accuracies", "outcome"),
    [((50, 60, 70, 80, 79, 70), HOLDS), ((50, 60, 90, 80, 79, 70), IN_PART), ((80, 60, 70, 80, 80, 70), FAILS)],
)
def test_the_bound_holds_where_two_or_three_is_best_and_a_small_one_worse(accuracies, outcome):
    rows = [
        {"variant": "full", "bound": bound, "seed": seed, "test": value / 100 + seed / 1e4 * bound, "inside": 0.5}
        for bound, value in zip(pokebnn.BOUNDS, accuracies)
        for seed in range(3)
    ]
    assert claims.registry["pokebnn"].statement(3).judge(rows, "small").outcome == outcome
