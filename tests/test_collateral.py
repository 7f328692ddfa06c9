"""Collateral: haircuts from volatility, conversion and its age, depegs, wrong-way risk and concentration."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.collateral.concentration import balance_values, concentration
from margincast.riskcore.collateral.conversion import IndexPrices, convert, market_from_indices
from margincast.riskcore.collateral.depeg import depeg, depegged_market, with_haircuts
from margincast.riskcore.collateral.haircut import (
    HaircutRule,
    bounded_haircut,
    haircut_path,
    haircut_schedules,
    volatility_haircut,
    with_limit,
)
from margincast.riskcore.collateral.wrong_way import instrument_deltas, joint_shock, wrong_way_add_on
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

NOW = np.datetime64("2024-01-01T00:01:00", "ns")
SECOND = np.timedelta64(1, "s")
SEEDS = st.integers(0, 2**32 - 1)
SHARES = st.floats(0, 1)
TABLE = InstrumentTable(
    ("BTC", "BTC_C", "BTC_INV"), [LINEAR, LINEAR, INVERSE], [1.0, 1.0, 100.0], [0, 1, 2], ("USDT", "USDC", "BTC")
)
RULES = RuleBook(
    "example",
    dt.date(2024, 1, 1),
    {symbol: RateSchedule.marginal([0.0], [0.01], [50.0]) for symbol in TABLE.symbols},
    {"USDC": HaircutSchedule([0.0], [0.95]), "BTC": HaircutSchedule([0.0], [0.9])},
)
MARKET = MarketState(NOW, [50_000.0, 50_000.0, 50_000.0], [1.0, 1.0, 50_000.0])


def book_of(balances, positions):
    """One pool of {asset: amount} and [(instrument, quantity, entry)]."""
    held, instrument = TABLE.asset_index_of(list(balances)), TABLE.index_of([p[0] for p in positions])
    n, m = len(held), len(instrument)
    quantity, entry = [p[1] for p in positions], [p[2] for p in positions]
    return AccountBook(TABLE, ["a"], ["main"], [""], [0, n], held, list(balances.values()), [0, m], instrument,
                       quantity, entry, [np.nan] * m)  # fmt: skip


def test_a_volatility_haircut_by_hand():
    # 2.33 * 3% * sqrt(10) = 22.1%, and 1% of liquidity cost on top
    rule = HaircutRule(2.33, 10.0, floor=0.02, cap=0.6)
    assert volatility_haircut(0.03, rule, 0.01) == pytest.approx(0.0699 * 10**0.5 + 0.01)
    assert volatility_haircut([0.0, 0.5], rule).tolist() == [0.02, 0.6]


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=30), st.floats(0, 0.05), st.floats(0, 0.2), st.floats(0, 0.2))
def test_the_path_keeps_its_bounds_and_reaches_what_is_wanted(sigma, cost, rise, fall):
    rule = HaircutRule(2.0, 2.0, floor=0.05, cap=0.8, daily_rise=rise, daily_fall=fall)
    path, steps = haircut_path(sigma, rule, cost), np.diff(haircut_path(sigma, rule, cost))
    assert ((path >= 0.05) & (path <= 0.8)).all()
    assert (steps <= rise + 1e-15).all()
    assert (steps >= -fall - 1e-15).all()
    free = replace(rule, daily_rise=np.inf, daily_fall=np.inf)
    assert haircut_path(sigma, free, cost).tolist() == volatility_haircut(sigma, free, cost).tolist()


@given(SHARES, SHARES, st.floats(0, 5), st.floats(0, 5))
def test_two_bounded_steps_are_one_of_both_times(previous, wanted, first, second):
    rule = HaircutRule(1.0, 1.0, daily_rise=0.07, daily_fall=0.02)
    twice = bounded_haircut(bounded_haircut(previous, wanted, rule, first), wanted, rule, second)
    assert twice == pytest.approx(bounded_haircut(previous, wanted, rule, first + second), abs=1e-12)


@given(
    st.floats(0, 1), st.lists(st.tuples(st.floats(1, 1e6), SHARES), max_size=4), st.floats(1, 1e7), st.floats(-1e7, 1e8)
)
def test_schedules_are_the_sum_of_their_slices(first, rows, limit, value):
    floors, steps = np.cumsum([r[0] for r in rows]).tolist(), [r[1] for r in rows]
    made = haircut_schedules(["X", "Y"], [first, 0.0], floors={"X": floors}, steps={"X": steps}, limits={"X": limit})
    edges = [0.0, *floors, np.inf]
    rates = 1 - np.minimum(np.cumsum([first, *steps]), 1.0)
    counted = min(value, limit)
    slices = sum(r * (min(b, counted) - a) for a, b, r in zip(edges, edges[1:], rates, strict=False) if counted > a)
    assert made["X"].collateral_value(value) == pytest.approx(value if value < 0 else slices, rel=1e-9, abs=1e-3)
    assert made["Y"].collateral_value(value) == value


def test_dynamic_haircuts_go_into_a_rulebook():
    rule = HaircutRule(2.0, 4.0)
    made = haircut_schedules(["BTC"], volatility_haircut([0.05], rule), limits={"BTC": 60_000.0})
    book = book_of({"BTC": 2.0}, [])
    # a haircut of 20%, on at most 60,000 of the 100,000
    assert evaluate(book, MARKET, with_haircuts(RULES, made)).equity.tolist() == [48_000.0]
    assert evaluate(book, MARKET, RULES).equity.tolist() == [90_000.0]


def test_conversion_keeps_index_and_age():
    prices = IndexPrices(("USDT", "USDC", "BTC"), [1.0, 0.999, 50_000.0], [NOW, NOW - 3 * SECOND, NOW - 10 * SECOND])
    made = convert(["BTC", "USDC", "USDT"], [2.0, -100.0, 7.0], prices, NOW, 10 * SECOND)
    assert made.value.tolist() == [100_000.0, -99.9, 7.0]
    assert made.age.tolist() == [10.0, 3.0, 0.0]
    assert made.index_time.tolist() == [t.astype(int) for t in (NOW - 10 * SECOND, NOW - 3 * SECOND, NOW)]
    assert (made.base, made.index.tolist()) == ("USDT", [50_000.0, 0.999, 1.0])
    assert market_from_indices(TABLE, MARKET.mark, prices, NOW, 10 * SECOND).index.tolist() == [1.0, 0.999, 50_000.0]


@pytest.mark.parametrize(
    ("assets", "amounts", "at", "problem"),
    [
        (["USDT", "BTC"], [1.0, 1.0], NOW + SECOND, "row 1, column asset: index price is 11 s old, at most 10 s is"),
        (["USDC"], [1.0], NOW - 4 * SECOND, "row 0, column asset: index price is 1 s from the future"),
        (["DAI"], [1.0], NOW, "row 0, column asset: unknown asset; known are USDT, USDC, BTC, ETH"),
        (["ETH"], [1.0], NOW, "row 0, column asset: has no index price"),
        (["BTC"], [np.nan], NOW, "row 0, column amount: must be a finite number"),
        (["BTC"], [1.0, 2.0], NOW, r"column amount: has shape \(2,\), expected \(1,\)"),
        (["BTC"], [1.0], np.datetime64("NaT"), "index price is nan s old"),
    ],
)
def test_conversions_refused(assets, amounts, at, problem):
    time = [NOW, NOW - 3 * SECOND, NOW - 10 * SECOND, np.datetime64("NaT")]
    prices = IndexPrices(("USDT", "USDC", "BTC", "ETH"), [1.0, 0.999, 50_000.0, np.nan], time)
    with pytest.raises(InputError, match=problem):
        convert(assets, amounts, prices, at, 10 * SECOND)


@pytest.mark.parametrize(
    ("price", "time", "problem"),
    [
        ([1.0, -1.0], [NOW, NOW], "row 1, column price: price must be positive"),
        ([0.5, 1.0], [NOW, NOW], "base asset, which is first, must be worth 1"),
        ([1.0, 1.0], [NOW, np.datetime64("NaT")], "row 1, column price: has no time"),
        ([1.0], [NOW], "column price: has shape"),
    ],
)
def test_index_prices_refused(price, time, problem):
    with pytest.raises(InputError, match=problem):
        IndexPrices(("USDT", "BTC"), price, time)


def test_a_depeg_by_hand():
    # 10,000 USDC at 95% and a BTC_C long of 1 from 50,000; USDC loses a fifth, BTC_C doubles nothing: mark 62,500
    book = book_of({"USDC": 10_000.0}, [("BTC_C", 1.0, 50_000.0)])
    result = depeg(book, MARKET, RULES, {"USDC": -0.2})
    assert result.before.equity.tolist() == [9_500.0]
    # (10,000 + 12,500) USDC * 0.8 = 18,000, of which 95%
    assert result.after.equity[0] == pytest.approx(17_100.0)
    assert depeg(book, MARKET, RULES, {"USDC": -0.2}, marks_follow=False).after.equity[0] == pytest.approx(7_600.0)
    reset = depeg(book, MARKET, RULES, {"USDC": -0.2}, haircuts={"USDC": HaircutSchedule([0.0], [0.5])})
    assert reset.after.equity[0] == pytest.approx(9_000.0)
    assert reset.loss[0] == pytest.approx(500.0)


@given(SEEDS, st.floats(-0.9, 1.0), st.floats(-0.9, 1.0))
@settings(max_examples=50)
def test_a_depeg_of_all_assets_alike_changes_nothing_but_the_unit(draw, seed, base, coin):
    market = draw.market(seed)
    table = draw.table
    one = depegged_market(market, table, {"USDT": base, "BTC": coin})
    # what the underlying and the coins are worth in the old base asset, from the new marks told in the new one
    factor = np.array([1 + base, 1 + coin, 1.0, 1.0])
    np.testing.assert_allclose(one.index * (1 + base), market.index * factor, rtol=1e-12)
    linear = table.kind == LINEAR
    np.testing.assert_allclose((one.mark * factor[table.settlement])[linear], market.mark[linear], rtol=1e-12)
    back = depegged_market(one, table, {"USDT": 1 / (1 + base) - 1, "BTC": 1 / (1 + coin) - 1})
    np.testing.assert_allclose(back.mark, market.mark, rtol=1e-9)
    np.testing.assert_allclose(back.index, market.index, rtol=1e-9)


@given(SEEDS)
@settings(max_examples=30)
def test_a_fall_of_collateral_never_helps_who_only_holds_it(draw, seed):
    world = draw.world(seed)
    book = replace(world.book, balance=np.abs(world.book.balance))
    linear = np.zeros(len(book.quantity), bool)
    positions = {
        name: getattr(book, name)[linear] for name in ("position_instrument", "quantity", "entry_price", "leverage")
    }
    book = replace(book, position_pointer=np.zeros(len(book) + 1, int), **positions)
    assert (
        depeg(book, world.market, world.rules, {"USDC": -0.3, "ETH": -0.1}).loss >= -1e-9 * world.gross - 1e-9
    ).all()


def test_wrong_way_by_hand():
    long = book_of({"BTC": 1.0, "USDT": 1_000.0}, [("BTC", 0.4, 50_000.0)])
    correlation, stress = np.zeros((3, 3)), [0.3, 0.3, 0.5]
    correlation[2] = 0.9
    # w = 0.4/0.5; the delta of 20,000 is below the 50,000 held: 0.8 * 0.5 * 20,000
    assert wrong_way_add_on(long, MARKET, correlation, stress)[0] == pytest.approx(8_000.0)
    short = book_of({"BTC": 1.0}, [("BTC", -0.4, 50_000.0)])
    assert wrong_way_add_on(short, MARKET, correlation, stress).tolist() == [0.0]
    # a short and collateral that moves against the coin: wrong-way again
    assert wrong_way_add_on(short, MARKET, -correlation, stress)[0] == pytest.approx(8_000.0)
    large = book_of({"BTC": 1.0}, [("BTC", 4.0, 5e4), ("BTC_C", 4.0, 5e4)])
    assert wrong_way_add_on(large, MARKET, correlation, stress)[0] == pytest.approx(0.5 * 50_000.0)


@given(SEEDS, st.floats(0, 0.9), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=50)
def test_the_add_on_grows_with_correlation_and_never_exceeds_the_stress(draw, seed, threshold, one, other):
    world = draw.world(seed)
    shape = (len(world.market.index), len(world.market.mark))
    stress = np.array([0.1, 0.5, 0.4, 0.05])
    low, high = (wrong_way_add_on(world.book, world.market, np.full(shape, rho), stress, threshold=threshold)
                 for rho in sorted((one, other)))  # fmt: skip
    held = np.maximum(balance_values(world.book, world.market), 0.0)[:, 1:]
    assert (low >= 0).all()
    assert (low <= high + 1e-9).all()
    assert (high <= held @ stress[1:] * (1 + 1e-12)).all()
    assert (
        wrong_way_add_on(world.book, world.market, np.full(shape, threshold), stress, threshold=threshold) == 0
    ).all()


@given(SEEDS)
@settings(max_examples=30)
def test_deltas_are_the_slope_of_profit(draw, seed):
    world = draw.world(seed)
    step = 1e-6
    delta = instrument_deltas(world.book, world.market)
    flat = replace(world.rules, haircuts={a: HaircutSchedule([0], [1.0]) for a in world.book.instruments.assets})
    for i in range(6):
        mark = world.market.mark * (1 + step * (np.arange(6) == i))
        moved = evaluate(world.book, replace(world.market, mark=mark), flat).equity
        rise = (moved - evaluate(world.book, world.market, flat).equity) / step
        assert (np.abs(rise - delta[:, i]) <= 1e-4 * world.gross + 1e-6).all()


def test_a_joint_stress_is_worse_than_an_independent_one():
    book = book_of({"BTC": 1.0}, [("BTC", 0.5, 50_000.0)])
    correlation, sigma, driver = np.zeros((3, 3)), [0.0, 0.0, 0.6], [0.6, 0.6, 0.6]
    alone = joint_shock(MARKET, [-0.3] * 3, correlation, sigma, driver)
    correlation[2, 0] = 1.0
    joint = joint_shock(MARKET, [-0.3] * 3, correlation, sigma, driver)
    # the position loses 7,500 either way; the coin, 90% of it counted, loses 30% only in the joint stress
    assert evaluate(book, alone, RULES).equity[0] == pytest.approx(45_000 - 7_500)
    assert evaluate(book, joint, RULES).equity[0] == pytest.approx(0.7 * 45_000 - 7_500)


@given(
    st.lists(st.lists(st.floats(0, 1e6), min_size=3, max_size=3), min_size=1, max_size=4),
    st.lists(st.integers(1, 8).map(lambda eighths: eighths / 8), min_size=3, max_size=3),
)
def test_concentration_is_the_greatest_fixed_point(values, limit):
    found = concentration(values, limit)
    held, limit = np.array(values), np.array(limit)
    total = held.sum(axis=1, keepdims=True)
    for _ in range(300):
        total = np.minimum(held, limit * total).sum(axis=1, keepdims=True)
    scale = held.sum(axis=1, keepdims=True) + 1e-300
    assert (np.abs(found.counted - np.minimum(held, limit * total)) <= 1e-6 * scale).all()
    assert (found.counted <= limit * found.counted.sum(axis=1, keepdims=True) + 1e-9 * scale).all()
    assert (found.breached == (found.counted < held)).all()


def test_bad_limits():
    with pytest.raises(InputError, match="row 1, column share_limit"):
        concentration([[1.0, 1.0]], [0.5, 0.0])
    with pytest.raises(InputError, match="row 0, column values"):
        concentration([[1.0, np.nan]], [0.5, 0.5])
    with pytest.raises(InputError, match="share_limit"):
        concentration([[1.0, 1.0]], [0.5])


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: HaircutRule(-1.0, 1.0), "quantile_multiple"),
        (lambda: HaircutRule(1.0, np.inf), "liquidation_days"),
        (lambda: HaircutRule(1.0, 1.0, floor=0.5, cap=0.4), "floor"),
        (lambda: HaircutRule(1.0, 1.0, daily_rise=np.nan), "daily_rise"),
        (lambda: volatility_haircut([0.1, -0.1], HaircutRule(1.0, 1.0)), "row 1, column volatility"),
        (lambda: volatility_haircut(0.1, HaircutRule(1.0, 1.0), np.nan), "row 0, column liquidity"),
        (lambda: bounded_haircut(0.1, 1.2, HaircutRule(1.0, 1.0)), "row 0, column wanted"),
        (lambda: bounded_haircut(0.1, 0.2, HaircutRule(1.0, 1.0), -1.0), "column days"),
        (lambda: haircut_schedules(["X"], [1.5]), "row 0, column haircut"),
        (lambda: haircut_schedules(["X"], [0.5, 0.1]), "column haircut"),
        (lambda: haircut_schedules(["X"], [0.5], limits={"Y": 1.0}), "column limits"),
        (lambda: haircut_schedules(["X"], [0.5], floors={"X": [1.0]}), "column steps"),
        (lambda: haircut_schedules(["X"], [0.5], floors={"X": [1.0]}, steps={"X": [-0.1]}), "column steps X"),
        (lambda: haircut_schedules(["X"], [0.5], floors={"X": [0.0]}, steps={"X": [0.1]}), "floors must rise"),
        (lambda: with_limit(HaircutSchedule([0.0], [1.0]), np.inf), "column limit"),
        (lambda: depegged_market(MARKET, TABLE, {"DAI": -0.1}), "row 0, column asset"),
        (lambda: depegged_market(MARKET, TABLE, {"USDC": -1.0}), "column moves USDC"),
        (lambda: joint_shock(MARKET, [-1.0] * 3, np.zeros((3, 3)), [0] * 3, [1] * 3), "row 0, column moves"),
        (lambda: joint_shock(MARKET, [0.0] * 3, np.zeros((3, 2)), [0] * 3, [1] * 3), "column correlation"),
        (lambda: joint_shock(MARKET, [0.0] * 3, np.zeros((3, 3)), [0] * 3, [0] * 3), "driver_volatility"),
        (lambda: wrong_way_add_on(book_of({}, []), MARKET, np.full((3, 3), 2.0), [0] * 3), "column correlation"),
        (lambda: wrong_way_add_on(book_of({}, []), MARKET, np.zeros((3, 3)), [2] * 3), "column stress"),
        (lambda: wrong_way_add_on(book_of({}, []), MARKET, np.zeros((3, 3)), [0] * 3, threshold=1.0), "threshold"),
    ],
)  # fmt: skip
def test_bad_input_is_named(make, problem):
    with pytest.raises(InputError, match=problem):
        make()
