"""The ladder of liquidation prices: each rung is where the core's own check flips, and the totals are the book's."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.features.accounts.book_crowding import book_crowding
from margincast.features.accounts.headroom_search import seen_pools
from margincast.features.accounts.ladder import parallel_ladder, price_ladder
from margincast.features.accounts.ladder_features import (
    cascade_pressure,
    forced_over,
    ladder_declarations,
    nearest_cluster,
    signed_moves,
)
from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.arrays import group_sums
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import linearise_at
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import Stage, evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import RateSchedule, RuleBook

SEEDS = st.integers(0, 2**20)
NAN = np.nan


def breached(book, market, rules):
    return evaluate(book, market, rules).stage >= Stage.LIQUIDATION


def flips(book, rules, near, far, pool):
    """Whether the pool is in breach at one market and not at the other."""
    one = book.take(np.array([pool]))
    return bool(breached(one, near, rules)[0]) != bool(breached(one, far, rules)[0])


@given(SEEDS)
@settings(max_examples=25)
def test_each_rung_of_the_price_ladder_is_where_the_core_flips(draw, seed):
    world = draw.world(seed, pools=15)
    rules = replace(world.rules, maintenance_at="price")
    ladder = price_ladder(world.book, world.market, rules)
    already = breached(world.book, world.market, rules)
    assert (ladder.move[already[ladder.pool]] == 0).all()
    for entry in np.flatnonzero(ladder.has_rung & ~already[ladder.pool]):
        i = ladder.instrument[entry]
        near, far = (world.market.mark.copy() for _ in range(2))
        near[i], far[i] = ladder.price[entry] * (1 - 1e-7), ladder.price[entry] * (1 + 1e-7)
        states = [MarketState(world.market.time, mark, world.market.index) for mark in (near, far)]
        assert flips(world.book, rules, *states, ladder.pool[entry])


def snapshot(draw, seed, pools=15, bar=5):
    """A book seen at the close of a bar of a history, with what the exact searches need."""
    history, book, rules = draw.history(seed, 8), draw.book(seed, pools, leverage=4.0), draw.rules(seed)
    bars = np.full(pools, bar)
    seen, exposure = seen_pools(book, bars, history, rules), linearise_at(book, bars, history, rules)
    return history, book, rules, history.state_at(bar), seen, exposure


def moved(history, market, move):
    """All prices moved, coins held as collateral with the mark they follow."""
    moves = history.index_series >= 0
    return MarketState(market.time, market.mark * (1 + move), market.index * np.where(moves, 1 + move, 1.0))


@given(SEEDS)
@settings(max_examples=25)
def test_each_rung_of_the_parallel_ladder_is_where_the_core_flips(draw, seed):
    history, book, rules, market, seen, exposure = snapshot(draw, seed)
    ladder = parallel_ladder(book, market, rules, seen, exposure)
    already = breached(book, market, rules)
    move = np.full(len(book), NAN)
    move[ladder.pool] = ladder.move
    assert (move[ladder.pool] == ladder.move)[ladder.has_rung].all()
    for pool in np.flatnonzero(~np.isnan(move) & ~already):
        one = book.take(np.array([pool]))
        sides = [breached(one, moved(history, market, move[pool] * (1 + side)), rules)[0] for side in (-1e-7, 1e-7)]
        assert sides == [False, True]
        for part in np.linspace(-0.97, 0.97, 6):
            if part * abs(move[pool]) > -0.999:
                assert not breached(one, moved(history, market, part * abs(move[pool])), rules)[0]


def test_the_ladder_conserves_the_book(draw):
    world = draw.world(3, pools=60)
    ladder = price_ladder(world.book, world.market, world.rules)
    table = world.book.instruments
    held = group_sums(world.book.position_instrument, world.book.position_size, len(table))
    np.testing.assert_allclose(group_sums(ladder.instrument, ladder.size, len(table)), held)
    down, up = ladder.forced_within(np.array([-0.99999, 1e9])).T
    low = ladder.has_rung & (ladder.move < 0) | ((ladder.move == 0) & (ladder.value > 0))
    high = ladder.has_rung & (ladder.move > 0) | ((ladder.move == 0) & (ladder.value < 0))
    for i in range(len(table)):
        mine = ladder.instrument == i
        assert down[i] == pytest.approx(ladder.value[mine & low].sum(), rel=1e-9)
        assert up[i] == pytest.approx(-ladder.value[mine & high].sum(), rel=1e-9)
        every = np.abs(ladder.value[mine]).sum()
        parts = [np.abs(ladder.value[mine & rows]).sum() for rows in (low, high, ~ladder.has_rung)]
        assert sum(parts) == pytest.approx(every, rel=1e-12)


def test_forced_within_is_its_plain_twin(draw):
    world = draw.world(4, pools=80)
    ladder = price_ladder(world.book, world.market, world.rules)
    moves = np.array([-0.3, -0.02, 0.05, -0.1, 0.4])
    found = ladder.forced_within(moves)
    for column, move in enumerate(moves):
        sign = np.sign(move)
        for i in range(len(ladder.symbols)):
            total = 0.0
            for k in range(len(ladder)):
                between = 0 < sign * ladder.move[k] <= sign * move
                now = ladder.move[k] == 0 and -sign * ladder.value[k] > 0
                if ladder.instrument[k] == i and (between or now):
                    total -= sign * ladder.value[k]
            assert found[i, column] == pytest.approx(total, rel=1e-9, abs=1e-6)


TABLE = InstrumentTable.linear_perpetuals(["BTC", "ETH"])
RULES = RuleBook("one", dt.date(2024, 1, 1), dict.fromkeys(TABLE.symbols, RateSchedule.cliff([0.0], [0.05], [20.0])))
MARKET = MarketState(np.datetime64("2024-01-01"), [100.0, 10.0], [1.0])


def longs(equities, quantity=1.0, instrument=0):
    """Pools that are long (or short) from the mark with so much collateral."""
    n = len(equities)
    names = [f"a{k}" for k in range(n)]
    pointer = np.arange(n + 1)
    price = np.full(n, MARKET.mark[instrument])
    places = np.full(n, instrument)
    fields = pointer, np.zeros(n, int), equities, pointer, places, np.full(n, quantity), price, np.full(n, NAN)
    return AccountBook(TABLE, names, ["m"] * n, [""] * n, *fields)


def test_rungs_by_hand():
    """A long of 1 at 100 with E at 5% is lost at (100 - E) / 0.95, a short at (100 + E) / 1.05."""
    down = price_ladder(longs([10.0, 50.0, 200.0]), MARKET, RULES)
    np.testing.assert_allclose(down.price, [90 / 0.95, 50 / 0.95, NAN], rtol=1e-12)
    up = price_ladder(longs([10.0], -1.0), MARKET, RULES)
    np.testing.assert_allclose(up.price, [110 / 1.05], rtol=1e-12)
    assert down.forced_within(np.array([-0.06, -0.6]))[0].tolist() == pytest.approx([90 / 0.95, 140 / 0.95])
    assert up.forced_within(np.array([0.04, 0.05]))[0].tolist() == pytest.approx([0.0, 110 / 1.05])
    assert down.forced_within(np.array([-0.6]))[1].tolist() == [0.0]


def test_a_pool_in_breach_is_forced_now_on_its_own_side():
    ladder = price_ladder(longs([3.0]), MARKET, RULES)
    assert ladder.move.tolist() == [0.0]
    assert ladder.forced_within(np.array([-0.0, -0.01, 0.0, 0.5])).tolist() == [[100.0, 100.0, 0.0, 0.0], [0.0] * 4]
    assert np.isnan(nearest_cluster(ladder)).all()


def test_a_hedge_buys_where_the_other_leg_is_lost():
    """Long 2 and short 1 of one contract: what is forced below is net of the hedge."""
    one = AccountBook(
        TABLE, ["a"], ["m"], [""], [0, 1], [0], [30.0], [0, 2], [0, 0], [2.0, -1.0], [100.0, 100.0], [NAN, NAN]
    )
    ladder = price_ladder(one, MARKET, RULES)
    assert (ladder.move < 0).all() and ladder.price[0] == ladder.price[1]
    assert ladder.forced_within(np.array([-0.5]))[0, 0] == pytest.approx(ladder.price[0])


def test_features_of_the_ladder_by_hand():
    book = longs(list(np.full(40, 10.0)) + [5.5, 30.0])
    ladder = price_ladder(book, MARKET, RULES)
    price = 90 / 0.95
    forced = forced_over(ladder, np.array([1e4, 0.0]), [0.01, 0.06])
    first = 94.5 / 0.95
    np.testing.assert_allclose(forced[0], [first / 1e4, (first + 40 * price) / 1e4, 0, 0], rtol=1e-12)
    assert np.isnan(forced[1]).all()
    cluster = nearest_cluster(ladder)
    assert cluster[0, 0] == pytest.approx(0.05) and np.isnan(cluster[0, 1]) and np.isnan(cluster[1]).all()
    pressure = cascade_pressure(ladder, np.array([0.03, NAN]), np.array([1e5, 1.0]), [0.01, 0.06])
    expected = max(0.03 * np.sqrt(first / 1e5) / 0.01, 0.03 * np.sqrt((first + 40 * price) / 1e5) / 0.06)
    assert pressure[0].tolist() == pytest.approx([expected, 0.0]) and np.isnan(pressure[1]).all()
    depth = np.full((2, 4), 500.0)
    np.testing.assert_allclose(forced_over(ladder, depth, [0.01, 0.06])[0, 0], first / 500)


@given(st.sampled_from([0.25, 3.0, 1e4]), SEEDS)
@settings(max_examples=10)
def test_scaling_every_account_scales_what_is_forced(draw, factor, seed):
    """Within one tier: rungs stay, notional scales, and pressure grows with its square root."""
    rng = np.random.default_rng(seed)
    equities = rng.uniform(6, 60, 25)
    small, large = longs(list(equities)), longs(list(equities * factor), factor)
    one, other = (price_ladder(book, MARKET, RULES) for book in (small, large))
    np.testing.assert_allclose(other.price, one.price, rtol=1e-9)
    moves = signed_moves()
    np.testing.assert_allclose(other.forced_within(moves), factor * one.forced_within(moves), rtol=1e-9)
    pressures = [cascade_pressure(x, np.full(2, 0.03), np.full(2, 1e6)) for x in (one, other)]
    np.testing.assert_allclose(pressures[1], np.sqrt(factor) * pressures[0], rtol=1e-9)


def test_more_collateral_moves_every_rung_away(draw):
    history, book, rules, market, _, _ = snapshot(draw, 11, pools=40)
    richer = book.with_amounts(np.arange(40), np.zeros(40, np.int64), np.full(40, 5e3))
    rungs = [price_ladder(b, market, rules) for b in (book, richer)]
    healthy = ~breached(book, market, rules)[rungs[0].pool] & rungs[0].has_rung & rungs[1].has_rung
    assert healthy.sum() > 20
    assert (np.abs(rungs[1].move) >= np.abs(rungs[0].move) - 1e-12)[healthy].all()


def test_declarations_name_each_feature_once():
    names = [one.name for one in ladder_declarations()]
    assert len(names) == len(set(names)) == 2 * 2 * 4 + 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ladder: forced_over(ladder, np.ones(3)), r"column base: has shape \(3,\)"),
        (lambda ladder: signed_moves([1.5]), "row 0, column within: must be between 0 and 1"),
        (lambda ladder: nearest_cluster(ladder, 0.0), "column share: must be between 0 and 1"),
        (lambda ladder: cascade_pressure(ladder, np.ones(1), np.ones(2)), "column volatility: has shape"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(price_ladder(longs([10.0]), MARKET, RULES))


def test_crowding_is_its_plain_twin(draw):
    world = draw.world(9, pools=50)
    book = replace(world.book, account=np.array([f"account {k % 17}" for k in range(50)]))
    found = book_crowding(book, world.market, top=3)
    table, market = book.instruments, world.market
    for i, symbol in enumerate(table.symbols):
        held = {}
        for k in range(len(book.quantity)):
            if book.position_instrument[k] == i:
                size, mark = book.position_size[k], market.mark[i]
                value = (size / mark if table.kind[i] else size * mark) * market.index[table.settlement[i]]
                name = book.account[book.position_pool[k]]
                held[name] = held.get(name, 0.0) + value
        for side, sign in ((0, 1), (1, -1)):
            values = np.sort([sign * v for v in held.values() if sign * v > 0])[::-1]
            assert found.gross[i, side] == pytest.approx(values.sum()) and found.accounts[i, side] == len(values)
            share = values / values.sum()
            assert found.herfindahl[i, side] == pytest.approx((share**2).sum()), symbol
            assert found.top_share[i, side] == pytest.approx(share[:3].sum())
        long, short = found.gross[i]
        assert found.one_sidedness[i] == pytest.approx((long - short) / (long + short))


def test_an_instrument_nobody_holds_is_not_crowded():
    found = book_crowding(longs([10.0, 10.0]), MARKET)
    assert found.herfindahl[0].tolist()[0] == 0.5 and np.isnan(found.herfindahl[0, 1])
    assert np.isnan(found.one_sidedness[1]) and found.gross[1].tolist() == [0.0, 0.0]
    with pytest.raises(InputError, match="column top"):
        book_crowding(longs([10.0]), MARKET, top=0)
