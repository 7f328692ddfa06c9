"""Scoring a live book: advice that is just enough, reasons that add up, what is refused and what is said aloud."""

from dataclasses import replace

import numpy as np
import pytest
import small_market as small

from margincast.features.readers.folder import read_market_folder
from margincast.features.releases import calendar_end
from margincast.riskcore.errors import InputError
from margincast.riskcore.margin import evaluate, is_breached
from margincast.riskcore.records import book_from_records
from margincast.riskcore.what_if import with_deposit, with_reduction
from margincast.training.advice import advise
from margincast.training.advice_costs import AdviceCosts
from margincast.training.advice_record import Advice
from margincast.training.advice_trades import MOST_CUT
from margincast.training.forecaster import LiquidationForecaster
from margincast.training.market_simulator import simulate_market, write_market_folder
from margincast.training.market_view import view_market
from margincast.training.population import simulate_accounts
from margincast.training.reasons import explain, shortened
from margincast.training.score import Scorer, missing_columns, warnings_of
from margincast.training.store import load_state, save_state

TARGET = 0.05


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return small.scorer()


@pytest.fixture(scope="module")
def book(scorer):
    bar = scorer.bar
    drawn = simulate_accounts(
        scorer.view.history, small.RULES, accounts=60, first_bar=bar, last_bar=bar + 1, horizons=(1, 24), seed=8
    )
    return drawn.book


@pytest.fixture(scope="module")
def forecast(scorer, book):
    return scorer.forecast(book)


@pytest.fixture(scope="module")
def advice(scorer, book) -> Advice:
    return advise(scorer, book, horizon="24h", target=TARGET, costs=AdviceCosts(fee=0.0, slippage=0.0))


def records_book(scorer, *records):
    return book_from_records(records, scorer.view.history.instruments)


def long_btc(scorer, equity_share: float, quantity: float = 1.0) -> dict:
    price = float(scorer.market.mark[0])
    position = {"symbol": "BTC", "quantity": quantity, "entry_price": price}
    return {"account": "a", "balances": {"USDT": equity_share * price * abs(quantity)}, "positions": [position]}


# -- forecast -----------------------------------------------------------------------------------------------------


def test_a_forecast_is_a_probability_within_what_its_members_say_rising_with_the_horizon(forecast):
    p = forecast.probability
    assert ((p >= 0) & (p <= 1)).all() and (np.diff(p, axis=1) >= 0).all()
    assert (forecast.low <= p).all() and (p <= forecast.high).all()
    assert (forecast.low <= forecast.structural).all() and (forecast.structural <= forecast.high).all()


def test_the_most_endangered_come_first(forecast):
    order = forecast.most_endangered(60)
    assert sorted(order.tolist()) == list(range(60))
    assert (np.diff(forecast.probability[order, -1]) <= 0).all()
    assert forecast.most_endangered(5).tolist() == order[:5].tolist()


def test_margin_of_a_record_is_the_cores(scorer, book, forecast):
    margin, record = evaluate(book, scorer.market, small.RULES), forecast.record(7)
    assert (record["equity"], record["maintenance"]) == (margin.equity[7], margin.maintenance[7])
    assert record["headroom"] == margin.equity[7] - margin.maintenance[7]
    assert record["pool"] == (book.isolated[7] or "cross")
    assert list(record["probabilities"]) == ["1h", "4h", "24h"]
    assert list(record["probabilities"].values()) == forecast.probability[7].tolist()


def test_a_stored_model_names_its_horizons_in_the_same_order(tmp_path, scorer, book, forecast):
    """JSON with sorted keys must not turn 24h before 4h."""
    save_state(small.fitted().state(), tmp_path / "model")
    again = Scorer(
        LiquidationForecaster.from_state(load_state(tmp_path / "model")), scorer.view, small.RULES, scorer.bar
    )
    assert again.horizons == ("1h", "4h", "24h")
    assert again.forecast(book).probability.tobytes() == forecast.probability.tobytes()


def test_a_pool_is_scored_the_same_alone_and_in_company(scorer, book, forecast):
    alone = scorer.forecast(book.take(np.array([11]))).probability[0]
    assert alone.tobytes() == forecast.probability[11].tobytes()


