"""Sub-accounts: what may be moved, and what holds when pools are merged, netted or split."""

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
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook
from margincast.riskcore.sub_accounts import merged, netted, split, transfer, withdrawable
from margincast.riskcore.what_if import with_transfer

SEEDS = st.integers(0, 2**32 - 1)
TABLE = InstrumentTable.linear_perpetuals(["BTC"], collateral=["ETH"])
RULES = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.01], [10.0])},
                 {"ETH": HaircutSchedule([0.0, 1000.0], [0.9, 0.5])})  # fmt: skip
MARKET = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0, 10.0])


def pools(*rows):
    """Pools of one account: (cash, ETH, [(quantity, entry)])."""
    legs = [leg for *_, held in rows for leg in held]
    n = len(rows)
    quantity, entry = ([leg[k] for leg in legs] for k in (0, 1))
    counts = np.cumsum([0, *(len(held) for *_, held in rows)])
    return AccountBook(TABLE, ["a"] * n, [f"s{k}" for k in range(n)], [""] * n, np.arange(n + 1) * 2, [0, 1] * n,
                       [amount for cash, coin, _ in rows for amount in (cash, coin)], counts, [0] * len(legs),
                       quantity, entry, [np.nan] * len(legs))  # fmt: skip


def sums(book, market, rules, group):
    state = evaluate(book, market, rules)
    return [np.bincount(group, column) for column in (state.equity, state.maintenance, state.initial)]


def test_withdrawals_by_hand():
    # 150 ETH of 10: 1,000 at 90% and 500 at 50% = 1,150; initial margin of a position of 2,500 is 250; 900 may go:
    # 250 with the last 500, 650 more at 90%, so 1,222.2 of value
    book = pools((0.0, 150.0, [(25.0, 100.0)]))
    assert withdrawable(book, MARKET, RULES, "ETH").tolist() == [pytest.approx((500 + 650 / 0.9) / 10)]
    assert withdrawable(book, MARKET, RULES, "USDT").tolist() == [0.0]
    # under 1,050 only 100 of collateral value may go, all of it from the slice at 50%
    larger = pools((0.0, 150.0, [(105.0, 100.0)]))
    assert withdrawable(larger, MARKET, RULES, "ETH").tolist() == [pytest.approx(20.0)]
    # a profit of 250 pays the initial margin, but only where it counts
    rich = pools((100.0, 0.0, [(25.0, 90.0)]))
    assert withdrawable(rich, MARKET, RULES, "USDT").tolist() == [100.0]
    assert withdrawable(rich, MARKET, RULES, "USDT", profits_count=False).tolist() == [0.0]
    assert withdrawable(pools((300.0, 0.0, [(25.0, 90.0)])), MARKET, RULES, "USDT", profits_count=False)[0] == 50.0


@given(SEEDS, st.sampled_from(["USDT", "BTC", "ETH", "USDC"]))
@settings(max_examples=60)
def test_what_is_withdrawable_can_go_and_no_more(draw, seed, asset):
    world = draw.world(seed, pools=10)
    book, market, rules = world.book, world.market, world.rules
    place, n = book.instruments.assets.index(asset), len(book)
    most = withdrawable(book, market, rules, asset)
    less = withdrawable(book, market, rules, asset, profits_count=False)
    assert (less <= most + 1e-9 * (world.gross / market.index[place] + 1)).all()
    holder = np.repeat(np.arange(n), np.diff(book.balance_pointer))
    held = np.bincount(holder, np.where(book.balance_asset == place, book.balance, 0.0), n)
    assert (most <= np.maximum(held, 0.0) + 1e-12).all()
    # a pool at the end that is given everything
    sink = replace(book, account=np.append(book.account, "sink"), sub_account=np.append(book.sub_account, "m"),
                   isolated=np.append(book.isolated, ""),
                   balance_pointer=np.append(book.balance_pointer, book.balance_pointer[-1]),
                   position_pointer=np.append(book.position_pointer, book.position_pointer[-1]))  # fmt: skip
    slack = 1e-9 * (world.gross + 1.0)
    gone = evaluate(with_transfer(sink, np.arange(n), n, place, most), market, rules)
    assert ((gone.equity - gone.initial)[:n][most > 0] >= -slack[most > 0]).all()
    step = 1e-6 * (world.gross + 1.0) / market.index[place]
    over = evaluate(with_transfer(sink, np.arange(n), n, place, most + step), market, rules)
    limited = (held > most + 2 * step) & (most > 0)
    assert ((over.equity - over.initial)[:n][limited] <= slack[limited]).all()


def test_a_transfer_checks_what_it_may():
    book = pools((300.0, 0.0, [(25.0, 100.0)]), (0.0, 0.0, []))
    after = transfer(book, MARKET, RULES, 0, 1, "USDT", 50.0)
    assert evaluate(after, MARKET, RULES).equity.tolist() == [250.0, 50.0]
    with pytest.raises(InputError, match="row 0, column amount: at most 50 USDT may be withdrawn .found 51.0"):
        transfer(book, MARKET, RULES, 0, 1, "USDT", 51.0)
    for source, target, amount, problem in ((0, 0, 1.0, "another pool"), (0, 5, 1.0, "target"), (-1, 0, 1.0, "source"),
                                            (0, 1, 0.0, "positive"), (0, 1, np.nan, "positive")):  # fmt: skip
        with pytest.raises(InputError, match=problem):
            transfer(book, MARKET, RULES, source, target, "USDT", amount)
    with pytest.raises(InputError, match="another pool of the same account"):
        transfer(replace(book, account=np.array(["a", "b"])), MARKET, RULES, 0, 1, "USDT", 1.0)


