"""Reasons: they add up to the log odds whatever the pool, and name the features that are behind them."""

import json
import math

import numpy as np
import pytest
import small_market as small

from margincast.features.bar_table import bar_table
from margincast.features.panel import panel_features
from margincast.features.readers.folder import read_market_folder
from margincast.models.account_boosting import logit
from margincast.riskcore.records import book_from_records
from margincast.training.forecaster import HYBRID_WEIGHTS, STACKED, with_structural
from margincast.training.market_simulator import simulate_market, write_market_folder
from margincast.training.market_view import view_market
from margincast.training.population import simulate_accounts
from margincast.training.reason_words import NAMES, feature_words
from margincast.training.reasons import GROUPS, explain, shortened
from margincast.training.score import Scorer

HORIZONS = ("1h", "4h", "24h")
LEARNED = tuple(code for code, _, _ in GROUPS)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return small.scorer()


@pytest.fixture(scope="module")
def book(scorer):
    bars = {"first_bar": scorer.bar, "last_bar": scorer.bar + 1}
    return simulate_accounts(scorer.view.history, small.RULES, accounts=80, **bars, horizons=(1, 24), seed=31).book


def extremes(scorer):
    """In breach, without positions, in debt without positions, so safe that the forecast is 0, and a hedged pair."""
    marks = dict(zip(small.SYMBOLS, scorer.market.mark.tolist(), strict=True))

    def account(name, equity, *legs):
        positions = [{"symbol": s, "quantity": q, "entry_price": marks[s]} for s, q in legs]
        return {"account": name, "balances": {"USDT": equity}, "positions": positions}

    records = [
        account("breached", 0.001 * marks["BTC"], ("BTC", 1.0)),
        account("bankrupt", -0.5 * marks["BTC"], ("BTC", 1.0)),
        account("idle", 5.0),
        account("debtor", -5.0),
        account("safe", 1e9, ("BTC", 0.001)),
        account("pair", 0.02 * marks["BTC"], ("BTC", 1.0), ("ETH", -0.5 * marks["BTC"] / marks["ETH"])),
    ]
    return book_from_records(records, scorer.view.history.instruments)


def log_odds(probability):
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))


def bare_scorer(folder) -> Scorer:
    """A market without funding, mark, interest or depth: many of the model's features are missing."""
    tables = simulate_market(small.SEED, days=60, symbols=small.SYMBOLS)
    view = view_market(read_market_folder(write_market_folder({"perp": tables["perp"]}, folder / "market", {})))
    return Scorer(small.fitted(), view, small.RULES, len(view.history))


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("fall_back", [None, "drift"])
@pytest.mark.parametrize("kind", ["simulated", "extremes"])
def test_effects_add_up_to_the_log_odds_of_the_forecast(scorer, book, horizon, fall_back, kind):
    mine = Scorer(small.fitted(), scorer.view, small.RULES, scorer.bar, fall_back=fall_back)
    pools = book if kind == "simulated" else extremes(scorer)
    said = log_odds(mine.predict(pools)["forecast"][:, HORIZONS.index(horizon)])
    for row, reasons in enumerate(explain(mine, pools, horizon)):
        assert math.fsum(r["effect"] for r in reasons) == pytest.approx(said[row], abs=1e-8)
        assert ("fall_back" in {r["code"] for r in reasons}) == (fall_back is not None and len(reasons) > 1)


def test_effects_add_up_where_features_are_missing(tmp_path):
    scorer = bare_scorer(tmp_path)
    bars = {"first_bar": scorer.bar, "last_bar": scorer.bar + 1}
    book = simulate_accounts(scorer.view.history, small.RULES, accounts=20, **bars, horizons=(1, 24), seed=4).book
    said = log_odds(scorer.predict(book)["forecast"][:, 2])
    unknown = 0
    for row, reasons in enumerate(explain(scorer, book, "24h")):
        assert math.fsum(r["effect"] for r in reasons) == pytest.approx(said[row], abs=1e-8)
        causes = [c for r in reasons if r["code"] == "carry" for c in r["because"]]
        assert all(c["value"] is None and c["text"].endswith("unknown") for c in causes)
        unknown += len(causes)
    assert unknown > 0


