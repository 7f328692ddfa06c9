"""The waterfall as a whole, worked by hand, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import waterfall_cases as cases

from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import Stage
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule
from margincast.riskcore.waterfall.depth import DepthBook
from margincast.riskcore.waterfall.events import EventKind
from margincast.riskcore.waterfall.funds import InsuranceFunds
from margincast.riskcore.waterfall.money import UNIT
from margincast.riskcore.waterfall.waterfall import run_waterfall

LONGS, NOBODY, SHORT, TABLE = cases.LONGS, cases.NOBODY, cases.SHORT, cases.TABLE
depth, fund, market, pools = cases.depth, cases.fund, cases.market, cases.pools
procedure, rules, units = cases.procedure, cases.rules, cases.units


def test_bitmex_example_of_deleveraging():
    book = pools(SHORT, *LONGS)
    result = run_waterfall(book, market(btc=660.0), rules(), procedure(), depth(), fund())
    adl = result.events.of_kind(EventKind.ADL)
    assert (adl.counterparty.tolist(), (-adl.contracts / UNIT).tolist(), adl.price.tolist()) == (
        [2, 5],
        [10.0, 10.0],
        [650.0, 650.0],
    )
    assert result.book.quantity.tolist() == [10.0, 20.0, 30.0, 10.0, 10.0]
    # account 2 is paid out at 650; account 5 keeps 10 contracts from 450
    assert result.book.balance.tolist() == [
        5_500.0,
        4_000 + 10 * 250.0,
        12_800.0,
        15_000.0,
        9_000 + 10 * 200.0,
        6_000.0,
    ]
    assert result.closing.cash[0].tolist() == [0, 0]
    assert (result.settled, result.worst_stage[0], result.stage[0]) == (True, Stage.BANKRUPT, Stage.HEALTHY)


def test_the_fund_pays_first_and_carries_the_inventory():
    result = run_waterfall(pools(SHORT, *LONGS), market(btc=660.0), rules(), procedure(), depth(), fund(USDT=1_000.0))
    assert result.events.kind.tolist() == [EventKind.TAKEOVER]
    assert result.funds.inventory.tolist() == [[-20.0, 0.0]]
    assert result.funds.cost.tolist() == [[-20 * 650.0, 0.0]]
    assert result.events.units.tolist() == [units(-200.0)]


def test_a_fund_that_covers_half_leaves_half_to_deleveraging():
    result = run_waterfall(pools(SHORT, *LONGS), market(btc=660.0), rules(), procedure(), depth(), fund(USDT=100.0))
    assert result.funds.inventory[0, 0] == pytest.approx(-10.0, abs=1e-7)
    assert result.events.of_kind(EventKind.ADL).counterparty.tolist() == [2, 5][: len(result.events) - 1]
    assert result.events.of_kind(EventKind.ADL).contracts.sum() == units(-20.0) - units(result.funds.inventory[0, 0])


def test_loss_is_socialised_by_profit_where_nobody_is_left_to_deleverage():
    # 5 of the 20 contracts meet a long, which bears 50; 150 are shared by profits of 300 and 100 in ETH.
    book = pools(
        SHORT,
        (5_000.0, [("BTC", 5.0, 500.0)]),
        (1_000.0, [("ETH", 100.0, 7.0)]),
        (1_000.0, [("ETH", 100.0, 9.0)]),
        (1_000.0, [("ETH", -100.0, 9.0)]),
    )
    result = run_waterfall(book, market(btc=660.0), rules(), procedure(), depth(), fund())
    assert result.socialised[:, 0].tolist() == [0, 0, units(112.5), units(37.5), 0]
    assert result.uncovered.tolist() == [0, 0]
    assert result.funds.inventory.tolist() == [[-15.0, 0.0]]
    # with a fund and a domain for each contract, ETH does not pay for BTC
    apart = run_waterfall(
        book, market(btc=660.0), rules(), procedure(), depth(), InsuranceFunds.by_instrument(TABLE, {"ETH": 1e6})
    )
    assert not apart.socialised.any()
    assert apart.uncovered.tolist() == [units(150.0), 0]
    assert np.array_equal(apart.fund_worth_after[1], apart.fund_worth_before[1])


def test_the_smallest_closing_back_to_the_target():
    # equity 20 of 10 contracts at 96, 5% maintenance margin: 20 / (0.05 * 96) contracts may stay
    book = pools((60.0, [("BTC", 10.0, 100.0)]))
    result = run_waterfall(
        book, market(btc=96.0), rules(), procedure(), depth(([(96.0, 100.0)], [(97.0, 1.0)])), fund()
    )
    assert result.events.kind.tolist() == [EventKind.FILL, EventKind.CURED]
    stays = 20 / (0.05 * 96)
    assert stays - 1e-7 < result.book.quantity[0] <= stays
    assert result.book.entry_price.tolist() == [100.0]
    assert result.book.balance[0] == pytest.approx(60 - 4 * (10 - stays), abs=1e-6)


def test_with_fee_and_slippage_more_has_to_go():
    # the second contract closed costs 1 more: headroom 20 - 0.96 x - (x - 1) - 4.8 (10 - x) = 0, fee 1% of 96
    book = pools((60.0, [("BTC", 10.0, 100.0)]))
    bids = [(96.0, 1.0), (95.0, 100.0)]
    options = {"fee_to_fund": 0.01}
    result = run_waterfall(book, market(btc=96.0), rules(), procedure(**options), depth((bids, [(97.0, 1.0)])), fund())
    closed = (48 - 20 - 1 + 0.01) / (4.8 - 0.95 - 1)
    assert 10 - result.book.quantity[0] == pytest.approx(closed, abs=1e-6)
    fee = result.events.of_kind(EventKind.FEE)
    assert fee.units.sum() == pytest.approx(0.01 * (96 + 95 * (closed - 1)) * UNIT, abs=100)
    assert result.stage.tolist() == [Stage.WARNED]


def test_the_target_is_held_beyond_the_bare_requirement():
    book = pools((60.0, [("BTC", 10.0, 100.0)]))
    deep = depth(([(96.0, 100.0)], [(97.0, 1.0)]))
    result = run_waterfall(book, market(btc=96.0), rules(), procedure(target=1.2), deep, fund())
    stays = 20 / (1.2 * 0.05 * 96)
    assert stays - 1e-7 < result.book.quantity[0] <= stays


def test_dust_of_a_trade_goes_to_the_fund_and_never_to_the_pool():
    # 1/3 of a unit's worth: the pool that sells gets the floor, the market pays the ceiling
    book = pools((1.0, [("BTC", 10.00000001, 100.0)]))
    price = 96.0 + 1 / 3
    asked = procedure("whole", limit_at_bankruptcy=False)
    result = run_waterfall(book, market(btc=96.0), rules(), asked, depth(([(price, 100.0)], [(97.0, 1.0)])), fund())
    assert result.worst_stage.tolist() == [Stage.BANKRUPT]
    book = pools((50.0, [("BTC", 10.00000001, 100.0)]))
    result = run_waterfall(book, market(btc=96.0), rules(), asked, depth(([(price, 100.0)], [(97.0, 1.0)])), fund())
    exact = (10 * UNIT + 1) * Fraction(price)
    assert result.events.of_kind(EventKind.FILL).units.tolist() == [exact.numerator // exact.denominator]
    assert result.closing.market_cash[0] == -(exact.numerator // exact.denominator) - 1
    assert result.closing.fund_cash.tolist() == [[1, 0]]


def test_only_profitable_positions_are_deleveraged_where_the_venue_says_so():
    book = pools(SHORT, (90_000.0, [("BTC", 30.0, 700.0)]))
    spared = run_waterfall(book, market(btc=660.0), rules(), procedure(), depth(), fund())
    assert (len(spared.events.of_kind(EventKind.ADL)), spared.uncovered[0]) == (0, units(200.0))
    asked = procedure(adl_profitable_only=False)
    taken = run_waterfall(book, market(btc=660.0), rules(), asked, depth(), fund())
    assert (taken.events.of_kind(EventKind.ADL).counterparty.tolist(), taken.uncovered[0]) == ([1], 0)


def test_tier_step_down_and_what_is_killed():
    steps = RateSchedule.marginal([0, 500], [0.01, 0.05], [50, 20])
    book = pools((36.0, [("BTC", 10.0, 100.0)]))
    deep, thin = ([(97.0, 100.0)], [(98.0, 1.0)]), ([(97.0, 1.0)], [(98.0, 1.0)])
    step = procedure("tier_step_down", fill_or_kill=True)
    cured = run_waterfall(book, market(btc=97.0), rules(steps), step, depth(deep), fund())
    assert cured.events.kind.tolist() == [EventKind.FILL, EventKind.CURED]
    assert 500 / 97 - 1e-7 < cured.book.quantity[0] < 500 / 97
    killed = run_waterfall(book, market(btc=97.0), rules(steps), step, depth(thin), fund())
    assert killed.events.kind.tolist() == [EventKind.KILLED, EventKind.TAKEOVER]
    # 6 of equity on 10 contracts: taken over at 0.6 under the mark, which the fund gains
    assert killed.events.price[1] == pytest.approx(96.4)
    assert killed.events.units[1] == units(6.0)
    assert killed.fund_worth_after.tolist() == [[units(6.0), 0]]


def test_hyperliquid_sends_a_fifth_then_the_rest_and_backs_stop_below_two_thirds():
    book = pools((47.0, [("BTC", 10.0, 100.0)]))
    fifth = procedure(
        "fixed_share", share=0.2, share_above=500.0, cooldown_rounds=1, limit_at_bankruptcy=False, takeover_ratio=2 / 3
    )
    # at 99 equity is 37 of 49.5, above two thirds; a fifth sold at 98.5 leaves 36 of 39.6; a round later goes the rest
    result = run_waterfall(book, market(btc=99.0), rules(), fifth, depth(([(98.5, 100.0)], [(100.0, 1.0)])), fund())
    fills = result.events.of_kind(EventKind.FILL)
    assert (fills.round.tolist(), (fills.contracts / UNIT).tolist()) == ([0, 2], [2.0, 8.0])
    lower = run_waterfall(book, market(btc=98.0), rules(), fifth, depth(), fund())
    assert lower.events.kind.tolist() == [EventKind.TAKEOVER]


def test_each_close_moves_the_mark_into_the_next_pool():
    book = pools((14.0, [("BTC", 1.0, 105.0)]), (24.0, [("BTC", 1.0, 110.0)]))
    bids = [(90.0, 1.0), (85.0, 1.0)]
    alone = procedure("whole", limit_at_bankruptcy=False)
    still = run_waterfall(book, market(btc=95.0), rules(), alone, depth((bids, [(100.0, 1.0)])), fund())
    assert still.events.of_kind(EventKind.FILL).pool.tolist() == [0]
    moving = procedure("whole", impact_weight=1.0, limit_at_bankruptcy=False)
    chain = run_waterfall(book, market(btc=95.0), rules(), moving, depth((bids, [(100.0, 1.0)])), fund(USDT=100.0))
    assert chain.events.of_kind(EventKind.FILL).pool.tolist() == [0, 1]
    assert (chain.market.mark[0], chain.rounds) == (85.0, 2)


def test_collateral_is_sold_for_what_a_taken_over_pool_owes():
    # 1,000 COIN at 90%: equity 900 - 880 of 1,520 * 5%; taken over, its 880 + 20 are paid with 900 COIN, 100 stay
    book = pools((0.0, [("BTC", 16.0, 150.0)]), coin=(1_000.0,))
    held = rules(haircuts={"COIN": HaircutSchedule([0.0], [0.9])})
    result = run_waterfall(book, market(btc=95.0), held, procedure(), depth(), fund())
    assert result.closing.cash.tolist() == [[0, units(100.0)]]
    assert result.events.of_kind(EventKind.COLLATERAL_SOLD).units.tolist() == [units(900.0)]
    assert result.events.of_kind(EventKind.TAKEOVER).units.tolist() == [units(20.0)]


def test_a_pool_in_debt_by_the_haircut_alone_costs_the_fund_nothing():
    book = pools((0.0, [("BTC", 16.0, 150.0)]), coin=(1_000.0,))
    held = rules(haircuts={"COIN": HaircutSchedule([0.0], [0.8])})
    result = run_waterfall(book, market(btc=95.0), held, procedure(), depth(), fund(USDT=1_000.0))
    assert result.worst_stage.tolist() == [Stage.BANKRUPT]
    assert np.array_equal(result.fund_worth_after, result.fund_worth_before)
    assert result.closing.cash.tolist() == [[0, units(120.0)]]


def test_the_round_limit_is_said():
    book = pools((14.0, [("BTC", 1.0, 105.0)]), (24.0, [("BTC", 1.0, 110.0)]))
    asked = procedure("whole", impact_weight=1.0, limit_at_bankruptcy=False, max_rounds=1)
    bids = [(90.0, 1.0), (85.0, 1.0)]
    result = run_waterfall(book, market(btc=95.0), rules(), asked, depth((bids, [(100.0, 1.0)])), fund(USDT=100.0))
    assert (result.rounds, result.settled, result.stage.tolist()) == (1, False, [Stage.HEALTHY, Stage.LIQUIDATION])


def test_what_cannot_be_held_or_does_not_fit_is_refused():
    sound = (1.0, [("BTC", 1.0, 100.0)])
    arguments = (rules(), procedure(), depth(), fund())
    with pytest.raises(InputError, match="row 1, column balance.*int64"):
        run_waterfall(pools(sound, (1e11, [])), market(), *arguments)
    with pytest.raises(InputError, match="half a unit"):
        run_waterfall(pools((1.0, [("BTC", 1e-9, 100.0)])), market(), *arguments)
    with pytest.raises(InputError, match="entry value.*int64|int64.*entry value|entry value: is more"):
        run_waterfall(pools((1.0, [("BTC", 9e9, 1e5)])), market(), *arguments)
    with pytest.raises(InputError, match="no mark price"):
        run_waterfall(pools(sound), market(btc=np.nan), *arguments)
    carried = replace(fund(), inventory=[[0.0, 1.0]], cost=[[0.0, 10.0]])
    with pytest.raises(InputError, match="funds.*no mark price.*ETH"):
        run_waterfall(pools(sound), market(eth=np.nan), rules(), procedure(), depth(), carried)
    other = InstrumentTable.linear_perpetuals(["BTC"])
    small = DepthBook.of(other, {"BTC": NOBODY})
    with pytest.raises(InputError, match="depth.*1 instruments"):
        run_waterfall(pools(sound), market(), rules(), procedure(), small, fund())
    with pytest.raises(InputError, match="funds"):
        run_waterfall(pools(sound), market(), rules(), procedure(), depth(), InsuranceFunds.by_settlement(other, {}))