@given(SEEDS, st.integers(1, 4))
@settings(max_examples=40)
def test_splitting_keeps_requirements_as_a_sum_and_merging_undoes_it(draw, seed, parts):
    world = draw.world(seed, pools=8)
    rng = np.random.default_rng(seed)
    book = world.book
    apart = split(book, rng.integers(0, parts, len(book.quantity)), rng.integers(0, parts, len(book.balance)), parts)
    pool = np.repeat(np.arange(len(book)), parts)
    whole = evaluate(book, world.market, world.rules)
    _, maintenance, initial = sums(apart, world.market, world.rules, pool)
    assert (np.abs(maintenance - whole.maintenance) <= 1e-12 * world.gross).all()
    assert (np.abs(initial - whole.initial) <= 1e-12 * world.gross).all()
    again = merged(apart, pool)
    for name in ("equity", "maintenance", "initial", "stage"):
        np.testing.assert_array_equal(getattr(evaluate(again, world.market, world.rules), name), getattr(whole, name))


def merged_world(draw, seed, slices=1, tiers=1):
    """Eight pools in three groups; one-slice haircuts and one-tier schedules where asked for."""
    world = draw.world(seed, pools=8, kinds=("marginal",))
    cut, rise = HaircutSchedule, RateSchedule.marginal
    haircuts = {a: cut(h.floors[:slices], np.sort(h.rates)[::-1][:slices]) for a, h in world.rules.haircuts.items()}
    tables = {s: rise(t.floors[:tiers], t.rates[:tiers], t.max_leverage[:tiers])
              for s, t in world.rules.schedules.items()}  # fmt: skip
    group = np.append([0, 1, 2], np.random.default_rng(seed).integers(0, 3, 5))
    return world, replace(world.rules, haircuts=haircuts, schedules=tables), group


@given(SEEDS)
@settings(max_examples=60)
def test_merging_with_netting_never_raises_requirement_less_equity_under_flat_rules(draw, seed):
    world, rules, group = merged_world(draw, seed)
    equity, maintenance, _ = sums(world.book, world.market, rules, group)
    one = netted(merged(world.book, group), world.market)
    together = evaluate(one, world.market, rules)
    slack = 1e-10 * np.bincount(group, world.gross)
    assert (together.equity >= equity - slack).all()
    assert (together.maintenance <= maintenance + slack).all()


@given(SEEDS)
@settings(max_examples=40)
def test_merging_without_debts_never_raises_equity_under_growing_haircuts(draw, seed):
    world, rules, group = merged_world(draw, seed, slices=9)
    book = replace(world.book, balance=np.abs(world.book.balance))
    if (asset_totals(book, world.market) < 0).any():
        return
    equity, *_ = sums(book, world.market, rules, group)
    together = evaluate(merged(book, group), world.market, rules)
    assert (together.equity <= equity + 1e-10 * np.bincount(group, world.gross)).all()


def test_where_merging_does_raise_the_requirement():
    # two halves of one side climb the tiers together: 2 * (5,000 * 1%) apart, 10,000 * 2% - 50 joined
    tiers = replace(RULES, schedules={"BTC": RateSchedule.marginal([0.0, 5_000.0], [0.01, 0.02], [10.0, 5.0])})
    book = pools((0.0, 80.0, [(50.0, 100.0)]), (0.0, 80.0, [(50.0, 100.0)]))
    apart = evaluate(book, MARKET, tiers)
    one = netted(merged(book, [0, 0]), MARKET)
    together = evaluate(one, MARKET, tiers)
    assert (apart.maintenance.tolist(), together.maintenance.tolist()) == ([50.0, 50.0], [150.0])
    # and 800 + 800 of ETH climb the haircut slices: 2 * 720 apart, 900 + 300 together
    assert (apart.equity.tolist(), together.equity.tolist()) == ([720.0, 720.0], [1200.0])


@given(SEEDS)
@settings(max_examples=60)
def test_netting_keeps_totals_and_leaves_one_leg_an_instrument(draw, seed):
    world = draw.world(seed)
    one = netted(world.book, world.market)
    pool = np.repeat(np.arange(len(one)), np.diff(one.position_pointer))
    key = pool * 6 + one.position_instrument
    assert len(np.unique(key)) == len(key)
    before, after = (asset_totals(b, world.market) * world.market.index for b in (world.book, one))
    assert (np.abs(before - after) <= 1e-11 * world.gross[:, None]).all()


def test_long_and_short_of_the_same_contract_net_to_nothing():
    book = netted(pools((100.0, 0.0, [(3.0, 90.0), (-3.0, 120.0)])), MARKET)
    state = evaluate(book, MARKET, RULES)
    assert (len(book.quantity), state.maintenance.tolist(), state.equity.tolist()) == (0, [0.0], [190.0])


def test_bad_partitions():
    book = pools((1.0, 0.0, []), (1.0, 0.0, []))
    for group, problem in (([0], "shape"), ([0, 2], "without a gap"), ([-1, 0], "without a gap")):
        with pytest.raises(InputError, match=problem):
            merged(book, group)
    with pytest.raises(InputError, match="row 1, column balance_part: must be from 0 to 1"):
        split(book, [], [0, 2, 0, 0], 2)
    with pytest.raises(InputError, match="column balance_part: has shape"):
        split(book, [], [0], 2)
    with pytest.raises(InputError, match="asset"):
        withdrawable(book, MARKET, RULES, "XRP")
