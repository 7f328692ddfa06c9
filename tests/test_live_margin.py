"""A book marked tick by tick is the book marked in whole, bit for bit."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.live_margin import LiveMargin
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

TABLE = InstrumentTable(
    ("BTC", "ETH", "COIN"), [LINEAR, LINEAR, INVERSE], [1.0, 0.1, 100.0], [0, 0, 1], ("USDT", "BTC")
)
FLOORS, RATES, LEVERAGE = [0.0, 1_000.0, 20_000.0], [0.005, 0.02, 0.1], [100, 25, 5]
RULES = RuleBook(
    "test",
    dt.date(2024, 1, 1),
    {
        "BTC": RateSchedule.marginal(FLOORS, RATES, LEVERAGE),
        "ETH": RateSchedule.cliff(FLOORS, RATES, LEVERAGE),
        "COIN": RateSchedule.marginal([0.0, 0.5], [0.01, 0.05], [50, 10]),
    },
    {"BTC": HaircutSchedule([0.0, 5_000.0], [0.95, 0.8])},
)
START = np.array([30_000.0, 2_000.0, 29_900.0])


def market(mark: np.ndarray) -> MarketState:
    return MarketState(np.datetime64("2024-01-01"), mark, np.array([1.0, 30_000.0]))


def random_book(seed: int, pools: int) -> AccountBook:
    rng = np.random.default_rng(seed)
    legs, rows = rng.integers(0, 5, pools), rng.integers(1, 3, pools)
    instrument = rng.integers(0, 3, legs.sum())
    quantity = rng.lognormal(-1, 2, legs.sum()) * rng.choice([-1, 1], legs.sum())
    return AccountBook(
        TABLE,
        [f"a{k}" for k in range(pools)],
        ["main"] * pools,
        [""] * pools,
        np.append(0, np.cumsum(rows)),
        np.concatenate([np.arange(r) for r in rows]),
        rng.lognormal(1, 3, rows.sum()),
        np.append(0, np.cumsum(legs)),
        instrument,
        quantity,
        START[instrument] * rng.lognormal(0, 0.1, legs.sum()),
        np.full(legs.sum(), np.nan),
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, 2), st.floats(0.01, 100.0)), min_size=1, max_size=8),
)
def test_ticks_are_the_whole_pass_bit_for_bit(seed, pools, moves):
    book, mark = random_book(seed, pools), START.copy()
    live = LiveMargin(book, market(mark), RULES)
    for instrument, factor in moves:
        mark[instrument] = START[instrument] * factor
        touched = live.tick(instrument, mark[instrument])
        whole = evaluate(book, market(mark), RULES)
        assert live.equity.tobytes() == whole.equity.tobytes()
        assert live.maintenance.tobytes() == whole.maintenance.tobytes()
        pool = np.repeat(np.arange(pools), np.diff(book.position_pointer))
        assert sorted(touched.tolist()) == sorted(set(pool[book.position_instrument == instrument].tolist()))


def test_marking_in_whole_after_ticks_takes_the_new_prices():
    book = random_book(3, 30)
    live = LiveMargin(book, market(START), RULES)
    live.tick(0, 1.0)
    live.mark(market(START))
    assert live.equity.tobytes() == evaluate(book, market(START), RULES).equity.tobytes()


@pytest.mark.parametrize("price", [0.0, -1.0, np.nan, np.inf])
def test_a_price_that_is_not_positive_is_refused_and_changes_nothing(price):
    live = LiveMargin(random_book(3, 30), market(START), RULES)
    before = live.equity.copy()
    with pytest.raises(InputError, match="price must be positive"):
        live.tick(0, price)
    assert live.equity.tobytes() == before.tobytes()


@pytest.mark.parametrize("instrument", [-1, 3])
def test_an_unknown_instrument_is_refused(instrument):
    live = LiveMargin(random_book(3, 30), market(START), RULES)
    with pytest.raises(InputError, match="unknown instrument position"):
        live.tick(instrument, 1.0)
