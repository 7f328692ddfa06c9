"""Accounts replayed hour by hour: what is known when, labels, alerts, what accounts did, and the real ones of 2023."""

import importlib.util
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_market
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from margincast.features.accounts.account_bars import account_bars
from margincast.features.accounts.events import AccountEvents, Kind
from margincast.features.readers.account_events_2023 import read_accounts_2023
from margincast.models.competing_risks import CauseHazards
from margincast.riskcore.errors import InputError
from margincast.riskcore.first_passage import first_passage
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.training.account_behaviour import (
    CAUSES,
    COLUMNS,
    ENDS,
    BehaviouralForecaster,
    account_folds,
    acts_of,
    behaviour_rows,
    held_to_breach,
)
from margincast.training.behavioural_score import behavioural_forecast, hours_since_fill, learn_hazards
from margincast.training.dataset import sample_of
from margincast.training.market_view import view_market
from margincast.training.replay_accounts import (
    HOUR,
    book_on,
    coverage_of,
    held_hours,
    hours_to_liquidation,
    is_on_market,
    known_until,
)
from margincast.training.replay_scores import AccountBlocks, raise_alerts, run_at_budget, score_alerts
from margincast.training.score import Scorer
from margincast.training.scores import auc_within_strata

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
needs_data = pytest.mark.skipif(
    not (SHARED / "data" / "real_accounts_2023").is_dir(), reason=f"real accounts are not at {SHARED}/data"
)

FIRST, LAST = 1_500, 1_700
COINS = (*small_market.SYMBOLS, "UNPRICED")


@pytest.fixture(scope="module")
def events():
    return random_events(1)


