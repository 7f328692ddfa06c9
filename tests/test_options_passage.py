"""First passage of pools that hold options: blocks against every bar, and against the rule written out."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.first_passage import BREACHED, GAP, first_passage
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketHistory, MarketState
from margincast.riskcore.options.black76 import value
from margincast.riskcore.options.passage import DERIBIT_ADD_ON, OptionPositions, option_first_passage
from margincast.riskcore.options.passage_kernel import OptionLegs, leg_bound, leg_headroom
from margincast.riskcore.price_pyramid import build_pyramid
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

TABLE = InstrumentTable.linear_perpetuals(["BTC"], collateral=["BTC"])
RULES = RuleBook(
    "test",
    dt.date(2024, 1, 1),
    {"BTC": RateSchedule.marginal([0.0, 500.0], [0.01, 0.05], [50, 10])},
    {"BTC": HaircutSchedule([0.0], [0.9])},
)
START = np.datetime64("2024-01-01", "ns")
HOUR = np.timedelta64(1, "h")
EQUITY_LIKE = {"call": (0.2, 0.1, 0.0), "put": (0.2, 0.1, 0.05)}


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
    options = OptionPositions(
        np.append(0, np.cumsum(legs)),
        np.arange(n),
        rng.normal(0, 2, n),
        np.zeros(n, int),
        np.ones(n, int),
        rng.uniform(0.8, 1.3, n),
        price[holder] * rng.lognormal(0, 0.15, n),
        rng.choice([-1, 1], n),
        START + (start[holder] + rng.integers(1, 500, n)) * HOUR,
        EQUITY_LIKE,
    )
    return book, options


def plain_outcome(book, options, history, pool, start, horizon):
    """Bar and equity of the first breach of one pool, by the rule, in numpy."""
    one = book.take(np.array([pool]))
    legs = slice(options.pointer[pool], options.pointer[pool + 1])
    contract, size = options.contract[legs], options.quantity[legs]
    expiry_bar = ((options.expiry[contract] - history.times[0]) / HOUR).astype(int)
    mark = np.concatenate(([np.nan], history.close[:-1, 0]))
    due = np.where(history.funding[:, 0] != 0, history.funding[:, 0] * mark, 0.0)
    for bar in range(start, min(start + horizon, len(history))):
        paid = due[start + 1 : bar + 1].sum() * (one.quantity.sum() if len(one.quantity) else 0.0)
        worst = np.inf
        for prices in (history.low[bar], history.close[bar], history.high[bar]):
            forward = prices[0]
            last = history.close[np.minimum(expiry_bar, len(history)) - 1, 0]
            alive = bar < expiry_bar
            years = np.where(alive, (expiry_bar - bar - 1) / 8760, 0.0)
            strike, right = options.strike[contract], options.right[contract]
            worth = value(
                np.where(alive, forward, last), strike, years, prices[1] * options.volatility_ratio[contract], right
            )
            rates = np.array([options.add_on["call"], options.add_on["put"]])[np.where(right == 1, 0, 1)]
            out = np.maximum(right * (strike - forward), 0)
            asked = np.max([rates[:, 0] * forward - out, rates[:, 1] * forward, rates[:, 2] * worth], axis=0)
            state = evaluate(one, MarketState(history.times[bar], [forward], [1.0, forward]), RULES)
            equity = state.equity[0] - paid + (size * worth).sum()
            needed = state.maintenance[0] + (np.abs(size) * asked)[(size < 0) & alive].sum()
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
    book, options = random_pools(rng, history, 40, start)
    pyramid = build_pyramid(history)
    fast = option_first_passage(book, options, pyramid, RULES, start, horizon=400)
    every = option_first_passage(book, options, pyramid, RULES, start, horizon=400, use_blocks=False)
    threads = option_first_passage(book, options, pyramid, RULES, start, horizon=400, threads=2)
    for other in (every, threads):
        for column in ("breach_bar", "ended", "equity"):
            assert getattr(fast, column).tobytes() == getattr(other, column).tobytes()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_outcomes_are_those_of_the_rule_written_out(seed):
    rng = np.random.default_rng(seed)
    history = random_history(rng, 200)
    start = rng.integers(1, 60, 12)
    book, options = random_pools(rng, history, 12, start)
    outcome = option_first_passage(book, options, build_pyramid(history), RULES, start, horizon=120)
    assert (outcome.ended == BREACHED).any() and (outcome.ended != BREACHED).any()
    for pool in range(12):
        bar, equity = plain_outcome(book, options, history, pool, start[pool], 120)
        assert outcome.breach_bar[pool] == bar
        np.testing.assert_allclose(outcome.equity[pool], equity, rtol=1e-9, atol=1e-9)


def test_without_options_it_is_first_passage():
    rng = np.random.default_rng(5)
    history = random_history(rng, 400)
    start = rng.integers(1, 100, 60)
    book, _ = random_pools(rng, history, 60, start)
    none = OptionPositions(np.zeros(61, int), [], [], [], [], [], [], [], np.zeros(0, "datetime64[ns]"))
    pyramid = build_pyramid(history)
    one = option_first_passage(book, none, pyramid, RULES, start, horizon=200)
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
    add_on = np.array([EQUITY_LIKE["call"], EQUITY_LIKE["put"]])
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
    book, options = one_call(1e6)
    outcome = option_first_passage(book, options, build_pyramid(broken), RULES, 1, horizon=40)
    assert outcome.ended.tolist() == [GAP] and outcome.breach_bar.tolist() == [20]


def one_call(cash, **changed):
    book = AccountBook(TABLE, ["a"], ["m"], [""], [0, 1], [0], [cash], [0, 0], [], [], [], [])
    given = {
        "pointer": [0, 1],
        "contract": [0],
        "quantity": [-1.0],
        "price_series": [0],
        "volatility_series": [1],
        "volatility_ratio": [1.0],
        "strike": [100.0],
        "right": [1],
        "expiry": [START + 48 * HOUR],
    } | changed
    return book, OptionPositions(**given)


def test_exercise_is_paid_at_the_close_before_expiry():
    prices = np.full((60, 2), [100.0, 1e-9])
    prices[47:, 0] = 130.0
    prices[50:, 0] = 50.0
    history = MarketHistory(TABLE, START + np.arange(60) * HOUR, prices, prices, prices, prices, [0], [-1, 0],
                            np.zeros((60, 1)))  # fmt: skip
    book, options = one_call(30.0 + 130 * 0.075)
    outcome = option_first_passage(book, options, build_pyramid(history), RULES, 1, horizon=59)
    assert outcome.ended.tolist() == [0], "30 is owed and 9.75 held until expiry; afterwards only 30 is owed"
    book, options = one_call(30.0 + 130 * 0.075 - 0.01)
    outcome = option_first_passage(book, options, build_pyramid(history), RULES, 1, horizon=59)
    assert outcome.breach_bar.tolist() == [47] and outcome.equity[0] == pytest.approx(9.74)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"quantity": [0.0]}, "row 0, column quantity: must not be zero"),
        ({"quantity": [np.nan]}, "row 0, column quantity: must not be zero"),
        ({"strike": [-1.0]}, "row 0, column strike: must be positive"),
        ({"volatility_ratio": [np.nan]}, "row 0, column volatility_ratio: must be positive"),
        ({"right": [0]}, "row 0, column right: must be 1 \\(call\\) or -1 \\(put\\)"),
        ({"contract": [1]}, "row 0, column contract: unknown contract"),
        ({"volatility_series": [2]}, "row 0, column volatility_series: is not a series of the history"),
        ({"expiry": [START + 90 * np.timedelta64(1, "m")]}, "row 0, column expiry: expiry is not the open of a bar"),
        ({"expiry": [START + HOUR]}, "row 0, column expiry: option has expired at the start"),
        ({"pointer": [0, 1, 1]}, "column pointer: has 2 pools, the book 1"),
    ],
)
def test_what_is_refused(changed, message):
    history = random_history(np.random.default_rng(1), 60)
    with pytest.raises(InputError, match=message):
        book, options = one_call(100.0, **changed)
        option_first_passage(book, options, build_pyramid(history), RULES, 1, horizon=20)


def test_deribit_asks_a_put_for_a_share_of_its_value():
    """VENUES.md: short put, max(0.075, 0.075 * mark) + mark, in coin; here in the quote currency."""
    assert DERIBIT_ADD_ON == {"call": (0.0, 0.075, 0.0), "put": (0.0, 0.075, 0.075)}
