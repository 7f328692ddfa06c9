"""Who pays for a bankrupt pool, worked by hand: domains, what a payer can bear, fees, debts that orders leave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import waterfall_cases as cases

from margincast.riskcore.margin import Stage, evaluate
from margincast.riskcore.waterfall.depth import DepthBook, WorkingDepth
from margincast.riskcore.waterfall.events import EventKind
from margincast.riskcore.waterfall.funds import InsuranceFunds
from margincast.riskcore.waterfall.money import UNIT, pro_rata
from margincast.riskcore.waterfall.waterfall import run_waterfall

LONGS, SHORT, TABLE = cases.LONGS, cases.SHORT, cases.TABLE
depth, fund, market, pools = cases.depth, cases.fund, cases.market, cases.pools
procedure, rules, units = cases.procedure, cases.rules, cases.units


def both_legs(btc=1.0, eth=10.0):
    """Equity -20 at marks of 100 and 10: two legs of the same value, so that each is 10 short."""
    return (0.0, [("BTC", btc, 110.0), ("ETH", eth, 11.0)])


@pytest.mark.parametrize("rich", ["BTC", "ETH"])
def test_no_fund_pays_for_the_leg_of_another_domain(rich):
    result = run_waterfall(
        pools(both_legs()), market(), rules(), procedure(), depth(), InsuranceFunds.by_instrument(TABLE, {rich: 1e6})
    )
    lost = (result.fund_worth_before - result.fund_worth_after)[:, 0] / UNIT
    assert lost.tolist() == [10.0 * (rich == "BTC"), 10.0 * (rich == "ETH")]
    assert result.uncovered.tolist() == [units(10.0), 0]


def test_what_is_missing_in_a_domain_is_shared_by_those_in_profit_there():
    in_eth, in_btc = (500.0, [("ETH", 100.0, 8.0)]), (500.0, [("BTC", 1.0, 60.0)])
    result = run_waterfall(
        pools(both_legs(), in_eth, in_btc), market(), rules(), procedure(), depth(),
        InsuranceFunds.by_instrument(TABLE, {}),
    )  # fmt: skip
    assert result.socialised[:, 0].tolist() == [0, units(10.0), units(10.0)]


def test_profit_is_taken_once():
    """Two debts of 200 and a profit of 250: it pays 250 of them, not 400."""
    debt = (0.0, [("BTC", -20.0, 650.0)])
    book = pools(debt, debt, (1_000.0, [("ETH", 100.0, 7.5)]))
    result = run_waterfall(book, market(btc=660.0), rules(), procedure(), depth(), fund())
    assert result.socialised[:, 0].tolist() == [0, 0, units(250.0)]
    assert result.uncovered[0] == units(150.0)


def test_nobody_is_asked_for_more_than_he_is_worth():
    """A profit of 300 that has been borrowed against: the pool is worth 100, so it pays 100 of a debt of 200."""
    debt, payer = (0.0, [("BTC", -20.0, 650.0)]), (-200.0, [("ETH", 100.0, 7.0)])
    held = rules(cases.RateSchedule.marginal([0.0], [0.001], [100.0]))
    result = run_waterfall(pools(debt, payer), market(btc=660.0), held, procedure(), depth(), fund())
    assert result.socialised[1, 0] == pytest.approx(units(100.0), rel=1e-6)
    assert 0 <= evaluate(result.book, result.market, held).equity[1] < 1e-3


def test_adl_stops_where_the_other_side_has_nothing_left():
    """Closing at 650 costs a long marked at 660 ten a contract; one worth 30 gives up 3 of its 20 contracts."""
    thin, rich = (30.0 - 20 * 40.0, [("BTC", 20.0, 620.0)]), (13_000.0, [("BTC", 20.0, 640.0)])
    held = rules(cases.RateSchedule.marginal([0.0], [0.001], [100.0]))
    result = run_waterfall(pools(SHORT, thin, rich), market(btc=660.0), held, procedure(), depth(), fund())
    adl = result.events.of_kind(EventKind.ADL)
    assert adl.counterparty.tolist() == [1, 2]
    np.testing.assert_allclose(-adl.contracts / UNIT, [3.0, 17.0], atol=1e-6)
    assert (evaluate(result.book, result.market, held).equity >= 0).all()


def test_profit_that_was_taken_in_one_round_is_not_taken_again_in_the_next():
    """200 and 19.8 of a profit of 250 are taken; then ETH falls to 8, and the 150 left are paid already."""
    owes, sold = (0.0, [("BTC", -20.0, 650.0)]), (4.2, [("ETH", 10.0, 10.4)])
    falls, payer = (60.0, [("ETH", 100.0, 10.0)]), (1_000.0, [("ETH", 50.0, 5.0)])
    asked = procedure("whole", limit_at_bankruptcy=False, impact_weight=1.0)
    ladder = depth(eth=([(8.0, 10.0)], [(11.0, 1.0)]))
    result = run_waterfall(pools(owes, sold, falls, payer), market(btc=660.0), rules(), asked, ladder, fund())
    assert (result.rounds, result.market.mark[1]) == (2, 8.0)
    assert result.socialised[3, 0] == pytest.approx(units(219.8), abs=2)
    assert result.uncovered[0] == pytest.approx(units(140.0), abs=2)


def test_what_adl_cost_a_pool_before_counts():
    """Two bankrupt shorts at 650 meet one long worth 30 at 660: it gives up 3 contracts to them together."""
    thin, rich = (30.0 - 20 * 40.0, [("BTC", 20.0, 620.0)]), (13_000.0, [("BTC", 40.0, 640.0)])
    held = rules(cases.RateSchedule.marginal([0.0], [0.001], [100.0]))
    result = run_waterfall(pools(SHORT, SHORT, thin, rich), market(btc=660.0), held, procedure(), depth(), fund())
    adl = result.events.of_kind(EventKind.ADL)
    assert -adl.contracts[adl.counterparty == 2].sum() / UNIT == pytest.approx(3.0, abs=1e-6)
    assert adl.contracts.sum() == units(-40.0)


def test_a_debt_that_orders_leave_is_paid_by_the_fund_and_told():
    """1 contract from 105 with 14 is worth 4 at 95; sold at 90 it owes 1."""
    book, bids = pools((14.0, [("BTC", 1.0, 105.0)])), ([(90.0, 1.0)], [(100.0, 1.0)])
    asked = procedure("whole", limit_at_bankruptcy=False)
    result = run_waterfall(book, market(btc=95.0), rules(), asked, depth(bids), fund(USDT=100.0))
    assert result.events.kind.tolist() == [EventKind.FILL, EventKind.FUND_PAID]
    assert result.events.units[1] == units(1.0)
    assert result.worst_stage.tolist() == [Stage.BANKRUPT]
    assert (result.book.balance.tolist(), result.funds.balance.tolist()) == ([], [[99.0, 0.0]])
    poor = run_waterfall(book, market(btc=95.0), rules(), asked, depth(bids), fund())
    assert poor.uncovered.tolist() == [units(1.0), 0]


def test_a_fee_is_no_more_than_what_is_left():
    """Sold at its bankruptcy price of 91 a pool has nothing; sold at 92 it has 1, not the fee of 1.84."""
    book, asked = pools((14.0, [("BTC", 1.0, 105.0)])), procedure("whole", fee_to_venue=0.02)
    for bid, fee in ((91.0, 0.0), (92.0, 1.0)):
        result = run_waterfall(book, market(btc=95.0), rules(), asked, depth(([(bid, 1.0)], [(100.0, 1.0)])), fund())
        assert result.closing.fees[0] == pytest.approx(units(fee), abs=3)
        assert result.closing.cash.min() >= 0 and not len(result.events.of_kind(EventKind.FUND_PAID))


def test_shares_are_whole_and_sum_to_what_is_shared():
    for whole, weights in ((10, [1, 1, 1]), (7, [5, 0, 3]), (2, [7, 7, 7, 7]), (0, [1, 2])):
        shares = pro_rata(whole, weights)
        assert sum(shares) == whole
        assert all(abs(s - whole * w / sum(weights)) < 1 for s, w in zip(shares, weights, strict=True))


def test_the_last_price_is_that_of_the_last_piece_though_orders_went_beyond_the_book_before():
    """A refilled book: the second order meets the best bid again, and the mark follows that, not the first order."""
    ladder = DepthBook.of(TABLE, {"BTC": ([(99.0, 2.0)], [(101.0, 1.0)]), "ETH": cases.NOBODY}, impact=0.5, refill=0.5)
    side = WorkingDepth(ladder).against(0, closing_long=True)
    side.take(3 * UNIT, None)
    side.refill(0.5)
    assert side.beyond and not side.is_beyond(side.take(UNIT // 2, None)[-1][1])


def test_order_books_of_cheap_coins_may_hold_more_contracts_than_accounts_can():
    """Sizes in units of 1e-8 that int64 does not hold, one by one or together."""
    many = depth(([(99.0, 6e10), (98.0, 6e10), (97.0, 1e13)], [(101.0, 1.0)]), impact=0.1)
    book = pools((60.0, [("BTC", 10.0, 100.0)]))
    result = run_waterfall(book, market(btc=96.0), rules(), procedure(), replace(many, refill=0.5), fund())
    assert result.settled and result.events.of_kind(EventKind.FILL).price.tolist() == [99.0]
