"""The cascade kernel: equal to its plain twin bit for bit, to the exact liquidation price and to the waterfall."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.liquidation_price import liquidation_price
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import RateSchedule, RuleBook
from margincast.riskcore.waterfall.cascade import SingleLegPools, queue_up, run_cascade, side_of
from margincast.riskcore.waterfall.cascade_columns import CLOSED_ROW, DONE, EQUITY, PROCEEDS
from margincast.riskcore.waterfall.cascade_plain import cascade, queue, trigger_prices
from margincast.riskcore.waterfall.depth import DepthBook
from margincast.riskcore.waterfall.events import EventKind
from margincast.riskcore.waterfall.funds import InsuranceFunds
from margincast.riskcore.waterfall.money import UNIT
from margincast.riskcore.waterfall.procedure import LiquidationProcedure
from margincast.riskcore.waterfall.waterfall import run_waterfall

TABLE = InstrumentTable.linear_perpetuals(["BTC"])
TIERS = RateSchedule.marginal([0, 300, 2_000, 20_000], [0.005, 0.01, 0.03, 0.08], [100, 50, 20, 10])
DAY = dt.date(2024, 1, 1)


def draw_pools(seed, count, sides=(-1.0, 1.0)):
    rng = np.random.default_rng([seed, 31])
    size = np.round(rng.lognormal(0.5, 1.5, count), 4) + 1e-3
    entry = np.round(100 * np.exp(rng.normal(0, 0.03, count)), 2)
    cash = np.round(size * entry / rng.uniform(2, 80, count), 4)
    size *= rng.choice(sides, count)
    if count > 3:
        size[2], entry[2], cash[2] = size[1], entry[1], cash[1]
    return SingleLegPools(size, entry, cash)


def draw_depth(seed, total, mark=100.0):
    rng = np.random.default_rng([seed, 32])
    steps = np.cumsum(rng.uniform(1e-3, 1e-2, 40))
    sizes = rng.uniform(0, 1, (2, 40)) * total * rng.choice([0.005, 0.05])
    sizes[:, 5] = 0.0
    return DepthBook.of(
        TABLE,
        {"BTC": (np.c_[mark * (1 - steps * 0.9), sizes[0]].tolist(), np.c_[mark * (1 + steps), sizes[1]].tolist())},
    )


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([90.0, 97.0, 106.0]))
def test_the_kernel_is_its_plain_twin_bit_for_bit(seed, strict, weight, mark):
    pools = draw_pools(seed, 1 + seed % 200)
    queues = queue_up(pools, TIERS)
    plain = trigger_prices(pools.size, pools.entry, pools.cash, TIERS.floors, TIERS.rates, TIERS.deductions)
    assert np.array_equal(queues.trigger, plain)
    depth = draw_depth(seed, np.abs(pools.size).sum(), mark)
    result = run_cascade(pools, queues, depth, mark, impact_weight=weight, strict=strict)
    rows = tuple(queue(plain, pools.size, long=long).tolist() for long in (True, False))
    assert (queues.longs.tolist(), queues.shorts.tolist()) == rows
    books = tuple(side_of(depth, side, 0) for side in ("bid", "ask"))
    closes, last = cascade(mark, weight, strict, rows, plain, (pools.size, pools.entry, pools.cash), books)
    assert result.order.tolist() == closes[:, CLOSED_ROW].tolist()
    for name, column in (("filled", DONE), ("proceeds", PROCEEDS), ("equity", EQUITY)):
        assert np.array_equal(getattr(result, name), closes[:, column])
    assert result.mark == last
    assert np.isin(result.order, np.concatenate((queues.longs, queues.shorts))).all()


def test_triggers_are_the_exact_liquidation_prices():
    pools = draw_pools(5, 400)
    n = len(pools)
    book = AccountBook(
        TABLE, [f"a{i}" for i in range(n)], ["m"] * n, [""] * n, np.arange(n + 1), np.zeros(n), pools.cash,
        np.arange(n + 1), np.zeros(n), pools.size, pools.entry, np.full(n, np.nan),
    )  # fmt: skip
    market = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0])
    exact = liquidation_price(book, market, RuleBook("x", DAY, {"BTC": TIERS}, closing_fee=0.001))
    trigger = queue_up(pools, TIERS, closing_fee=0.001).trigger
    assert np.array_equal(np.isnan(exact), trigger <= 0)
    found = ~np.isnan(exact)
    assert trigger[found] == pytest.approx(exact[found], rel=1e-11)


@pytest.mark.parametrize("spread", [1.0, 1e-9, 1e-12, 0.0])
def test_queues_are_in_order_and_equals_by_row(spread):
    pools = draw_pools(8, 2_000)
    near = 1 + spread * (pools.entry / 100 - 1)
    pools = SingleLegPools(np.sign(pools.size), 100 * near, 10 * near) if spread < 1 else pools
    queues = queue_up(pools, TIERS)
    assert len(queues.longs) and len(queues.shorts)
    for rows, sign in ((queues.longs.astype(int), -1.0), (queues.shorts.astype(int), 1.0)):
        keys = list(zip(sign * queues.trigger[rows], rows, strict=True))
        assert keys == sorted(keys)


def test_triggers_that_lie_close_beside_one_far_away_are_sorted_as_well():
    """All but one within a part of the range that the digits do not tell apart."""
    rng = np.random.default_rng(3)
    entry = np.append(100 * (1 + 1e-7 * rng.random(3_000)), 1e9)
    pools = SingleLegPools(np.ones(3_001), entry, entry / 10)
    queues = queue_up(pools, TIERS)
    assert queues.longs.tolist() == queue(queues.trigger, pools.size, long=True).tolist()


@pytest.mark.parametrize("seed", range(4))
def test_without_impact_it_closes_what_the_waterfall_closes(seed):
    pools, mark = draw_pools(seed, 60, sides=(1.0,)), 97.0
    n = len(pools)
    book = AccountBook(
        TABLE, [f"a{i}" for i in range(n)], ["m"] * n, [""] * n, np.arange(n + 1), np.zeros(n), pools.cash,
        np.arange(n + 1), np.zeros(n), pools.size, pools.entry, np.full(n, np.nan),
    )  # fmt: skip
    depth = DepthBook.of(TABLE, {"BTC": ([(96.9, 1e9)], [(97.1, 1.0)])})
    whole = LiquidationProcedure("x", DAY, "whole", "absolute_profit", limit_at_bankruptcy=False)
    market = MarketState(np.datetime64("2024-01-01"), [mark], [1.0])
    rules = RuleBook("x", DAY, {"BTC": TIERS})
    slow = run_waterfall(book, market, rules, whole, depth, InsuranceFunds.by_settlement(TABLE, {"USDT": 1e6}))
    fast = run_cascade(pools, queue_up(pools, TIERS), depth, mark, impact_weight=0.0)
    fills = slow.events.of_kind(EventKind.FILL)
    solvent = set(fills.pool.tolist())
    bankrupt = set(slow.events.of_kind(EventKind.TAKEOVER).pool.tolist())
    assert set(fast.order.tolist()) == solvent | bankrupt
    assert len(solvent) and len(bankrupt)
    money = dict(zip(fast.order.tolist(), fast.proceeds.tolist(), strict=True))
    for pool, units in zip(fills.pool.tolist(), fills.units.tolist(), strict=True):
        assert units / UNIT == pytest.approx(money[pool], abs=2e-8)


def test_a_mark_on_the_trigger_liquidates_only_where_the_rule_is_not_strict():
    # 90 / (1 - 1 / 16) and 102 / (1 + 1 / 16) are exactly 96
    schedule = RateSchedule.marginal([0.0], [0.0625], [10.0])
    depth = DepthBook.of(TABLE, {"BTC": ([(95.0, 9.0)], [(104.0, 9.0)])})
    for size, cash, mark in ((1.0, 10.0, 96.0), (-1.0, 2.0, 96.0)):
        pools = SingleLegPools([size], [100.0], [cash])
        queues = queue_up(pools, schedule)
        assert queues.trigger.tolist() == [mark]
        closed = [len(run_cascade(pools, queues, depth, mark, strict=strict).order) for strict in (True, False)]
        assert closed == [0, 1]


def test_depth_that_runs_out_leaves_the_rest_unfilled():
    pools = SingleLegPools([2.0, 1.0], [100.0, 100.0], [5.0, 5.0])
    depth = DepthBook.of(TABLE, {"BTC": ([(94.0, 1.5)], [(96.0, 1.0)])})
    result = run_cascade(pools, queue_up(pools, TIERS), depth, 95.0)
    assert result.filled.tolist() == [1.5, 0.0]
    assert result.order.tolist() == [0, 1]
    assert result.mark == 95.0
    assert result.shortfall == pytest.approx(1.5 * 6 - 5)


def test_bad_input():
    sound = SingleLegPools([1.0], [100.0], [5.0])
    for columns in (([0.0], [1.0], [1.0]), ([1.0], [0.0], [1.0]), ([1.0], [1.0], [np.nan]), ([1.0, 2.0], [1.0], [1.0])):
        with pytest.raises(InputError):
            SingleLegPools(*columns)
    with pytest.raises(InputError, match="jumps"):
        queue_up(sound, RateSchedule.cliff([0, 100], [0.01, 0.02], [50, 25]))
    with pytest.raises(InputError, match="below 1"):
        queue_up(sound, TIERS, closing_fee=0.95)
    for fee in (-0.1, np.nan):
        with pytest.raises(InputError, match="closing_fee"):
            queue_up(sound, TIERS, closing_fee=fee)
    queues, depth = queue_up(sound, TIERS), draw_depth(1, 10.0)
    for mark, options, words in (
        (np.nan, {}, "mark"),
        (0.0, {}, "mark"),
        (90.0, {"impact_weight": 1.1}, "impact_weight"),
        (90.0, {"instrument": 1}, "instrument"),
    ):
        with pytest.raises(InputError, match=words):
            run_cascade(sound, queues, depth, mark, **options)