def test_certain_pools_have_the_one_reason_there_is(scorer):
    reasons = explain(scorer, extremes(scorer), "24h")
    codes = [[r["code"] for r in one] for one in reasons]
    assert codes[:4] == [["in_breach"], ["in_breach"], ["no_positions"], ["no_positions"]]
    assert reasons[0][0]["effect"] == pytest.approx(math.log((1 - 1e-7) / 1e-7))
    assert reasons[2][0]["effect"] == pytest.approx(math.log(1e-7 / (1 - 1e-7)))
    assert all(len(one) > len(LEARNED) for one in codes[4:])


@pytest.mark.parametrize("horizon", HORIZONS)
def test_the_learned_groups_are_what_the_boosters_say(scorer, book, horizon):
    """Groups and the base rate add up to what boosters and the regression say, at their weights in the hybrid."""
    k, model = HORIZONS.index(horizon), scorer.model
    sample = scorer.sample(book)
    rich = with_structural(sample, scorer.predict(book))
    scores = HYBRID_WEIGHTS["lightgbm"] * model.lightgbm_.scores(sample)[:, k]
    scores += HYBRID_WEIGHTS["correction"] * model.correction_.scores(rich)[:, k]
    said = scorer.predict(book)
    stacked = model.stacked(sample, said)[:, k] - logit(said["fhs_learned"][:, k])
    scores += (HYBRID_WEIGHTS["stacked"] + HYBRID_WEIGHTS["correction"]) * stacked
    for row, reasons in enumerate(explain(scorer, book, horizon)):
        if len(reasons) == 1:
            continue
        learned = sum(r["effect"] for r in reasons if r["code"] in (*LEARNED, "base_rate"))
        assert learned == pytest.approx(scores[row], abs=1e-6)


def test_the_features_named_are_those_of_the_largest_effect_with_their_values(scorer, book):
    model, sample = scorer.model, scorer.sample(book)
    rich = with_structural(sample, scorer.predict(book))
    effect = dict.fromkeys(rich.feature_names, 0.0)
    for name, booster, rows in (("lightgbm", model.lightgbm_, sample), ("correction", model.correction_, rich)):
        shap = booster.explain(rows, 24) * HYBRID_WEIGHTS[name]
        for column, feature in enumerate(booster.columns):
            effect[feature] = effect[feature] + shap[:, column]
    stack, odds = model.stack_[-1], rich.columns([f"logit_{name}_24" for name in STACKED])
    weight = HYBRID_WEIGHTS["stacked"] + HYBRID_WEIGHTS["correction"]
    added = weight * stack.contributions(odds, rich.columns(stack.columns_))
    for column, feature in enumerate((*stack.columns_, "logit_fhs_24")):
        effect[feature] = effect[feature] + added[:, column]
    starts = {"carry": ("leg_funding", "leg_basis", "leg_open_interest"), "structure": ("logit_",)}
    named = 0
    for row, reasons in enumerate(explain(scorer, book, "24h")):
        for reason in reasons:
            if reason["code"] not in starts:
                continue
            mine = [f for f in rich.feature_names if f.startswith(starts[reason["code"]]) and effect[f][row] != 0]
            largest = sorted((abs(effect[f][row]) for f in mine), reverse=True)[:2]
            assert [abs(effect[c["feature"]][row]) for c in reason["because"]] == pytest.approx(largest)
            for cause in reason["because"]:
                assert cause["value"] == rich.column(cause["feature"])[row]
            named += len(reason["because"])
    assert named > 40


def test_distance_and_volatility_name_headroom_and_the_two_volatilities(scorer, book):
    exposure = scorer.sample(book).exposure
    for row, reasons in enumerate(explain(scorer, book, "24h")):
        by_code = {r["code"]: r for r in reasons}
        if "in_breach" in by_code:
            continue
        (room,) = by_code["distance"]["because"]
        assert room["value"] == pytest.approx(exposure.headroom[row] / exposure.gross[row])
        now, usual = by_code["volatility_now"]["because"]
        effect = by_code["volatility_now"]["effect"]
        if np.diff(book.position_pointer)[row] == 1 and abs(effect) > 0.05:
            assert (effect > 0) == (now["value"] > usual["value"])


