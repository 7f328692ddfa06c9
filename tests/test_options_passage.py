"""First passage of pools that hold options: blocks against every bar, and against the rule written out."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.first_passage import first_passage
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketHistory, MarketState
from margincast.riskcore.options.black76 import value
from margincast.riskcore.options.option_holdings import OptionHoldings, evaluate_options
from margincast.riskcore.options.option_table import OptionTable
from margincast.riskcore.options.passage import OptionSeries, option_first_passage
from margincast.riskcore.options.passage_kernel import OptionLegs, leg_bound, leg_headroom
from margincast.riskcore.options.short_option import ShortOptionRules, ShortRate, load_short_option_rules
from margincast.riskcore.passage_kernel import BREACHED, GAP
from margincast.riskcore.price_pyramid import build_pyramid
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

TABLE = InstrumentTable.linear_perpetuals(["BTC"], collateral=["BTC"])
RULES = RuleBook(
    "test",
    dt.date(2024, 1, 1),
    {"BTC": RateSchedule.marginal([0.0, 500.0], [0.01, 0.05], [50, 10])},
    {"BTC": HaircutSchedule([0.0], [0.9])},
)
DERIBIT = load_short_option_rules("deribit_options")
START = np.datetime64("2024-01-01", "ns")
HOUR = np.timedelta64(1, "h")
CALL_RATE, PUT_RATE = (
    ShortRate(0.2, least_of_spot=0.1),
    ShortRate(0.2, 0.05, least_of_strike=0.1, least_of_premium=0.05),
)
EQUITY_LIKE = ShortOptionRules("test", dt.date(2024, 1, 1), "quote", CALL_RATE, CALL_RATE, PUT_RATE, PUT_RATE)


def random_history(rng, bars):
    """A forward and its volatility, hourly; 150% a year, so that accounts do breach."""
    steps = rng.standard_normal((bars, 2)) * [0.016, 0.03]
    close = np.array([100.0, 0.8]) * np.exp(np.cumsum(steps, axis=0))
    opened = np.vstack(([100.0, 0.8], close[:-1]))
    reach = np.exp(np.abs(rng.standard_normal((bars, 2))) * 0.004)
    high, low = np.maximum(opened, close) * reach, np.minimum(opened, close) / reach
    funding = np.zeros((bars, 1))
    funding[::8] = 1e-4
    return MarketHistory(TABLE, START + np.arange(bars) * HOUR, opened, high, low, close, [0], [-1, 0], funding)


def random_pools(rng, history, pools, start):
    """Pools with cash, coins, at most one perpetual and up to four options around the money at their start."""
    perps, rows = rng.integers(0, 2, pools), np.full(pools, 2)
    price = history.open[start, 0]
    held = np.repeat(np.arange(pools), perps)
    balance = np.column_stack((price * rng.lognormal(-0.8, 0.8, pools), rng.lognormal(-2, 1, pools))).ravel()
    names = [f"a{k}" for k in range(pools)]
    book = AccountBook(
        TABLE,
        names,
        ["m"] * pools,
        [""] * pools,
        np.append(0, np.cumsum(rows)),
        np.tile([0, 1], pools),
        balance,
        np.append(0, np.cumsum(perps)),
        np.zeros(len(held), int),
        rng.normal(0, 2, len(held)),
        price[held],
        np.full(len(held), np.nan),
    )
    legs = rng.integers(1, 5, pools)
    holder = np.repeat(np.arange(pools), legs)
    n = len(holder)
    quantity, ratio = rng.normal(0, 2, n), rng.uniform(0.8, 1.3, n)
    strike, right = price[holder] * rng.lognormal(0, 0.15, n), rng.choice([-1, 1], n)
    expiry = START + (start[holder] + rng.integers(1, 500, n)) * HOUR
    contracts = OptionTable([f"o{k}" for k in range(n)], ["BTC"] * n, expiry, strike, right, np.full(n, 0.5))
    held = OptionHoldings(contracts, np.append(0, np.cumsum(legs)), np.arange(n), 2 * quantity)
    return book, held, OptionSeries(np.zeros(n, int), np.ones(n, int), ratio)


def plain_outcome(book, held, series, history, pool, start, horizon):
    """Bar and equity of the first breach of one pool, by the rule, in numpy."""
    one = book.take(np.array([pool]))
    legs = slice(held.pointer[pool], held.pointer[pool + 1])
    rows, size = held.contract[legs], held.units[legs]
    terms = held.contracts
    expiry_bar = ((terms.expiry[rows] - history.times[0]) / HOUR).astype(int)
    strike, right, ratio = terms.strike[rows], terms.right[rows], series.ratio[rows]
    mark = np.concatenate(([np.nan], history.close[:-1, 0]))
    due = np.where(history.funding[:, 0] != 0, history.funding[:, 0] * mark, 0.0)
    for bar in range(start, min(start + horizon, len(history))):
        paid = due[start + 1 : bar + 1].sum() * (one.quantity.sum() if len(one.quantity) else 0.0)
        worst = np.inf
        for prices in (history.low[bar], history.close[bar], history.high[bar]):
            forward, alive = prices[0], bar < expiry_bar
            last = history.close[np.minimum(expiry_bar, len(history)) - 1, 0]
            years = np.where(alive, (expiry_bar - bar - 1) / 8760, 0.0)
            worth = value(np.where(alive, forward, last), strike, years, prices[1] * ratio, right)
            need = EQUITY_LIKE.maintenance(right, strike, forward, worth) - worth
            state = evaluate(one, MarketState(history.times[bar], [forward], [1.0, forward]), RULES)
            equity = state.equity[0] - paid + (size * worth).sum()
            needed = state.maintenance[0] + (np.abs(size) * need)[(size < 0) & alive].sum()
            if equity < needed:
                worst = min(worst, equity)
        if worst < np.inf:
            return bar, worst
    return -1, np.nan


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_blocks_find_what_looking_at_every_bar_finds(seed):
    rng = np.random.default_rng(seed)
    history = random_history(rng, 700)
    start = rng.integers(1, 300, 40)
    book, held, series = random_pools(rng, history, 40, start)
    pyramid = build_pyramid(history)
    fast = option_first_passage(book, held, series, pyramid, RULES, EQUITY_LIKE, start, horizon=400)
    every = option_first_passage(book, held, series, pyramid, RULES, EQUITY_LIKE, start, horizon=400, use_blocks=False)
    threads = option_first_passage(book, held, series, pyramid, RULES, EQUITY_LIKE, start, horizon=400, threads=2)
    for other in (every, threads):
        for column in ("breach_bar", "ended", "equity"):
            assert getattr(fast, column).tobytes() == getattr(other, column).tobytes()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_outcomes_are_those_of_the_rule_written_out(seed):
    rng = np.random.default_rng(seed)
    history = random_history(rng, 200)
    start = rng.integers(1, 60, 12)
    book, held, series = random_pools(rng, history, 12, start)
    outcome = option_first_passage(book, held, series, build_pyramid(history), RULES, EQUITY_LIKE, start, horizon=120)
    assert (outcome.ended == BREACHED).any() and (outcome.ended != BREACHED).any()
    for pool in range(12):
        bar, equity = plain_outcome(book, held, series, history, pool, start[pool], 120)
        assert outcome.breach_bar[pool] == bar
        np.testing.assert_allclose(outcome.equity[pool], equity, rtol=1e-9, atol=1e-9)


def test_without_options_it_is_first_passage():
    rng = np.random.default_rng(5)
    history = random_history(rng, 400)
    start = rng.integers(1, 100, 60)
    book, _, _ = random_pools(rng, history, 60, start)
    contracts = OptionTable((), (), np.zeros(0, "datetime64[ns]"), [], [], [])
    none, nowhere = OptionHoldings(contracts, np.zeros(61, int), [], []), OptionSeries([], [], [])
    pyramid = build_pyramid(history)
    one = option_first_passage(book, none, nowhere, pyramid, RULES, EQUITY_LIKE, start, horizon=200)
    other = first_passage(book, pyramid, RULES, start, horizon=200)
    for column in ("breach_bar", "ended", "equity"):
        assert getattr(one, column).tobytes() == getattr(other, column).tobytes()


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([1.0, -1.0]),
    st.floats(-3, 3).filter(lambda size: abs(size) > 1e-6),
    st.floats(50, 200),
    st.tuples(st.floats(60, 150), st.floats(60, 150)),
    st.tuples(st.floats(0.05, 2), st.floats(0.05, 2)),
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 15)),
)
def test_a_leg_never_falls_below_its_bound(right, size, strike, prices, volatilities, inside):
    low = np.array([min(prices), min(volatilities)])
    high = np.array([max(prices), max(volatilities)])
    add_on = np.array([[0.2, 0.1, 0.0, 0.0], [0.2, 0.05, 0.1, 0.05]])
    legs = OptionLegs(
        np.array([0, 1]),
        np.array([0]),
        np.array([size]),
        np.array([0]),
        np.array([1]),
        np.array([1.1]),
        np.array([strike]),
        np.array([right]),
        np.array([40]),
        add_on,
        1 / 8760,
        1.0,
    )
    at = low + (high - low) * inside[:2]
    found = leg_headroom(legs, 0, 16 + inside[2], at)
    assert found >= leg_bound(legs, 0, 16, 32, low, high) - 1e-9 * abs(size) * (high[0] + strike)


def test_a_missing_volatility_ends_the_label_with_a_gap():
    rng = np.random.default_rng(5)
    history = random_history(rng, 50)
    columns = {name: getattr(history, name).copy() for name in ("open", "high", "low", "close")}
    for column in columns.values():
        column[20, 1] = np.nan
    broken = MarketHistory(TABLE, history.times, **columns, mark_series=[0], index_series=[-1, 0],
                           funding=history.funding)  # fmt: skip
    outcome = option_first_passage(*one_call(1e6), build_pyramid(broken), RULES, DERIBIT, 1, horizon=40)
    assert outcome.ended.tolist() == [GAP] and outcome.breach_bar.tolist() == [20]


def one_call(cash, expiry=START + 48 * HOUR, quantity=-1.0, contract=0, pointer=(0, 1), volatility=1, ratio=1.0):
    book = AccountBook(TABLE, ["a"], ["m"], [""], [0, 1], [0], [cash], [0, 0], [], [], [], [])
    contracts = OptionTable(("C",), ("BTC",), [expiry], [100.0], [1], [1.0])
    held = OptionHoldings(contracts, pointer, [contract], [quantity])
    return book, held, OptionSeries([0], [volatility], [ratio])


def test_exercise_is_paid_at_the_close_before_expiry():
    prices = np.full((60, 2), [100.0, 1e-9])
    prices[47:, 0] = 130.0
    prices[50:, 0] = 50.0
    history = MarketHistory(TABLE, START + np.arange(60) * HOUR, prices, prices, prices, prices, [0], [-1, 0],
                            np.zeros((60, 1)))  # fmt: skip
    call = one_call(30.0 + 130 * 0.075)
    outcome = option_first_passage(*call, build_pyramid(history), RULES, DERIBIT, 1, horizon=59)
    assert outcome.ended.tolist() == [0], "30 is owed and 9.75 held until expiry; afterwards only 30 is owed"
    call = one_call(30.0 + 130 * 0.075 - 0.01)
    outcome = option_first_passage(*call, build_pyramid(history), RULES, DERIBIT, 1, horizon=59)
    assert outcome.breach_bar.tolist() == [47] and outcome.equity[0] == pytest.approx(9.74)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"quantity": 0.0}, "row 0, column quantity: must be a finite number other than zero"),
        ({"quantity": np.nan}, "row 0, column quantity: must be a finite number other than zero"),
        ({"ratio": np.nan}, "row 0, column ratio: must be positive"),
        ({"contract": 1}, "row 0, column contract: unknown contract"),
        ({"volatility": 2}, "row 0, column volatility: is not a series of the history"),
        ({"expiry": START + 90 * np.timedelta64(1, "m")}, "row 0, column expiry: expiry is not the open of a bar"),
        ({"expiry": START + HOUR}, "row 0, column expiry: option has expired at the start"),
        ({"pointer": (0, 1, 1)}, "column pointer: has 2 pools, the book 1"),
    ],
)
def test_what_is_refused(changed, message):
    history = random_history(np.random.default_rng(1), 60)
    with pytest.raises(InputError, match=message):
        option_first_passage(*one_call(100.0, **changed), build_pyramid(history), RULES, DERIBIT, 1, horizon=20)


@pytest.mark.parametrize("long_counts", [True, False])
def test_margin_with_options_is_that_of_the_futures_and_of_each_leg(long_counts):
    rng = np.random.default_rng(8)
    history = random_history(rng, 100)
    book, held, _ = random_pools(rng, history, 20, np.full(20, 50))
    market = history.state_at(50)
    spot, premium = np.full(len(held.contracts), market.mark[0]), rng.uniform(0, 30, len(held.contracts))
    found = evaluate_options(book, held, market, spot, premium, RULES, EQUITY_LIKE, long_counts=long_counts)
    futures = evaluate(book, market, RULES)
    for pool in range(20):
        equity, needed = futures.equity[pool], futures.maintenance[pool]
        for leg in range(held.pointer[pool], held.pointer[pool + 1]):
            row, size = held.contract[leg], held.units[leg]
            if size > 0:
                equity += size * premium[row] * long_counts
                continue
            equity += size * premium[row]
            terms = held.contracts
            whole = EQUITY_LIKE.maintenance(terms.right[row], terms.strike[row], spot[row], premium[row])
            needed += -size * (whole - premium[row])
        np.testing.assert_allclose(found.pools.equity[pool], equity, rtol=1e-12)
        np.testing.assert_allclose(found.pools.maintenance[pool], needed, rtol=1e-12)
        assert (found.pools.stage[pool] >= 3) == (equity < needed)


@pytest.mark.parametrize(
    ("spot", "premium", "message"),
    [
        (np.nan, 1.0, "row 0, column spot: C has no usable spot"),
        (0.0, 1.0, "row 0, column spot: C has no usable spot"),
        (100.0, -1.0, "row 0, column premium: C has no usable premium"),
        (100.0, np.nan, "row 0, column premium: C has no usable premium"),
    ],
)
def test_a_missing_price_is_told_with_its_contract(spot, premium, message):
    book, held, _ = one_call(10.0)
    market = MarketState(START, [100.0], [1.0, 100.0])
    with pytest.raises(InputError, match=message):
        evaluate_options(book, held, market, [spot], [premium], RULES, DERIBIT)
    with pytest.raises(InputError, match="C has expired"):
        evaluate_options(
            book, held, MarketState(START + 50 * HOUR, [100.0], [1.0, 100.0]), [100.0], [1.0], RULES, DERIBIT
        )
