"""Rebuilt accounts in a market: bars of what they did and were worth, breaches, prices from their own trades."""

import datetime as dt

import numpy as np
import pytest

from margincast.features.accounts.account_bars import ACCOUNT_COLUMNS, account_bars, clear_flows, close_bar
from margincast.features.accounts.breaches import find_breaches, state_spans
from margincast.features.accounts.events import NONE, AccountEvents, Kind
from margincast.features.accounts.rebuild import apply_events, start_accounts, states_at
from margincast.features.accounts.trade_bars import trade_bars
from margincast.features.correlation.ewma import ewma_covariance
from margincast.features.volatility.estimators import log_returns
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import evaluate, is_breached
from margincast.riskcore.market import MarketHistory, MarketState
from margincast.riskcore.rulebook import RateSchedule, RuleBook

TABLE = InstrumentTable.linear_perpetuals(["BTC", "ETH", "SOL"])
RULES = RuleBook(
    "example",
    dt.date(2024, 1, 1),
    {name: RateSchedule.marginal([0.0, 5_000.0], [0.01, 0.02], [50.0, 25.0]) for name in TABLE.symbols},
)
START = np.datetime64("2024-01-01", "ns")
HOUR, MINUTE = np.timedelta64(1, "h"), np.timedelta64(1, "m")


def drawn_market(seed, bars, *, gaps=True):
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.02, (bars, 3)), axis=0))
    opened = np.vstack((np.full((1, 3), 100.0), close[:-1]))
    reach = np.exp(np.abs(rng.normal(0, 0.01, (2, bars, 3))))
    prices = [opened, np.maximum(opened, close) * reach[0], np.minimum(opened, close) / reach[1], close]
    if gaps:
        gone = rng.random((bars, 3)) < 0.03
        prices = [np.where(gone, np.nan, one) for one in prices]
    times = START + np.arange(bars) * HOUR
    return MarketHistory(TABLE, times, *prices, np.arange(3), [-1], np.zeros((bars, 3)))