def test_already_in_breach_is_certain_and_nothing_at_stake_is_safe(scorer):
    breached = long_btc(scorer, 0.001)
    idle = {"account": "idle", "balances": {"USDT": 5.0}}
    said = scorer.forecast(records_book(scorer, breached, idle)).probability
    assert said.tolist() == [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]


def test_an_equity_of_zero_is_refused(scorer):
    with pytest.raises(InputError, match="an equity of zero") as caught:
        scorer.forecast(records_book(scorer, {"account": "ok", "balances": {"USDT": 1}}, long_btc(scorer, 0.0)))
    assert caught.value.row == 1


def test_a_market_without_enough_past_is_refused():
    early = Scorer(small.fitted(), small.view(), small.RULES, 24)
    with pytest.raises(InputError, match="BTC has 24 bars before it, 721 are needed"):
        early.forecast(records_book(early, long_btc(early, 0.1)))


@pytest.mark.parametrize("bar", [0, 10**6])
def test_an_instant_outside_the_market_is_refused(bar):
    with pytest.raises(InputError, match="needs a bar"):
        Scorer(small.fitted(), small.view(), small.RULES, bar)


# -- advice -------------------------------------------------------------------------------------------------------


def probability(scorer, book) -> np.ndarray:
    margin = evaluate(book, scorer.market, scorer.rules)
    breached = is_breached(margin.equity, margin.maintenance, scorer.rules)
    return np.where(breached, 1.0, scorer.forecast(book).probability[:, -1])


def test_the_deposit_is_enough_and_two_per_cent_less_is_not(scorer, book, forecast, advice):
    deposit = advice.deposit
    assert np.isfinite(deposit).all()
    after = probability(scorer, with_deposit(book, deposit))
    assert (after <= TARGET).all() and after == pytest.approx(advice.deposit_probability, abs=1e-12)
    needed = deposit > 1.0  # a cent is less than two per cent of the others
    assert needed.sum() > 15
    assert (probability(scorer, with_deposit(book, 0.98 * deposit))[needed] > TARGET).all()
    assert ((deposit == 0) == (forecast.probability[:, -1] <= TARGET)).all()


def test_the_deposit_is_in_whole_cents(advice):
    assert advice.deposit * 100 == pytest.approx(np.round(advice.deposit * 100), abs=1e-5)


def test_the_cut_is_enough_and_two_per_cent_less_is_not(scorer, book, advice):
    cut = advice.cut
    assert (np.isfinite(cut)).sum() > 40 and (cut[np.isfinite(cut)] <= MOST_CUT).all()
    found = np.where(np.isfinite(cut), cut, 0.0)
    after = probability(scorer, with_reduction(book, found, scorer.market))
    assert (after[np.isfinite(cut)] <= TARGET).all()
    needed = np.isfinite(cut) & (cut > 0.05)  # where 2% less is more than the rounding to 0.1%
    assert needed.sum() > 10
    assert (probability(scorer, with_reduction(book, 0.98 * found, scorer.market))[needed] > TARGET).all()


def test_a_pool_in_breach_is_brought_out_of_it(scorer):
    breached = records_book(scorer, long_btc(scorer, 0.001))
    advice = advise(scorer, breached, horizon="1h", target=0.5)
    margin = evaluate(with_deposit(breached, advice.deposit), scorer.market, small.RULES)
    assert advice.deposit[0] > 0 and margin.headroom[0] > 0


def test_what_no_measure_reaches_is_said(scorer):
    """Far under water: not even a deposit of twice the exposure helps, nor closing 99%."""
    drowned = long_btc(scorer, -4.0)
    advice = advise(scorer, records_book(scorer, drowned), horizon="24h", target=TARGET)
    assert set(advice.record(0).values()) == {None} and {"deposit", "position_cut"} <= set(advice.record(0))
    lines = advice.lines(0, "USDT", TARGET, "24h")
    assert lines[0].startswith("no deposit") and "99%" in lines[1] and "not enough" in lines[1]


def test_advice_in_words_names_the_measure_and_what_follows(advice):
    row = int(np.argmax(np.where(np.isfinite(advice.cut), advice.deposit, 0)))
    lines = advice.lines(row, "USDT", TARGET, "24h")
    assert f"deposit {advice.deposit[row]:,.2f} USDT for at most 5.00% within 24h" in lines[0]
    assert f"close {advice.cut[row]:.1%} of every position" in lines[1]
    assert advice.record(row)["deposit"] == advice.deposit[row]
    assert advice.record(row)["position_cut"] == advice.cut[row]


