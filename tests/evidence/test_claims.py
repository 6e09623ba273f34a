"""Claims: what is run once is not run again, and a verdict follows from the rows alone."""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest

from onebit.cli.main import main
from onebit.evidence import claims, records
from onebit.evidence.claims import FAILS, HOLDS, IN_PART, REPORTED, SCALES, Statement, Verdict
from onebit.evidence.claims.base import Claim
from onebit.evidence.claims.run import RunsFailed, recheck

calls: list[int] = []


def double(value: int, seed: int) -> dict[str, Any]:
    calls.append(value)
    if value < 0:
        raise ValueError("value must be 0 or more")
    return {"twice": 2 * value}


class Doubles(Statement):
    text = "Twice a number is even."
    threshold = "every one of them"
    published = "none"
    measure = staticmethod(double)
    values: Sequence[int] = (1, 2, 3)

    def runs(self, scale: str) -> list[dict[str, Any]]:
        return [{"value": value, "seed": 0} for value in self.values]

    def judge(self, rows, scale: str) -> Verdict:
        return Verdict(HOLDS if all(row["twice"] % 2 == 0 for row in rows) else FAILS, "as seen", {"runs": len(rows)})


EVERY = [
    pytest.param(claim.statements[number], id=f"{slug}-{number}")
    for slug, claim in claims.registry.items()
    for number in claim.statements
]


def test_finished_runs_are_not_done_again_and_the_record_tells_how_to_repeat_it(tmp_path):
    calls.clear()
    claim = Claim("qnn", [Doubles()])
    first = recheck(claim, 1, "smoke", tmp_path)
    second = recheck(claim, 1, "smoke", tmp_path)
    assert calls == [1, 2, 3]
    assert first.rows == second.rows == tuple(first.rows) or list(first.rows) == list(second.rows)
    assert first.outcome == HOLDS
    assert first.command == "onebit claim qnn --statement 1 --scale smoke"
    assert first.made_on["cpu"]
    assert first.made_on["packages"]["torch"]


def test_another_version_of_the_measurement_is_measured_again(tmp_path, monkeypatch):
    calls.clear()
    claim = Claim("qnn", [Doubles()])
    recheck(claim, 1, "smoke", tmp_path)
    monkeypatch.setattr(Doubles, "version", 2)
    recheck(claim, 1, "smoke", tmp_path)
    assert len(calls) == 6


def test_failed_runs_are_named_and_the_others_kept(tmp_path, monkeypatch):
    calls.clear()
    monkeypatch.setattr(Doubles, "values", (1, -1, 2))
    claim = Claim("qnn", [Doubles()])
    with pytest.raises(RunsFailed, match=r"1 of 3 runs failed, the first, value=-1, seed=0: value must be 0 or more"):
        recheck(claim, 1, "smoke", tmp_path)
    monkeypatch.setattr(Doubles, "values", (1, 2))
    recheck(claim, 1, "smoke", tmp_path)
    assert calls == [1, -1, 2]


def test_a_claim_that_is_stopped_says_that_it_goes_on_and_does(tmp_path, monkeypatch, capsys):
    def stopped_at_two(value: int, seed: int) -> dict[str, Any]:
        if value == 2:
            raise KeyboardInterrupt
        return double(value, seed)

    calls.clear()
    monkeypatch.setitem(claims.registry._items, "biper", Claim("biper", [Doubles()]))
    arguments = ["claim", "biper", "--scale", "smoke", "--folder", str(tmp_path / "runs")]
    stopped_at_two.__qualname__, stopped_at_two.__module__ = double.__qualname__, double.__module__
    with monkeypatch.context() as stopping:
        stopping.setattr(Doubles, "measure", staticmethod(stopped_at_two))
        assert main(arguments) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"onebit claim: stopped; the same command goes on with the runs in {tmp_path / 'runs' / 'biper'}"
    assert main(arguments) == 0
    assert calls == [1, 2, 3]


def test_unknown_statements_scales_outcomes_and_systems_are_named():
    claim = Claim("qnn", [Doubles()])
    with pytest.raises(ValueError, match="statements 1 to 1, got 2"):
        recheck(claim, 2)
    with pytest.raises(ValueError, match="did you mean 'small'"):
        recheck(claim, 1, "smal")
    with pytest.raises(ValueError, match="unknown outcome"):
        Verdict("maybe", "")
    with pytest.raises(KeyError, match="did you mean 'biper'"):
        Claim("bipr", [])


@pytest.mark.parametrize("statement", EVERY)
def test_every_statement_says_what_it_is_and_when_it_holds(statement: Statement):
    assert statement.text.endswith(".")
    assert len(statement.threshold) > 20
    assert statement.published
    assert type(statement).measured is not Statement.measured or inspect.getmodule(statement.measure) is not None