def random_events(seed, accounts=12, until=LAST + 30):
    """Accounts that deposit, trade at the market's prices, close and withdraw at random on the small market."""
    rng, history = np.random.default_rng(seed), small_market.view().history
    table = InstrumentTable.linear_perpetuals(COINS)
    rows = []
    for who in range(accounts):
        held = dict.fromkeys(range(len(COINS)), 0.0)
        rows.append((FIRST * 60 - 90, who, Kind.DEPOSIT, -1, np.nan, np.nan, 2_000.0))
        for minute in np.sort(rng.integers(FIRST * 60 - 60, until * 60, 60)):
            coin = int(rng.integers(0, 3 if who < accounts - 1 else 4))
            price = 1.0 if coin == 3 else float(history.close[minute // 60 - 1, coin])
            if rng.random() < 0.15:
                rows.append((minute, who, Kind.DEPOSIT, -1, np.nan, np.nan, float(rng.integers(10, 900))))
            elif held[coin] != 0 and rng.random() < 0.6:
                rows.append((minute, who, Kind.TRADE, coin, -held[coin], price, 0.0))
                held[coin] = 0.0
            else:
                quantity = round(float(rng.normal(0, 8_000)) / price, 4) or 0.1
                rows.append((minute, who, Kind.TRADE, coin, quantity, price, 0.0))
                held[coin] = round(held[coin] + quantity, 4)
    minute, who, kind, coin, quantity, price, amount = zip(*rows, strict=True)
    time = history.times[0] + np.array(minute) * np.timedelta64(1, "m")
    return AccountEvents.of(table, [f"a{k}" for k in range(accounts)], time, who, kind, instrument=coin,
                            quantity=quantity, price=price, amount=amount)  # fmt: skip


def of(table, *rows, names=("a",)):
    """Events from (minute, account, kind, instrument, quantity, price, amount)."""
    minute, who, kind, coin, quantity, price, amount = zip(*rows, strict=True)
    time = np.datetime64("2022-01-01", "ns") + np.array(minute) * np.timedelta64(1, "m")
    return AccountEvents.of(table, list(names), time, who, kind, instrument=coin, quantity=quantity, price=price,
                            amount=amount)  # fmt: skip


def test_rows_are_what_a_plain_replay_holds_at_each_open(events):
    history = small_market.view().history
    held = held_hours(events, history, FIRST, LAST)
    trade = events.kind == Kind.TRADE
    rows = {(int(a), int(b)): k for k, (a, b) in enumerate(zip(held.account, held.bar, strict=True))}
    for bar in range(FIRST, LAST, 37):
        now = history.times[bar]
        for who in range(len(events.accounts)):
            past = trade & (events.account == who) & (events.time <= now)
            bought = np.bincount(events.instrument[past], events.quantity[past], len(COINS))
            at = rows.get((who, bar))
            assert (at is not None) == bool((np.abs(bought) > 1e-9).any())
            if at is not None:
                np.testing.assert_allclose(held.quantity[at], bought, atol=1e-9)
                assert held.since_fill[at] == pytest.approx((now - events.time[past].max()) / HOUR)


def test_what_happens_later_changes_no_row_before_it(events):
    """Trades, transfers and liquidations after an instant are replaced by others."""
    history, cut = small_market.view().history, (FIRST + LAST) // 2
    before = events.time <= history.times[cut]
    other = random_events(99)
    later = other.take(np.flatnonzero(other.time > history.times[cut]))
    columns = ("time", "account", "kind", "instrument", "asset", "quantity", "price", "amount", "notional", "closes",
               "forced")  # fmt: skip
    mixed = {name: np.concatenate((getattr(events, name)[before], getattr(later, name))) for name in columns}
    changed = AccountEvents(events.instruments, events.accounts, lots=events.lots, **mixed)
    one, two = (held_hours(each, history, FIRST, cut + 1) for each in (events, changed))
    for name in ("account", "bar", "quantity", "entry", "money", "since_fill", "cash_known"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


def test_scores_at_an_hour_see_nothing_after_it(events):
    """Prices and events after an hour are changed; every forecast and the behavioural one stay the same bits."""
    view, cut = small_market.view(), LAST - 20
    scrambled = view_market(small_market.scrambled(small_market.data(), cut))
    early = events.take(np.flatnonzero(events.time <= view.history.times[cut]))
    one, two = scores_at(view, events, cut), scores_at(scrambled, early, cut)
    assert len(one[0]) > 3
    for name in one[0]:
        np.testing.assert_array_equal(one[0][name], two[0][name], err_msg=name)
    np.testing.assert_array_equal(one[1], two[1])


def scores_at(view, events, bar):
    """What every model says of the accounts held at a bar, and the behavioural probability."""
    held = held_hours(events, view.history, FIRST, bar + 1)
    held = held.take(held.bar == bar)
    held = held.take(is_on_market(held, view.history))
    book = book_on(held, view.history)
    scorer = Scorer(small_market.fitted(), view, small_market.RULES, bar)
    hazards = CauseHazards(CAUSES)
    hazards.columns_, hazards.intercept_ = COLUMNS, np.full(len(CAUSES), -3.0)
    hazards.slope_ = np.full((len(CAUSES), len(COLUMNS)), -0.1)
    forecast = scorer.forecast(book)
    acting = behavioural_forecast(scorer, BehaviouralForecaster(hazards), forecast, held.since_fill)
    return scorer.predict(book), acting, forecast


def test_behavioural_scores_lie_below_the_frozen_ones_and_need_a_history(events):
    view = small_market.view()
    _, acting, forecast = scores_at(view, events, LAST - 20)
    known = np.isfinite(acting).all(axis=1)
    assert known.sum() > 3
    assert (acting[known] <= forecast.probability[known]).all()
    assert (acting[known] < forecast.probability[known]).any()
    assert (np.diff(acting[known], axis=1) >= 0).all()
    scorer = Scorer(small_market.fitted(), view, small_market.RULES, LAST - 20)
    hazards = CauseHazards(CAUSES)
    hazards.columns_, hazards.intercept_, hazards.slope_ = COLUMNS, np.full(5, -3.0), np.zeros((5, len(COLUMNS)))
    unknown = hours_since_fill(events, ["nobody"] * len(forecast.book), view.history.times[LAST - 20])
    blank = behavioural_forecast(scorer, BehaviouralForecaster(hazards), forecast, unknown)
    breached = forecast.margin.headroom < 0
    assert np.isnan(blank[~breached]).all() and (blank[breached] == 1).all()


def test_hazards_learned_from_histories_see_no_later_event(events):
    view = small_market.view()
    whole = learn_hazards(view, small_market.RULES, events, FIRST, LAST - 60)
    early = events.take(np.flatnonzero(events.time <= view.history.times[LAST - 60]))
    again = learn_hazards(view, small_market.RULES, early, FIRST, LAST - 60)
    np.testing.assert_array_equal(whole.slope_, again.slope_)
    assert whole.predict(np.zeros(len(COLUMNS))).sum() < 1
    stored = BehaviouralForecaster.from_state(BehaviouralForecaster(whole).state())
    np.testing.assert_array_equal(stored.hazards.slope_, whole.slope_)


def test_rows_with_a_leg_without_a_price_are_left_out_and_counted(events):
    history = small_market.view().history
    held = held_hours(events, history, FIRST, LAST)
    priced = is_on_market(held, history)
    np.testing.assert_array_equal(priced, held.quantity[:, 3] == 0)
    told = coverage_of(held, history, events)
    assert (told.hours, told.priced) == (len(held), int(priced.sum()))
    assert told.lacking == {"UNPRICED": int((~priced).sum())} and told.lacking["UNPRICED"] > 0
    with pytest.raises(InputError, match="not on the market"):
        book_on(held.take(~priced), history)


def test_acts_of_an_hour():
    """One account an act, each held from before the hour: what came in the hour from the second open."""
    table = InstrumentTable.linear_perpetuals(["BTC"])
    trade, deposit, gone, forced = Kind.TRADE, Kind.DEPOSIT, Kind.WITHDRAWAL, Kind.LIQUIDATION
    names = ("closes", "halves", "trims", "pays", "tips", "adds", "takes", "idles", "liquidated", "turns")
    rows = [(0, k, deposit, -1, np.nan, np.nan, 100.0) for k in range(len(names))]
    rows += [(1, k, trade, 0, 10.0, 20.0, 0.0) for k in range(len(names))]
    rows += [
        (90, 0, trade, 0, -10.0, 20.0, 0.0),
        (90, 1, trade, 0, -5.0, 20.0, 0.0),
        (90, 2, trade, 0, -0.9, 20.0, 0.0),
    ]
    rows += [(90, 3, deposit, -1, np.nan, np.nan, 10.0), (90, 4, deposit, -1, np.nan, np.nan, 9.0)]
    rows += [(90, 5, trade, 0, 1.0, 20.0, 0.0), (90, 6, gone, -1, np.nan, np.nan, -10.0)]
    rows += [(90, 8, trade, 0, -10.0, 11.0, 0.0), (90, 8, forced, -1, np.nan, np.nan, 1.0)]
    rows += [(90, 9, trade, 0, -20.0, 20.0, 0.0)]
    events = of(table, *rows, names=names)
    history = replace_symbols(small_market.view().history, table)
    held = held_hours(events, history, 0, 5)
    act = acts_of(held, events, np.full(len(held), 100.0))[held.bar == 1]
    told = {names[who]: ("nothing", *CAUSES)[k] for who, k in zip(held.account[held.bar == 1], act, strict=True)}
    assert told == {
        "closes": "close", "halves": "reduction", "trims": "nothing", "pays": "deposit", "tips": "nothing",
        "adds": "increase", "takes": "withdrawal", "idles": "nothing", "liquidated": "nothing", "turns": "close",
    }  # fmt: skip


def replace_symbols(history, table):
    """The first series of a market as a market of one contract."""
    bars = {name: getattr(history, name)[:48, :1].copy() for name in ("open", "high", "low", "close")}
    return replace(
        history, instruments=table, times=history.times[:48], **bars, mark_series=np.array([0]),
        index_series=np.array([-1]), funding=np.zeros((48, 1)),
    )  # fmt: skip


def test_hazards_see_the_book_valued_at_its_past_prices_and_at_its_entry(events):
    """Against the margin core, asked at each of the six opens before."""
    view, bar = small_market.view(), LAST - 20
    held = held_hours(events, view.history, bar, bar + 1)
    held = held.take(is_on_market(held, view.history))
    book = book_on(held, view.history)
    sample = sample_of(view, book, held.bar, small_market.RULES, (1, 4, 24))
    seen = behaviour_rows(view, book, sample, held.since_fill)
    now = evaluate(book, view.history.state_at(bar), small_market.RULES)
    for back in range(1, 7):
        then = evaluate(book, view.history.state_at(bar - back), small_market.RULES)
        # exact within a tier of maintenance margin; a price that crosses one changes the last digits
        np.testing.assert_allclose(seen.standing.past[:, back - 1], then.headroom - now.headroom, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(seen.standing.profit, now.equity - held.money[:, 0], rtol=1e-9, atol=1e-6)
    assert (seen.hour == int(view.history.times[bar].astype(str)[11:13])).all()
    risk = seen.exposure.headroom / seen.standing.risk
    np.testing.assert_allclose(risk, sample.column("distance_ewma"), rtol=1e-12)


def test_held_to_breach_is_counted_row_by_row(events):
    held = held_hours(events, small_market.view().history, FIRST, FIRST + 60)
    rng = np.random.default_rng(2)
    act = rng.choice(len(CAUSES) + 1, len(held), p=[0.9, 0.02, 0.02, 0.02, 0.02, 0.02])
    breach = np.where(rng.random(len(held)) < 0.5, held.bar + rng.integers(0, 24, len(held)), -1)
    found = held_to_breach(held, act, breach)
    for row in range(0, len(held), 7):
        ends = [
            int(b) for a, b, k in zip(held.account, held.bar, act, strict=True)
            if a == held.account[row] and b >= held.bar[row] and k > 0 and ENDS[k - 1]
        ]  # fmt: skip
        first = min(ends, default=10**9)
        expected = 0.0 if breach[row] < 0 or first < breach[row] else 0.5 if first == breach[row] else 1.0
        assert found[row] == expected


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60).filter(lambda x: len(set(x)) > 1), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_no_account_is_on_both_sides_of_a_fold(account, folds):
    account = np.array(account)
    folds = min(folds, len(np.unique(account)))
    judged = []
    for fit, judge in account_folds(account, folds, seed=4):
        assert not set(account[fit]) & set(account[judge])
        assert len(fit) and len(judge) and len(fit) + len(judge) == len(account)
        judged += judge.tolist()
    assert sorted(judged) == list(range(len(account)))


def test_hours_to_liquidation_agree_with_a_search(events):
    rng = np.random.default_rng(3)
    instants = np.sort(rng.integers(0, 200, 12)) * np.timedelta64(17, "m") + np.datetime64("2022-03-05", "ns")
    who = rng.integers(0, 3, 12)
    forced = AccountEvents.of(events.instruments, ["a", "b", "c"], instants, who, [Kind.LIQUIDATION] * 12)
    account, time = rng.integers(0, 3, 50), np.datetime64("2022-03-05", "ns") + rng.integers(0, 70, 50) * HOUR
    found = hours_to_liquidation(forced, account, time)
    for k in range(50):
        ahead = [(t - time[k]) / HOUR for t, w in zip(instants, who, strict=True) if w == account[k] and t > time[k]]
        assert found[k] == pytest.approx(min(ahead, default=np.inf))
    last = instants[-1]
    assert known_until(forced, np.array([last - HOUR, last - HOUR + np.timedelta64(1, "s")]), 1.0).tolist() == [
        True,
        False,
    ]


def test_auc_is_that_of_scikit_learn_and_of_the_plain_count_within_strata():
    rng = np.random.default_rng(6)
    score, outcome = rng.integers(0, 8, 300) / 8, (rng.random(300) < 0.2).astype(float)
    account, stratum = rng.integers(0, 20, 300), rng.integers(0, 4, 300)
    blocks = AccountBlocks(account, seed=1, resamples=50)
    assert blocks.auc(score, outcome).value == pytest.approx(roc_auc_score(outcome, score), abs=1e-12)
    within = auc_within_strata(score, outcome, stratum)
    assert blocks.auc(score, outcome, stratum).value == pytest.approx(within, abs=1e-12)


def test_a_resample_is_the_rows_of_the_drawn_accounts():
    rng = np.random.default_rng(7)
    score, outcome, account = rng.random(200), (rng.random(200) < 0.3).astype(float), rng.integers(0, 9, 200)
    blocks = AccountBlocks(account, seed=1, resamples=40)
    rows = [np.repeat(np.arange(200), draw[account].astype(int)) for draw in blocks.draws]
    aucs = [roc_auc_score(outcome[r], score[r]) for r in rows]
    assert (blocks.auc(score, outcome).low, blocks.auc(score, outcome).high) == pytest.approx(
        np.quantile(aucs, [0.05, 0.95])
    )
    means = [score[r].mean() for r in rows]
    assert (blocks.mean(score).low, blocks.mean(score).high) == pytest.approx(np.quantile(means, [0.05, 0.95]))
    gains = [roc_auc_score(outcome[r], score[r]) - roc_auc_score(outcome[r], -score[r]) for r in rows]
    gain = blocks.auc_gain(score, -score, outcome)
    assert (gain.low, gain.high) == pytest.approx(np.quantile(gains, [0.05, 0.95]))


def test_alerts_by_hand():
    """Account 0 is alerted at hours 2 and 30 (the second a day later) and liquidated at 4.5 and 31; account 1 never."""
    account = np.array([0, 0, 0, 0, 1, 1, 0, 1])
    hour = np.array([1, 2, 3, 4, 3, 4, 30, 31])
    score = np.array([0.1, 0.9, 0.2, 0.8, 0.3, 0.3, 0.7, 0.6])
    ahead = np.array([3.5, 2.5, 1.5, 0.5, np.inf, np.inf, 1.0, np.inf])
    run = raise_alerts(score, account, hour, 0.5)
    assert run.raised.tolist() == [1, 6, 7] and run.crossings.tolist() == [1, 3, 6, 7]
    assert run.flapping == pytest.approx(4 / 3)
    worth = score_alerts(run, account, hour, ahead, 4.0, np.ones(8, bool), seed=1)
    assert (worth.alerts, worth.precision.value, worth.caught.value) == (3, pytest.approx(2 / 3), 1.0)
    assert (worth.median_lead, worth.p10_lead) == (1.75, pytest.approx(1.15))
    short = score_alerts(run, account, hour, ahead, 1.0, np.ones(8, bool), seed=1)
    assert (short.precision.value, short.caught.value) == (pytest.approx(1 / 3), pytest.approx(1 / 2))


def test_a_budget_is_kept_and_used():
    rng = np.random.default_rng(8)
    account, hour, score = np.repeat(np.arange(30), 240), np.tile(np.arange(240), 30), rng.random(7_200)
    for a_day in (0.5, 1.0, 2.0):
        run = run_at_budget(score, account, hour, a_day)
        assert 0.5 * a_day * 10 <= len(run.raised) <= a_day * 10
    with pytest.raises(InputError):
        run_at_budget(score, account, hour, 0.0)


# the real accounts of 2023


@pytest.fixture(scope="module")
def script():
    """The benchmark as a module; it reads its neighbour real_accounts."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    found = importlib.util.spec_from_file_location(
        "real_accounts_forecast_script", ROOT / "benchmarks" / "real_accounts_forecast.py"
    )
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    yield module
    del sys.modules[found.name]
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def real(script, tmp_path_factory):
    """Events of the real accounts, the market they are scored on, and all their held hours."""
    data = SHARED / "data"
    events = read_accounts_2023(data / "real_accounts_2023").events
    view = script.scoring_market(data, tmp_path_factory.mktemp("market"))
    history = view.history
    return events, view, held_hours(events, history, history.bar_of(script.START), history.bar_of(script.LAST) + 1)


@needs_data
def test_coverage_is_that_of_the_page(real):
    events, view, held = real
    told = coverage_of(held, view.history, events)
    page = (ROOT / "docs" / "real_accounts.md").read_text(encoding="utf-8")
    assert f"| account-hours with a position | {told.hours:,} of {len(np.unique(held.account))} accounts |" in page
    assert f"| of these with a price for every leg | {told.priced:,} ({told.priced / told.hours:.0%}) |" in page
    assert f"| left out: money known not to be in the ledger by then | {told.priced - told.trusted:,} |" in page
    assert (told.liquidations, set(told.lacking)) == (30, {"APE", "ARB", "DYDX", "MATIC"})


@needs_data
def test_equity_is_that_of_the_account_bars(script, real):
    """Two ways through the events: pools of one instant each, and the bars behavioural features are fed."""
    events, view, held = real
    few = np.flatnonzero(np.isin(events.account, np.unique(held.account)[::9]))
    history = view.history
    start, end = history.bar_of(script.START), history.bar_of(script.LAST) + 1
    window = {name: getattr(history, name)[start:end] for name in ("open", "high", "low", "close")}
    place = [
        history.instruments.symbols.index(s) if s in history.instruments.symbols else -1
        for s in events.instruments.symbols
    ]
    prices = {n: np.where(np.array(place) >= 0, v[:, np.maximum(place, 0)], np.nan) for n, v in window.items()}
    market = replace(
        history, instruments=events.instruments, times=history.times[start:end], **prices,
        mark_series=np.arange(len(place)), index_series=np.array([-1]), funding=np.zeros((end - start, len(place))),
    )  # fmt: skip
    bars = account_bars(events.take(few), market, script.rules_of_2023(events.instruments.symbols))
    mine = np.isin(held.account, np.unique(held.account)[::9]) & is_on_market(held, history) & (held.bar > start)
    rows = held.take(mine)
    sample = script._scored(_Silent(), view, script.rules_of_2023(view.data.symbols), rows)[1]
    theirs = bars.columns["equity"][rows.bar - start - 1, rows.account]
    np.testing.assert_allclose(sample.exposure.equity, theirs, rtol=1e-9, atol=1e-6)
    assert len(rows) > 300


FROZEN = ("ewma_reflection", "fhs", "fhs_har", "fhs_learned", "lightgbm", "hybrid")


class _Silent:
    """A forecaster that says nothing, in place of a fitted one."""

    horizons = (1, 4, 24)
    columns_ = ("distance_ewma",)

    class scales_:
        @staticmethod
        def fields(*_):
            return {}

    def predict(self, sample, _fields):
        return {name: np.zeros((len(sample), 3)) for name in FROZEN}


@needs_data
def test_some_real_accounts_are_scored_by_a_forecaster_that_knows_other_coins(script, real):
    """A forecaster fitted on the small simulated market: every row gets a probability, 1 where in breach."""
    events, view, held = real
    liquidated = np.unique(events.account[events.kind == Kind.LIQUIDATION])
    some = np.isin(held.account, liquidated[:6]) & is_on_market(held, view.history) & held.cash_known
    rows = held.take(some)
    aligned = small_market.fitted().aligned(view.data.symbols)
    book, sample, said, fields = script._scored(aligned, view, script.rules_of_2023(view.data.symbols), rows)
    hybrid = said["hybrid"]
    known = np.isfinite(hybrid).all(axis=1)
    assert known.mean() > 0.9 and (np.diff(hybrid[known], axis=1) >= 0).all()
    assert (hybrid[sample.exposure.headroom < 0] == 1).all()
    behaviour = behaviour_rows(view, book, sample, rows.since_fill)
    hazards = CauseHazards(CAUSES)
    hazards.columns_, hazards.intercept_, hazards.slope_ = COLUMNS, np.full(5, -3.0), np.zeros((5, len(COLUMNS)))
    acting = BehaviouralForecaster(hazards).predict(aligned, behaviour, sample, fields, hybrid)
    assert (acting[known] <= hybrid[known]).all()
    outcome = first_passage(book, view.pyramid, script.rules_of_2023(view.data.symbols), rows.bar, horizon=24)
    blocks = AccountBlocks(rows.account[known], seed=1)
    assert blocks.auc(hybrid[known, 2], outcome.within(24)[known].astype(float)).value > 0.8


@needs_data
def test_every_liquidation_of_a_priced_account_is_seen_or_its_position_is_younger_than_an_hour(real):
    events, view, held = real
    ahead = hours_to_liquidation(events, held.account, held.time)
    seen = {(int(a), round(float((t - np.datetime64(0, "s")) / HOUR + h), 6))
            for a, t, h in zip(held.account, held.time, ahead, strict=True) if h <= 1.0}  # fmt: skip
    for row in np.flatnonzero(events.kind == Kind.LIQUIDATION):
        account, time = int(events.account[row]), events.time[row]
        if (account, round(float((time - np.datetime64(0, "s")) / HOUR), 6)) in seen:
            continue
        since = view.history.times[(time - view.history.times[0]) // HOUR]
        mine = (events.account == account) & (events.kind == Kind.TRADE)
        fresh = mine & (events.time > since) & (events.time < time)
        assert fresh.any() and not np.isin(account, held.account[held.time == since])


def test_the_page_tells_how_to_run_the_script():
    page = (ROOT / "docs" / "real_accounts.md").read_text(encoding="utf-8")
    assert re.search(r"python benchmarks/real_accounts_forecast\.py", page)