def test_a_stricter_target_never_costs_less(scorer, book, advice):
    stricter = advise(scorer, book, horizon="24h", target=0.02)
    assert (stricter.deposit >= advice.deposit - 0.011).all()


# -- reasons ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", ["1h", "4h", "24h"])
def test_reasons_add_up_to_the_log_odds(scorer, book, forecast, horizon):
    said = forecast.probability[:, scorer.horizons.index(horizon)]
    said = np.clip(said, 1e-7, 1 - 1e-7)
    for row, reasons in enumerate(explain(scorer, book, horizon)):
        effects = [reason["effect"] for reason in reasons]
        assert sum(effects) == pytest.approx(np.log(said[row] / (1 - said[row])), abs=1e-6)
        assert (np.diff(np.abs(effects)) <= 0).all()
        assert len({reason["code"] for reason in reasons}) == len(reasons)
        assert sum(r["effect"] for r in shortened(reasons, 3)) == pytest.approx(sum(effects))


def test_more_room_changes_the_reason_distance(scorer):
    tight, roomy = long_btc(scorer, 0.02), long_btc(scorer, 0.1) | {"account": "b"}
    reasons = explain(scorer, records_book(scorer, tight, roomy), "24h")
    distance = [next(r["effect"] for r in rs if r["code"] == "distance") for rs in reasons]
    assert distance[0] > distance[1] + 1


# -- what is said aloud -------------------------------------------------------------------------------------------


def test_nothing_is_said_where_nothing_stands_in(scorer):
    assert warnings_of(scorer.model, scorer.view, small.RULES) == []


def test_a_market_beyond_the_calendar_of_releases_is_said(scorer):
    history = scorer.view.history
    late = replace(history, times=history.times + (calendar_end() - history.times[-1]) + np.timedelta64(1, "h"))
    view = replace(scorer.view, data=replace(scorer.view.data, history=late))
    said = warnings_of(scorer.model, view, small.RULES)
    assert said == ["scheduled releases are known from 2018 to 2026-12-04 only: at other times none is foreseen"]


def test_a_gap_in_the_past_is_named(scorer):
    history, hole = scorer.view.history, len(scorer.view.history) - 200
    prices = {name: np.array(getattr(history, name)) for name in ("open", "high", "low", "close")}
    for values in prices.values():
        values[hole, history.mark_series[0]] = np.nan
    view = view_market(replace(scorer.view.data, history=replace(history, **prices)))
    short = Scorer(small.fitted(), view, small.RULES, len(history))
    price = float(view.data.mark("close")[-1, 0])
    position = {"symbol": view.data.symbols[0], "quantity": 1.0, "entry_price": price}
    account = {"account": "a", "balances": {"USDT": 0.2 * price}, "positions": [position]}
    told = (
        f"{view.data.symbols[0]} lacks 1 prices in the 30 days before it, the last at {str(history.times[hole])[:16]}"
    )
    with pytest.raises(InputError, match=told):
        short.forecast(records_book(short, account))


def test_substitutes_are_said_aloud(tmp_path):
    """A stranger among the coins, no funding, no order book, a real market and a model of a simulated one."""
    tables = simulate_market(small.SEED, days=60, symbols=("BTC", "STRANGER"))
    market = write_market_folder({"perp": tables["perp"]}, tmp_path / "market", {})
    view = view_market(replace(read_market_folder(market), simulated=False))
    scorer = Scorer(small.fitted(), view, small.RULES, len(view.history))
    said = "\n".join(warnings_of(scorer.model, view, small.RULES))
    assert "generic schedule, not a venue's: STRANGER" in said
    assert "not in the model's training, paths of others stand in: STRANGER" in said
    assert "trained on a simulated market" in said
    assert "funding_last" in said and set(missing_columns(scorer.model, view)) >= {"funding_last", "basis_mark"}
    price = float(view.data.mark("close")[-1, 1])
    position = {"symbol": "STRANGER", "quantity": -1.0, "entry_price": price}
    account = {"account": "a", "balances": {"USDT": 0.2 * price}, "positions": [position]}
    p = scorer.forecast(records_book(scorer, account)).probability
    assert np.isfinite(p).all() and 0 < p[0, -1] < 1
