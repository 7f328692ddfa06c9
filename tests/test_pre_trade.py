"""Fills, order previews and the largest order: by hand, and against brute force over sizes."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.asset_totals import asset_totals
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.largest_order import largest_order
from margincast.riskcore.margin import Stage, evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.open_orders import OpenOrders
from margincast.riskcore.pre_trade import Orders, Refusal, net_quantity, preview_orders, resting_reserve
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook
from margincast.riskcore.what_if import with_fill, with_transfer

SEEDS = st.integers(0, 2**32 - 1)
TABLE = InstrumentTable.linear_perpetuals(["BTC", "ETH"])
TIERS = RateSchedule.marginal([0.0, 10_000.0, 50_000.0], [0.01, 0.02, 0.05], [20.0, 10.0, 5.0])
RULES = RuleBook("example", dt.date(2024, 1, 1), {"BTC": TIERS, "ETH": TIERS}, reduce_only_ratio=0.9)
MARKET = MarketState(np.datetime64("2024-01-01"), [100.0, 10.0], [1.0])


def book_of(cash, *positions, isolated=""):
    """One pool of cash and [(instrument, quantity, entry)]."""
    instrument, quantity, entry = zip(*positions, strict=True) if positions else ((), (), ())
    n = len(positions)
    return AccountBook(TABLE, ["a"], ["m"], [isolated], [0, 1], [0], [cash], [0, n], instrument, quantity, entry,
                       [np.nan] * n)  # fmt: skip


def fills(world, seed):
    """An order a pool, of about the size of what there is; some pools do nothing."""
    rng = np.random.default_rng(seed)
    n = len(world.book)
    instrument = rng.integers(0, 6, n)
    mark = world.market.mark[instrument]
    inverse = world.book.instruments.kind[instrument] == 1
    size = rng.lognormal(9.5, 1.5, n) / world.book.instruments.multiplier[instrument] / np.where(inverse, 1.0, mark)
    return instrument, size * rng.choice([-1, 0, 1], n), mark * np.exp(rng.normal(0, 0.01, n))


@given(SEEDS, st.booleans())
@settings(max_examples=60)
def test_a_fill_changes_each_total_by_the_fee_and_the_distance_to_the_mark(draw, seed, netting):
    world = draw.world(seed)
    table, (instrument, quantity, price) = world.book.instruments, fills(world, seed)
    after = with_fill(world.book, instrument, quantity, price, fee_rate=0.001, netting=netting)
    mark, size = world.market.mark[instrument], quantity * table.multiplier[instrument]
    inverse = table.kind[instrument] == 1
    won = np.where(inverse, size * (1 / price - 1 / mark), size * (mark - price))
    fee = 0.001 * np.abs(size) * np.where(inverse, 1 / price, price)
    expected = asset_totals(world.book, world.market)
    expected[np.arange(len(expected)), table.settlement[instrument]] += won - fee
    gross = world.gross[:, None] + np.abs(size * np.where(inverse, 1, price))[:, None]
    found = asset_totals(after, world.market)
    assert (np.abs(found - expected) * world.market.index <= 1e-10 * gross).all()
    for place in range(6):
        step = np.where(instrument == place, quantity, 0.0)
        net = net_quantity(world.book, place) + step
        scale = np.abs(net_quantity(replace(world.book, quantity=np.abs(world.book.quantity)), place)) + np.abs(step)
        assert (np.abs(net_quantity(after, place) - net) <= 1e-12 * scale).all()


@given(SEEDS)
@settings(max_examples=30)
def test_a_round_trip_costs_only_fees(draw, seed):
    world = draw.world(seed, pools=8)
    instrument, quantity, price = fills(world, seed)
    there = with_fill(world.book, instrument, quantity, price)
    back = with_fill(there, instrument, -quantity, price)
    np.testing.assert_allclose(
        asset_totals(back, world.market) * world.market.index,
        asset_totals(world.book, world.market) * world.market.index,
        atol=1e-9 * float(world.gross.max() + 1e6),
    )


def test_a_fill_by_hand():
    # long 3 at 90 and short 1 at 110: selling 5 at 100 closes 3 (+30), joins 2 to the short: entry (110 + 200)/3
    after = with_fill(book_of(1000.0, (0, 3.0, 90.0), (0, -1.0, 110.0)), 0, -5.0, 100.0, fee_rate=0.01, leverage=4.0)
    assert after.quantity.tolist() == [-3.0]
    assert after.entry_price.tolist() == [pytest.approx(310 / 3)]
    assert after.leverage.tolist() == [4.0]
    assert after.balance.tolist() == [1000.0, pytest.approx(30.0 - 5.0)]
    hedge = with_fill(book_of(1000.0, (0, 3.0, 90.0)), 0, -5.0, 100.0, netting=False)
    assert hedge.quantity.tolist() == [3.0, -5.0]
    # inverse: 100 at 50 and 100 at 100 are 200 at the harmonic mean 66.67
    coin = InstrumentTable(("INV",), [1], [1.0], [1], ("USDT", "BTC"))
    book = AccountBook(coin, ["a"], ["m"], [""], [0, 0], [], [], [0, 1], [0], [100.0], [50.0], [np.nan])
    assert with_fill(book, 0, 100.0, 100.0).entry_price.tolist() == [pytest.approx(200 / 3)]
    assert with_fill(book, 0, -100.0, 100.0).balance.tolist() == [pytest.approx(1.0)]


def test_previews_by_hand():
    cash = book_of(1000.0)
    # a notional of 9,000 at 20x needs 450; of 12,000 is in the second tier and needs 1,200
    taken = preview_orders(cash, MARKET, RULES, Orders(0, 90.0, 100.0))
    assert (taken.after.initial[0], taken.available[0], taken.reason(0)) == (450.0, 550.0, "")
    refused = preview_orders(cash, MARKET, RULES, Orders(0, 120.0, 100.0))
    assert refused.reason(0) == "insufficient margin: 200 short of initial margin"
    # bought 10 above the mark, with a fee of 1%: 900 lost, 99 paid, 1 left for 450
    assert preview_orders(cash, MARKET, RULES, Orders(0, 90.0, 110.0, 0.01)).available[0] == pytest.approx(-449.0)
    assert preview_orders(cash, MARKET, RULES, Orders(0, 90.0, 100.0, leverage=5.0)).reason(0) != ""
    assert preview_orders(cash, MARKET, RULES, Orders(0, 90.0, 100.0), reserve=600.0).reason(0) != ""
    long = book_of(100.0, (0, 10.0, 100.0))
    assert preview_orders(long, MARKET, RULES, Orders(0, -11.0, 100.0, reduce_only=True)).refusal[0] == 1
    assert preview_orders(long, MARKET, RULES, Orders(0, -10.0, 100.0, reduce_only=True)).reason(0) == ""
    capped = replace(RULES, schedules={"BTC": replace(TIERS, limit=60_000.0)})
    above = preview_orders(book_of(1e6), MARKET, capped, Orders(0, 601.0, 100.0))
    assert above.reason(0) == "above position limit"
    assert preview_orders(book_of(1e6), MARKET, capped, Orders(0, 600.0, 100.0)).reason(0) == ""


def test_a_pool_that_may_only_reduce():
    # maintenance 10 of an equity of 10.5: above nine tenths
    low = book_of(10.5, (0, 10.0, 100.0))
    assert evaluate(low, MARKET, RULES).stage.tolist() == [Stage.REDUCE_ONLY]
    assert preview_orders(low, MARKET, RULES, Orders(1, 0.1, 10.0)).refusal[0] == Refusal.POOL_MAY_ONLY_REDUCE
    assert preview_orders(low, MARKET, RULES, Orders(0, -5.0, 100.0)).reason(0) == ""
    assert largest_order(low, MARKET, RULES, 0, "BTC", -1, 100.0) == -10.0
    assert largest_order(low, MARKET, RULES, 0, "BTC", 1, 100.0) == 0.0


def test_resting_orders_count_the_worse_side():
    long = book_of(1000.0, (0, 10.0, 100.0))
    # bids for 20 need 100 more; an ask for 30 leaves a short of 20, which needs 50 more
    arguments = [0, 0], [0, 0], [20.0, -30.0], [90.0, 120.0]
    assert resting_reserve(long, MARKET, RULES, OpenOrders(*arguments)).tolist() == [pytest.approx(100.0)]
    assert resting_reserve(long, MARKET, RULES, OpenOrders([0], [0], [-30.0], [120.0])).tolist() == [
        pytest.approx(50.0)
    ]
    # a bid above the mark loses the difference at once: 20 * 10, and an order in another instrument adds
    both = resting_reserve(long, MARKET, RULES, OpenOrders([0, 0], [0, 1], [20.0, 100.0], [110.0, 10.0]), fee_rate=0.01)
    assert both.tolist() == [pytest.approx(100.0 + 200.0 + 22.0 + 50.0 + 10.0)]
    for pool, instrument, size, price, problem in (
        (1, 0, 1.0, 1.0, "row 0, column pool"),
        (0, 9, 1.0, 1.0, "row 0, column instrument"),
        (0, 0, 0.0, 1.0, "row 0, column quantity"),
        (0, 0, 1.0, np.nan, "row 0, column price"),
    ):
        with pytest.raises(InputError, match=problem):
            resting_reserve(long, MARKET, RULES, OpenOrders([pool], [instrument], [size], [price]))


@given(SEEDS, st.integers(0, 3), st.integers(0, 5), st.sampled_from([1, -1]), st.floats(-0.02, 0.02),
       st.sampled_from([0.0, 0.0005]))  # fmt: skip
@settings(max_examples=100)
def test_the_largest_order_is_taken_and_no_larger_one_is(draw, seed, pool, place, side, away, fee):
    world = draw.world(seed, pools=4, kinds=("marginal", "cliff", "rounded"))
    book, market, rules = world.book, world.market, world.rules
    symbol, price = book.instruments.symbols[place], float(market.mark[place]) * (1 + away)
    if place > 0 and symbol in rules.schedules:
        limited = replace(rules.schedules[symbol], limit=rules.schedules[symbol].floors[-1] * 3 + 1e4)
        rules = replace(rules, schedules={**rules.schedules, symbol: limited})
    found = largest_order(book, market, rules, pool, symbol, side, price, fee_rate=fee)
    one = book.take(np.array([pool]))
    assert found * side >= 0
    if np.isinf(found):
        sizes = np.array([1e6, 1e9])
    else:
        unit = (world.gross[pool] + 1.0) / price / book.instruments.multiplier[place]
        first = max(abs(found) * (1 + 1e-9), 1e-9 * unit)
        sizes = first * np.concatenate(([1.0], 1 + np.logspace(-8, 3, 60)))
    copies = one.take(np.zeros(len(sizes), np.int64))
    beyond = preview_orders(copies, market, rules, Orders(place, side * sizes, price, fee))
    reduces = (beyond.refusal == Refusal.NONE) & (beyond.available < 0)
    if np.isinf(found):
        assert (beyond.refusal == Refusal.NONE).all()
        return
    scale = world.gross[pool] + sizes * price * book.instruments.multiplier[place]
    assert ((beyond.refusal != Refusal.NONE) | reduces | (beyond.available < 1e-9 * scale)).all()
    if found:
        assert preview_orders(one, market, rules, Orders(place, found, price, fee)).refusal[0] == Refusal.NONE


@given(SEEDS, st.sampled_from([1, -1]))
@settings(max_examples=40)
def test_lots_are_found_as_by_trying_all(draw, seed, side):
    rng = np.random.default_rng(seed)
    floors = np.append(0.0, np.cumsum(rng.uniform(500, 4000, 3)))
    tiers = RateSchedule.cliff(floors, np.sort(rng.uniform(0.005, 0.05, 4)), np.sort(rng.uniform(3, 20, 4))[::-1])
    rules = replace(
        RULES, schedules={"BTC": tiers, "ETH": tiers}, haircuts={"USDT": HaircutSchedule([0, 300], [1, 0.8])}
    )
    book = book_of(float(rng.uniform(50, 1500)), (0, float(rng.normal(0, 10)), 95.0), (1, 20.0, 9.0))
    price = float(rng.uniform(97, 103))
    found = largest_order(book, MARKET, rules, 0, "BTC", side, price, fee_rate=0.001, lot=0.5)
    sizes = np.arange(0, 600) * 0.5
    tried = preview_orders(book.take(np.zeros(600, int)), MARKET, rules, Orders(0, side * sizes, price, 0.001))
    assert abs(found) == sizes[tried.refusal == Refusal.NONE].max()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: with_fill(book_of(1.0), 2, 1.0, 1.0), "row 0, column instrument: unknown instrument"),
        (lambda: with_fill(book_of(1.0), 0, np.inf, 1.0), "row 0, column quantity"),
        (lambda: with_fill(book_of(1.0), 0, 1.0, 0.0), "row 0, column price"),
        (lambda: with_fill(book_of(1.0), 0, 1.0, np.nan), "row 0, column price"),
        (lambda: with_fill(book_of(1.0), 0, 1.0, 1.0, fee_rate=np.nan), "row 0, column fee_rate"),
        (lambda: with_fill(book_of(1.0), 0, 1.0, 1.0, leverage=-1.0), "row 0, column leverage"),
        (lambda: with_fill(book_of(1.0, isolated="ETH"), 0, 1.0, 1.0), "not the instrument of the isolated pool"),
        (lambda: with_transfer(book_of(1.0), 0, 1, 0, 1.0), "row 0, column target"),
        (lambda: with_transfer(book_of(1.0), 0, 0, 3, 1.0), "row 0, column asset"),
        (lambda: with_transfer(book_of(1.0), 0, 0, 0, -1.0), "row 0, column amount"),
        (lambda: largest_order(book_of(1.0), MARKET, RULES, 0, "BTC", 2, 100.0), "column side"),
        (lambda: largest_order(book_of(1.0), MARKET, RULES, 0, "BTC", 1, 100.0, lot=-1.0), "column lot"),
        (lambda: largest_order(book_of(1.0), MARKET, RULES, 1, "BTC", 1, 100.0), "column pool"),
        (lambda: largest_order(book_of(1.0), MARKET, RULES, 0, "XRP", 1, 100.0), "column symbol"),
        (lambda: largest_order(book_of(1.0), MARKET, replace(RULES, schedules={}), 0, "BTC", 1, 100.0), "tier table"),
    ],
)
def test_bad_input_is_named(make, problem):
    with pytest.raises(InputError, match=problem):
        make()