def test_funding_is_told_as_the_position_has_it(scorer):
    """A long pays positive funding, a short is paid it; a rise speaks for a long and against a short."""
    marks = scorer.market.mark
    records = [
        {
            "account": side,
            "balances": {"USDT": 0.1 * marks[0]},
            "positions": [{"symbol": "BTC", "quantity": quantity, "entry_price": float(marks[0])}],
        }
        for side, quantity in (("long", 1.0), ("short", -1.0))
    ]
    sample = scorer.sample(book_from_records(records, scorer.view.history.instruments))
    rates = scorer.view.data.funding_rate[:, 0]
    last = rates[np.isfinite(rates)][-1]
    long, short = (feature_words("leg_funding_last", value) for value in sample.column("leg_funding_last"))
    assert last != 0
    assert (long.endswith("paid"), short.endswith("paid")) == (last > 0, last < 0)
    close = scorer.view.history.close[:, 0]
    long, short = (feature_words("leg_return_24h", value) for value in sample.column("leg_return_24h"))
    assert long.endswith("for the position") == (close[-1] > close[-25]) != short.endswith("for the position")
    assert f"{100 * abs(np.log(close[-1] / close[-25])):.3g}%" in long and long.split()[1] == short.split()[1]


TOLD = {
    "log of volatility per hour": (math.log(0.02), "2% an hour"),
    "log return": (math.log(1.5), "50%"),
    "log ratio": (math.log(1.5), "+50%"),
    "log of a ratio of volatilities": (math.log(0.5), "-50%"),
    "fraction of the price": (0.02, "2%"),
    "fraction of notional": (0.02, "2%"),
    "share, 0 to 1": (0.25, "25%"),
    "share, 1/n to 1": (0.25, "25%"),
    "standard deviations": (1.5, "1.5 standard deviations"),
    "log of quote units": (math.log(2e6), "2e+06"),
    "log of 1 / quote unit": (math.log(2e-9), "2e-09"),
    "correlation": (0.4, "0.4"),
    "-1 to 1": (0.4, "0.4"),
    "hours, 24 at most": (1.5, "in 1.5 h"),
}
SIGNED_RATIOS = ("basis_", "return_", "market_return_")
NO_NUMBER = ("hour_sin", "hour_cos", "week_sin", "week_cos", "vol_of_vol_7d")


def test_every_feature_of_the_panel_is_told_in_its_declared_unit():
    declared = panel_features(bar_table(small.data())).declarations
    assert {d.unit for d in declared} <= set(TOLD)
    for one in declared:
        value, told = TOLD[one.unit]
        words = feature_words(f"leg_{one.name}", value)
        if one.name.startswith(SIGNED_RATIOS):
            told = "40.5% against the position"
        if one.name not in NO_NUMBER:
            assert told in words, words


def test_releases_are_a_reason_of_their_own():
    code, _, _ = next(group for group in GROUPS if "leg_hours_to_release".startswith(group[2]))
    assert code == "releases"


def test_every_name_that_is_replaced_is_a_feature(scorer):
    known = {*scorer.model.columns_, "volatility_forecast", "volatility_usual"}
    assert set(NAMES) <= known


def test_what_is_not_a_number_is_said_in_words():
    assert feature_words("leverage", math.inf) == "leverage unbounded"
    assert feature_words("leg_funding_24h", math.nan) == "funding_24h unknown"


def test_reasons_are_json_the_same_alone_and_sorted(scorer, book):
    together = explain(scorer, book, "24h")
    json.dumps(together, allow_nan=False)
    for row in (0, 7, 33):
        alone = explain(scorer, book.take(np.array([row])), "24h")[0]
        assert json.dumps(alone) == json.dumps(together[row])
        assert (np.diff([abs(r["effect"]) for r in alone]) <= 0).all()
        assert all(r["text"] and set(r) == {"code", "text", "effect", "because"} for r in shortened(alone))
