"""What the verbs print: within 80 columns, nothing cut off, names with brackets as they are, substitutes aloud."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import small_market as small

from margincast.training import console
from margincast.training.selfcheck import Finding, run_selfcheck
from margincast.training.tune import tune

WIDTH = 80
REPORT = {"absent": {}, "notes": ["marks: mark; each coin's collateral index: the mark of its perpetual"]}


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    """A plain terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    for name in ("FORCE_COLOR", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shown(capsys):
    """What a function prints; no line is wider than the terminal and no figure is cut off."""

    def call(show, *arguments: object) -> str:
        show(*arguments)
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= WIDTH, out
        assert "…" not in out, out
        return out

    return call


def record(**changes: object) -> dict[str, object]:
    reasons = [
        {"code": "distance", "text": "distance to liquidation at its usual volatility", "effect": -1234.5},
        {"code": "carry", "text": "funding and basis", "effect": 0.126},
    ]
    base = {
        "account": "an account with quite a long name, 0x71C7656EC7ab88b098defB751B7401B5f6d8976F",
        "sub_account": "main",
        "pool": "cross",
        "stage": "reduce_only",
        "equity": 123_456_789.12,
        "headroom": -12_345_678.9,
        "probabilities": {"1h": 0.123456, "4h": 0.5, "24h": 1.0},
        "premium": {"1h": 0.0, "4h": 1.5, "24h": 1_234.567},
        "reasons": reasons,
        "reasons_by_horizon": {"1h": reasons, "4h": reasons, "24h": reasons},
        "advice": ["deposit 1,234,567.89 USDT for at most 5.00% within 24h (forecast then 4.99%)"],
    }
    return base | changes


def scores(*records: dict[str, object], warnings: tuple[str, ...] = ()) -> dict[str, object]:
    return {
        "at": "2024-01-01T00:00:00",
        "horizons": ["1h", "4h", "24h"],
        "accounts": list(records),
        "outlook": {
            "liquidated_notional": {"24h": {"expected": 123_456_789.1, "interval_90": [0.0, 987_654_321.0]}},
            "liquidated_pools": {"24h": {"expected": 12_345.6}},
            "volatility_spike": {"BTC": {"24h": 0.25}, "[NEW]": {"24h": float("nan")}},
        },
        "data": {"tables": REPORT},
        "warnings": list(warnings),
    }


def test_an_evaluation_fits_and_shows_every_model_and_figure(shown):
    content = small.evaluation().scores
    out = shown(console.show_evaluation, content)
    for horizon, table in content["horizons"].items():
        assert f"within {horizon}:" in out
        for name, model in table["models"].items():
            assert name in out and f"{model['log_loss']:.4f}" in out
    assert "accounts simulated" in out.replace("\n", " ")
    skill = content["horizons"]["24h"]["models"]["hybrid"]["skill_vs"]["fhs"]
    assert f"{100 * skill['log_loss_value']:+.1f}" in out


def test_an_evaluation_on_generic_tiers_says_so(shown):
    content = small.evaluation().scores
    rules = content["data"]["rules"] | {"generic_schedule_used_for": ["[NEW]", "OTHER"]}
    out = shown(console.show_evaluation, content | {"data": content["data"] | {"rules": rules}})
    assert "generic tiers (not a venue's) for [NEW], OTHER" in out


def test_wide_skills_still_fit(shown):
    content = small.evaluation().scores
    table = content["horizons"]["1h"]
    wide = {"log_loss_value": -1.25, "log_loss_low": -3.5, "log_loss_high": -0.125}
    models = {n: m | {"skill_vs": {b: wide for b in m["skill_vs"]}} for n, m in table["models"].items()}
    content = content | {"horizons": {"1h": table | {"models": models}}}
    assert "-125.0 [-350.0 -12.5]" in shown(console.show_evaluation, content)


def test_an_interval_that_is_not_known_is_a_dash_and_its_warning_is_shown(shown):
    content = small.evaluation().scores
    table = content["horizons"]["1h"]
    one_day = {"log_loss_value": -0.167, "log_loss_low": math.nan, "log_loss_high": math.nan}
    models = {n: m | {"skill_vs": {b: one_day for b in m["skill_vs"]}} for n, m in table["models"].items()}
    data = content["data"] | {"warnings": ["1 day: [no] interval"]}
    out = shown(console.show_evaluation, {"horizons": {"1h": table | {"models": models}}, "data": data})
    assert "-16.7 [— —]" in out and "nan" not in out and "1 day: [no] interval" in out


def test_scores_fit_whatever_the_names_and_sums(shown):
    other = record(account="bob", sub_account="[red]", pool="BTC")
    out = shown(console.show_scores, scores(record(), other, warnings=("margined [generic]",)), 10)
    flat = "".join(out.split())
    assert "0x71C7656EC7ab88b098defB751B7401B5f6d8976F" in flat
    assert "bob/[red]" in flat and "margined[generic]" in flat
    assert "123,456,789.12" in flat and "100.00%" in flat and "-1234.50" in flat
    assert "90%between0and987,654,321" in flat and "BTC25%" in flat and "nan" not in flat
    assert "within24hisworth1,234.57" in flat


def test_only_the_asked_number_of_pools_is_shown(shown):
    out = shown(console.show_scores, scores(record(account="first"), record(account="second")), 1)
    assert "first" in out and "second" not in out and "2 pools" in out
    assert "and 1 pool less endangered, not shown: --top, --json" in out
    assert "not shown" not in shown(console.show_scores, scores(record(account="first"), record(account="second")), 2)


def test_one_pool_is_one_pool(shown):
    assert "UTC: 1 pool " in f"{shown(console.show_scores, scores(record()), 10).splitlines()[0]} "


def test_what_a_market_lacks_is_told_once_and_nothing_where_it_lacks_nothing(shown):
    lacking = {"absent": {"mark": "marks are last prices", "depth": "order-book features left out"}, "notes": ["x"]}
    out = shown(console.show_scores, scores(record()) | {"data": {"tables": lacking}}, 10)
    assert out.count("no mark table: marks are last prices") == out.count("no depth table: order-book") == 1
    part = REPORT | {"notes": ["marks: mark; last price for [NEW]"]}
    assert "marks: mark; last price for [NEW]" in shown(
        console.show_scores, scores(record()) | {"data": {"tables": part}}, 10
    )
    assert "table" not in shown(console.show_scores, scores(record()), 10)


def test_an_evaluation_tells_what_its_market_lacks(shown):
    content = small.evaluation().scores
    lacking = content["data"]["sources"] | {"absent": {"mark": "marks are last prices"}}
    out = shown(console.show_evaluation, content | {"data": content["data"] | {"sources": lacking}})
    assert out.count("no mark table: marks are last prices") == 1


def test_a_premium_that_no_scenario_gives_is_said_and_not_shown_as_a_number(shown):
    out = shown(console.show_scores, scores(record(premium={"24h": math.nan})), 10)
    assert "has no price: no scenario liquidates it" in " ".join(out.split()) and "nan" not in out


def test_what_owners_may_do_is_told_where_their_history_is_known(shown):
    known, other = record(account="first"), record(account="second")
    content = scores(known, other)
    last = content["horizons"][-1]
    known["behavioural"] = {last: 0.4567}
    other["behavioural"] = {last: math.nan}
    out = shown(console.show_scores, content, 10)
    assert out.count("if its owner may act first") == 1 and f"45.67% within {last}" in out
    assert "1 of 2 pools are not in the history" in out


def test_an_explanation_fits_and_shows_each_horizon(shown):
    out = shown(console.show_explanation, scores(record(), warnings=("a substitute",)))
    assert "12.35%" in out and "100.00%" in out and "-1234.50" in out and "+0.13" in out
    assert "a substitute" in out and "deposit 1,234,567.89 USDT" in out
    (total,) = [line.split() for line in out.splitlines() if "log odds, together" in line]
    assert total[-3:] == ["-1234.37"] * 3


def test_the_features_behind_a_reason_are_shown_in_brackets_once(shown):
    because = [{"feature": f, "value": 0.5, "text": t} for f, t in (("a", "hour [UTC]"), ("b", "hour [UTC]"))]
    reasons = [{"code": "season", "text": "time of day", "effect": 0.5, "because": because}]
    found = record(reasons=reasons, reasons_by_horizon={"24h": reasons})
    for show, arguments in ((console.show_explanation, ()), (console.show_scores, (1,))):
        flat = " ".join(shown(show, scores(found), *arguments).split())
        assert flat.count("hour [UTC]") == 1 and "(hour [UTC])" in flat


def test_a_proposal_fits(shown):
    proposal = tune(small.data(), small.RULES, np.datetime64("2022-04-20", "ns"), np.datetime64("2022-05-25", "ns"))
    out = shown(console.show_proposal, proposal)
    assert all(symbol in out for symbol in small.SYMBOLS)
    row = proposal.rows()[0]
    assert f"{row['violations']} of {row['n']}" in out


def test_what_is_not_known_is_a_dash(shown):
    row = {"symbol": "BTC", "side": "long", "current": None, "proposed": 0.02, "coverage": None}
    row |= {"kupiec_p": None, "violations": 0, "n": 10}
    data = {
        "settings": {"level": 0.99, "mpor_hours": 8.0},
        "tested_from": "2022-05-01T08:00:00",
        "proposed_for": "2022-06-01T00:00:00",
        "tested_periods": 1_092,
        "asked_periods": 1_276,
        "not_tested": ["the first 184 periods are not tested"],
        "left_out": {"[NEW]": "too young"},
    }
    out = shown(console.show_proposal, SimpleNamespace(rows=lambda: [row], data=data))
    assert "tested from 2022-05-01 08:00 to 2022-06-01 00:00 UTC: 1,092 of 1,276 periods" in " ".join(out.split())
    assert "the first 184 periods are not tested" in out and "left out: [NEW], too young" in out
    assert out.count(" - ") >= 2 and "2.00%" in out and "99% of the moves over 8 h" in out


def test_a_backtest_fits(shown):
    row = {"n_test": 750, "violations": 8, "violations_conformal": 7, "kupiec_p": 0.5, "quantile_score": 0.000123}
    out = shown(console.show_backtest, {"[AAA]": {"FHS-.97+stress": row}})
    assert "[AAA]" in out and "0.000123" in out and "0.500" in out


def test_a_model_is_shown_with_its_whole_hash_and_address(shown):
    model = SimpleNamespace(about_={"data": REPORT | {"absent": {"mark": "marks are last prices"}}})
    names = {"folder": Path("store/[1]"), "fingerprint": "f" * 64, "address": "models:/margincast/1"}
    trained = SimpleNamespace(model=model, **names)
    out = shown(console.show_trained, trained)
    assert out.count("no mark table: marks are last prices") == 1
    assert "store/[1]" in out and "f" * 64 in out and "models:/margincast/1" in out
    assert "registry" not in shown(console.show_trained, SimpleNamespace(**vars(trained) | {"address": None}))


def test_the_selfcheck_fits_and_tells_agreement_from_difference(shown):
    wrong = Finding("a figure", "a book", 1.0, 1.5, 0.1)
    out = shown(console.show_selfcheck, [*run_selfcheck(), wrong])
    assert out.count("agrees") == len(run_selfcheck()) and out.count("differs") == 1 and "+0.5" in out