def drawn_events(seed, bars, accounts=6, n=220):
    """Accounts that deposit, trade around 100 at high leverage, now and then exactly at a bar's open, and withdraw."""
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.integers(0, bars * 60, n))
    minutes = np.where(rng.random(n) < 0.2, minutes // 60 * 60, minutes)
    kind = rng.choice([Kind.DEPOSIT, Kind.TRADE, Kind.LIQUIDATION, Kind.WITHDRAWAL], n, p=[0.2, 0.65, 0.05, 0.1])
    trade = kind == Kind.TRADE
    amount = np.where(kind == Kind.DEPOSIT, rng.integers(5, 120, n), np.where(kind == Kind.WITHDRAWAL, -20.0, np.nan))
    return AccountEvents.of(
        TABLE, [f"a{k}" for k in range(accounts)], START + minutes * MINUTE, rng.integers(0, accounts, n), kind,
        instrument=np.where(trade, rng.integers(0, 3, n), NONE),
        quantity=np.where(trade, rng.integers(1, 12, n) * rng.choice([-1.0, 1.0], n), np.nan),
        price=np.where(trade, rng.integers(9_000, 11_000, n) / 100, np.nan), amount=np.where(trade, 0.0, amount),
    )  # fmt: skip


MARKET, EVENTS = drawn_market(1, 96), drawn_events(2, 96)


def brute_breaches(events, history):
    """Every bar and every state of it, evaluated at the bar's low, high and close: (account, bar) -> partial."""
    found = {}
    for bar in range(len(history)):
        opened, closed = history.times[bar], history.times[bar] + HOUR
        changed = {a: events.time[(events.account == a) & moves(events)] for a in range(len(events.accounts))}
        for account, times in changed.items():
            inside = np.unique(times[(times > opened) & (times < closed)])
            for k, instant in enumerate([opened, *inside]):
                book = states_at(events, [instant])[0].take(np.array([account]))
                held = book.position_instrument
                if not len(held) or np.isnan(history.close[bar, held]).any():
                    continue
                partial = k > 0 or len(inside) > 0
                for prices in (history.low[bar], history.high[bar], history.close[bar]):
                    state = evaluate(book, MarketState(opened, prices, [1.0]), RULES)
                    if is_breached(state.equity, state.maintenance, RULES)[0]:
                        key = account, bar
                        found[key] = found.get(key, True) and partial
    return found


def moves(events):
    return events.kind <= Kind.WITHDRAWAL


def test_breaches_are_those_of_looking_at_every_state_in_every_bar():
    found = find_breaches(EVENTS, MARKET, RULES)
    seen = {}
    for account, bar, partial in zip(found.account.tolist(), found.bar.tolist(), found.partial.tolist(), strict=True):
        seen[account, bar] = seen.get((account, bar), True) and partial
    expected = brute_breaches(EVENTS, MARKET)
    assert seen == expected
    assert len(expected) > 30 and 0 < sum(expected.values()) < len(expected)


def test_the_lowest_equity_of_a_breach_is_the_core_s():
    found = find_breaches(EVENTS, MARKET, RULES)
    rows = np.flatnonzero(~found.partial)[::5]
    for row in rows:
        bar, account = found.bar[row], found.account[row]
        book = states_at(EVENTS, [MARKET.times[bar]])[0].take(np.array([account]))
        worst = np.inf
        for prices in (MARKET.low[bar], MARKET.high[bar], MARKET.close[bar]):
            state = evaluate(book, MarketState(START, prices, [1.0]), RULES)
            worst = min(worst, state.equity[0]) if is_breached(state.equity, state.maintenance, RULES)[0] else worst
        assert found.equity[row] == pytest.approx(worst, rel=1e-12)


def test_episodes_are_bars_on_end():
    found = find_breaches(EVENTS, MARKET, RULES)
    episodes = found.episodes()
    bars = {(one.account, bar) for one in episodes for bar in range(one.first, one.last + 1)}
    assert bars == set(zip(found.account.tolist(), found.bar.tolist(), strict=True))
    for one, two in zip(episodes, episodes[1:], strict=False):
        assert (one.account, one.last + 1) < (two.account, two.first)
    sure = {(a, b) for a, b, p in zip(found.account, found.bar, found.partial, strict=True) if not p}
    assert all(one.certain == any((one.account, b) in sure for b in range(one.first, one.last + 1)) for one in episodes)
    nobody = find_breaches(EVENTS.take(EVENTS.kind == Kind.DEPOSIT), MARKET, RULES)
    assert (len(nobody), nobody.episodes()) == (0, [])


def test_bars_without_a_price_are_counted():
    found = find_breaches(EVENTS, MARKET, RULES)
    expected = np.zeros(len(EVENTS.accounts), np.int64)
    for bar in range(len(MARKET)):
        book = states_at(EVENTS, [MARKET.times[bar]])[0]
        gone = np.isnan(MARKET.close[bar, book.position_instrument])
        expected[np.unique(book.position_pool[gone])] += 1
    assert found.unpriced.tolist() == expected.tolist()
    assert expected.sum() > 0


def test_spans_begin_before_and_end_with_the_history():
    events = drawn_events(3, 200)
    middle = MarketHistory(
        TABLE, MARKET.times + 60 * HOUR, MARKET.open, MARKET.high, MARKET.low, MARKET.close, np.arange(3), [-1],
        np.zeros((96, 3)),
    )  # fmt: skip
    spans = state_spans(events, middle)
    assert spans.first.min() == 0 and spans.last.max() == 95
    for bar in (0, 17, 95):
        book = states_at(events, [middle.times[bar]])[0]
        in_force = (spans.first <= bar) & (bar <= spans.last) & ~spans.in_bar
        assert sorted(spans.account[in_force].tolist()) == np.flatnonzero(np.diff(book.position_pointer)).tolist()
    other = InstrumentTable.linear_perpetuals(["BTC"])
    with pytest.raises(InputError, match="instruments"):
        find_breaches(AccountEvents.of(other, ["a"], [], [], []), middle, RULES)


def covariance(history):
    return ewma_covariance(log_returns(history.close), 12.0, np.arange(len(history)))


def test_account_bars_are_what_happened_and_what_the_core_says():
    bars = account_bars(EVENTS, MARKET, RULES, covariance(MARKET))
    assert bars.symbols == EVENTS.accounts and set(bars.columns) == set(ACCOUNT_COLUMNS)
    for bar in (5, 40, 80):
        opened, closed = MARKET.times[bar], MARKET.times[bar] + HOUR
        inside = (EVENTS.time > opened) & (EVENTS.time <= closed)
        trade = inside & (EVENTS.kind == Kind.TRADE)
        worth = np.abs(EVENTS.quantity) * EVENTS.price
        for name, rows, values in (
            ("deposits", inside & (EVENTS.kind == Kind.DEPOSIT), EVENTS.amount),
            ("withdrawals", inside & (EVENTS.kind == Kind.WITHDRAWAL), -EVENTS.amount),
            ("trades", trade, np.ones(len(EVENTS))),
            ("turnover", trade, worth),
            ("liquidations", inside & (EVENTS.kind == Kind.LIQUIDATION), np.ones(len(EVENTS))),
        ):
            expected = np.bincount(EVENTS.account[rows], values[rows], len(EVENTS.accounts))
            assert bars.columns[name][bar] == pytest.approx(expected), name
        book = states_at(EVENTS, [closed])[0]
        known = ~np.isnan(bars.columns["equity"][bar])
        own = book.take(np.flatnonzero(known))
        state = evaluate(own, MARKET.state_at(bar + 1), RULES)
        np.testing.assert_array_equal(bars.columns["equity"][bar][known], state.equity)
        np.testing.assert_array_equal(bars.columns["maintenance"][bar][known], state.maintenance)
        gone = np.isnan(MARKET.close[bar, book.position_instrument])
        assert sorted(np.flatnonzero(~known)) == sorted(np.unique(book.position_pool[gone]))


def test_risk_is_the_deviation_of_headroom_over_an_hour():
    """By hand for one leg below the first tier: |value| * (1 - rate) * sigma; long and short together: w' C w."""
    bars = account_bars(EVENTS, MARKET, RULES, covariance(MARKET))
    spread = covariance(MARKET)
    checked = 0
    for bar in range(30, 96):
        book = states_at(EVENTS, [MARKET.times[bar] + HOUR])[0]
        for account in range(len(EVENTS.accounts)):
            legs = slice(book.position_pointer[account], book.position_pointer[account + 1])
            held, quantity = book.position_instrument[legs], book.quantity[legs]
            value = quantity * MARKET.close[bar, held]
            if len(held) == 0 or np.isnan(value).any() or np.abs(value).max() > 5_000:
                continue
            weight = value - np.abs(value) * 0.01
            expected = np.sqrt(weight @ spread[bar][np.ix_(held, held)] @ weight)
            np.testing.assert_allclose(bars.columns["risk"][bar, account], expected, rtol=1e-10)
            checked += int(np.isfinite(expected))
    assert checked > 50
    assert np.isnan(account_bars(EVENTS, MARKET, RULES).columns["risk"]).all()


def test_bars_closed_one_at_a_time_as_events_come_are_the_same_to_the_bit():
    """A stream: one event at a time, a bar closed when its time has come, with no look at later prices."""
    moves_ = covariance(MARKET)
    whole = account_bars(EVENTS, MARKET, RULES, moves_)
    state = start_accounts(len(EVENTS.accounts), TABLE)
    short = MarketHistory(
        TABLE, MARKET.times[:2], *(np.ones((2, 3)) for _ in range(4)), np.arange(3), [-1], np.zeros((2, 3))
    )
    row = 0
    for bar in range(len(MARKET)):
        if bar == 0:
            while row < len(EVENTS) and EVENTS.time[row] <= MARKET.times[0]:
                apply_events(state, EVENTS.take(np.array([row])))
                row += 1
            clear_flows(state)
        closed = MARKET.times[bar] + HOUR
        while row < len(EVENTS) and EVENTS.time[row] <= closed:
            apply_events(state, EVENTS.take(np.array([row])))
            row += 1
        now = MarketState(closed, MARKET.close[bar], [1.0])
        live = close_bar(state, EVENTS.accounts, EVENTS.lots, short, now, RULES, moves_[bar])
        for name, values in whole.columns.items():
            np.testing.assert_array_equal(live[name], values[bar], err_msg=f"{name} of bar {bar}")


def test_later_events_and_prices_change_no_earlier_bar():
    first = 50
    bars = account_bars(EVENTS, MARKET, RULES, covariance(MARKET))
    early, late = EVENTS.time <= MARKET.times[first], drawn_events(9, 96)
    late = late.take(late.time > MARKET.times[first])
    names = ("time", "account", "kind", "instrument", "quantity", "price", "amount")
    both = {name: np.concatenate((getattr(EVENTS, name)[early], getattr(late, name))) for name in names}
    events = AccountEvents.of(TABLE, EVENTS.accounts, both.pop("time"), both.pop("account"), both.pop("kind"), **both)
    other = drawn_market(77, 96)
    prices = [
        np.vstack((getattr(MARKET, name)[:first], getattr(other, name)[first:]))
        for name in ("open", "high", "low", "close")
    ]
    history = MarketHistory(TABLE, MARKET.times, *prices, np.arange(3), [-1], np.zeros((96, 3)))
    changed = account_bars(events, history, RULES, covariance(history))
    for name, values in bars.columns.items():
        np.testing.assert_array_equal(values[:first], changed.columns[name][:first], err_msg=name)
        assert not np.array_equal(values[first:], changed.columns[name][first:], equal_nan=True), name


def test_bars_are_refused_where_they_do_not_fit():
    with pytest.raises(InputError, match="column covariance: has shape"):
        account_bars(EVENTS, MARKET, RULES, np.zeros((96, 2, 2)))


def test_bars_of_trades_leave_out_what_was_forced_and_take_the_best_price_of_an_order():
    times = START + np.array([0, 0, 0, 5, 5, 70, 75]) * MINUTE
    events = AccountEvents.of(
        TABLE, ["a", "b"], times, [0, 0, 1, 0, 0, 1, 1], [Kind.TRADE] * 7, instrument=[0] * 7,
        quantity=[1, 1, -1, -1, -1, 2, -2], price=[101, 99, 100, 103, 104, 50, 98], amount=[0.0] * 7,
        forced=[False] * 5 + [True, False],
    )  # fmt: skip
    bars = trade_bars(events, START + np.arange(3) * HOUR, HOUR)
    assert [one[:, 0].tolist() for one in bars[:4]] == [
        [99.0, 98.0, pytest.approx(np.nan, nan_ok=True)],
        [104.0, 98.0, pytest.approx(np.nan, nan_ok=True)],
        [99.0, 98.0, pytest.approx(np.nan, nan_ok=True)],
        [104.0, 98.0, pytest.approx(np.nan, nan_ok=True)],
    ]
    assert bars.orders[:, 0].tolist() == [3, 1, 0]
    assert not bars.orders[:, 1:].any()
    with pytest.raises(InputError, match="row 1, column times: bars must be"):
        trade_bars(events, START + np.array([0, 90]) * MINUTE, HOUR)
    empty = trade_bars(events.take(np.arange(0)), START + np.arange(3) * HOUR, HOUR)
    assert np.isnan(empty.close).all() and not empty.orders.any()