@pytest.mark.parametrize("statement", EVERY)
def test_the_runs_of_a_statement_are_calls_of_its_measurement_and_all_different(statement: Statement):
    for scale in SCALES[:2]:
        runs = statement.runs(scale)
        assert runs
        assert len({json.dumps(run, sort_keys=True) for run in runs}) == len(runs)
        if type(statement).measured is Statement.measured:
            for run in runs:
                inspect.signature(statement.measure).bind(**run)


@pytest.mark.parametrize("slug", claims.registry)
def test_a_claim_runs_at_smoke_scale_and_is_recorded(slug: str, tmp_path, capsys):
    arguments = [
        "claim",
        slug,
        "--scale",
        "smoke",
        "--folder",
        str(tmp_path / "runs"),
        "--results",
        str(tmp_path / "out"),
    ]
    assert main([*arguments, "--json"]) in (0, 1)
    printed = json.loads(capsys.readouterr().out)
    assert printed == [record.to_dict() for record in records.read(tmp_path / "out")]
    assert [record["statement"] for record in printed] == list(claims.registry[slug].statements)
    assert all(record["scale"] == "smoke" and record["rows"] for record in printed)
    # what was recorded is judged alike again, and can be drawn
    from matplotlib.figure import Figure

    for record in records.read(tmp_path / "out"):
        statement = claims.registry[slug].statement(record.statement)
        assert statement.judge(list(record.rows), "smoke").summary == record.summary
        for figure in statement.figures(list(record.rows)):
            axes = Figure().subplots()
            figure.draw(axes)
            assert axes.has_data()


def biper_rows(**accuracies: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {"method": name, "rate": rate, "seed": seed, "test": value, "validation": value, "layers": []}
        for (name, rate), values in {
            ("biper", 0.05): accuracies["biper"],
            ("sign-matched-gain", 0.05): accuracies["gain"],
            ("clipped", 0.05): accuracies["gain"],
            ("reste", 0.05): accuracies["gain"],
            **{
                ("sign", rate): accuracies["tuned" if rate == 0.5 else "naive"]
                for rate in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
            },
        }.items()
        for seed, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("gain", "tuned", "outcome"),
    [
        ([0.5, 0.51, 0.52], [0.5, 0.51, 0.52], HOLDS),
        ([0.9, 0.91, 0.92], [0.5, 0.51, 0.52], IN_PART),
        ([0.9, 0.91, 0.92], [0.9, 0.91, 0.93], FAILS),
    ],
)
def test_the_naive_gap_alone_is_never_called_the_effect_of_the_sine(gain, tuned, outcome):
    rows = biper_rows(biper=[0.9, 0.911, 0.92], gain=gain, tuned=tuned, naive=[0.1, 0.11, 0.12])
    verdict = claims.registry["biper"].statement(2).judge(rows, "small")
    assert verdict.outcome == outcome
    assert "not the effect of the sine" in verdict.summary
    assert "sign, same gain" in verdict.baselines


def reste_rows(best: float) -> list[dict[str, Any]]:
    rows = claims.registry["reste"].statement(2).runs("small")
    spread = itertools.cycle((0.0, 0.001, -0.001, 0.002, 0.0))
    return [
        row | {"test": (best if row["estimator"] == "ReSTE" else 0.8) + next(spread), "parameters": 1} for row in rows
    ]


def test_reste_is_best_only_where_it_beats_every_baseline_the_larger_learning_rate_included():
    judge = claims.registry["reste"].statement(2).judge
    assert judge(reste_rows(0.9), "small").outcome == HOLDS
    assert judge(reste_rows(0.7), "small").outcome == FAILS
    rows = [
        row | {"test": 0.95} if row["estimator"] == "STE, clip 1" and row["rate"] > 0.1 else row
        for row in reste_rows(0.9)
    ]
    assert judge(rows, "small").outcome == IN_PART


@pytest.mark.parametrize(("sign", "outcome"), [(-1, HOLDS), (1, FAILS)])
def test_the_indicators_must_move_against_each_other(sign: int, outcome: str):
    rows = [{"o_end": o, "errors": [10 - o], "instabilities": [2.0 ** (-sign * o)]} for o in (1.0, 2.0, 3.0)]
    assert claims.registry["reste"].statement(1).judge(rows, "small").outcome == outcome


def test_statements_without_a_threshold_are_reported():
    rows = [{"method": m, "rate": 0.05, "seed": s, "test": 0.5} for m in ("biper", "biper-two-stages") for s in (0, 1)]
    assert claims.registry["biper"].statement(3).judge(rows, "small").outcome == REPORTED
