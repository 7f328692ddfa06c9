"""Parts of the waterfall: order books, bankruptcy prices, partial closing, ADL rankings, funds; documented examples."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.rulebook import RateSchedule
from margincast.riskcore.waterfall.adl import AdlCandidates, adl_order, adl_quintile, adl_score
from margincast.riskcore.waterfall.bankruptcy import bankruptcy_price, share_equity
from margincast.riskcore.waterfall.depth import DepthBook, WorkingDepth
from margincast.riskcore.waterfall.funds import InsuranceFunds
from margincast.riskcore.waterfall.money import UNIT, ceil_of, floor_of, from_units, to_units, unit_value
from margincast.riskcore.waterfall.partial_close import ClosingLeg, by_risk, remaining_share, riskiest_first

TABLE = InstrumentTable.linear_perpetuals(["BTC"])
BIDS, ASKS = [(99.0, 2.0), (98.0, 3.0), (95.0, 5.0)], [(101.0, 1.0), (104.0, 4.0)]


def book(**options):
    return DepthBook.of(TABLE, {"BTC": (BIDS, ASKS)}, **options)


def bids(**options):
    return WorkingDepth(book(**options)).against(0, closing_long=True)


def test_an_order_walks_the_book_from_the_best_price():
    side = bids()
    assert side.take(4 * UNIT, None) == [(2 * UNIT, 99.0), (2 * UNIT, 98.0)]
    assert side.take(4 * UNIT, None) == [(1 * UNIT, 98.0), (3 * UNIT, 95.0)]
    assert side.take(9 * UNIT, None) == [(2 * UNIT, 95.0)]
    assert side.take(UNIT, None) == []


def test_a_limit_stops_an_order_and_shows_in_what_it_could_get():
    assert bids().could_take(98.0) == 5 * UNIT
    assert bids().take(9 * UNIT, 98.0) == [(2 * UNIT, 99.0), (3 * UNIT, 98.0)]
    asks = WorkingDepth(book()).against(0, closing_long=False)
    assert asks.take(9 * UNIT, 103.0) == [(UNIT, 101.0)]
    assert bids().take(UNIT, 99.5) == []


def test_square_root_impact_beyond_the_book():
    side = bids(impact=0.1)
    pieces = side.take(20 * UNIT, None)
    # 10 contracts beyond a ladder of 10: the last at 95 * (1 - 0.1), on average 95 * (1 - 0.1 * 2 / 3).
    assert pieces[-1] == (10 * UNIT, pytest.approx(95 * (1 - 0.2 / 3)))
    assert side.last_price() == pytest.approx(95 * 0.9)
    again = bids(impact=0.1)
    split = [again.take(15 * UNIT, None)[-1], again.take(5 * UNIT, None)[-1]]
    assert sum(n * p for n, p in split) == pytest.approx(pieces[-1][0] * pieces[-1][1])
    # Down to 95 * 0.95 there is room for (0.05 / 0.1) ** 2 of the ladder.
    assert bids(impact=0.1).could_take(95 * 0.95) == pytest.approx(12.5 * UNIT, abs=2)


def test_refill_and_drought():
    side = bids()
    side.take(4 * UNIT, None)
    side.refill(0.5)
    assert side.left == [UNIT, 2 * UNIT, 5 * UNIT]
    assert WorkingDepth(book().thinned(0.0)).against(0, closing_long=True).could_take(None) == 0
    assert book().thinned(0.5).bid_size.tolist() == [1.0, 1.5, 2.5]


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        (([(101.0, 1.0)], [(101.0, 1.0)]), "crossed"),
        (([], [(101.0, 1.0)]), "empty"),
        (([(99.0, 1.0)], []), "empty"),
        (([(float("nan"), 1.0)], [(101.0, 1.0)]), "must be positive"),
        (([(99.0, float("nan"))], [(101.0, 1.0)]), "number from 0"),
        (([(99.0, -1.0)], [(101.0, 1.0)]), "number from 0"),
        (([(98.0, 1.0), (99.0, 1.0)], [(101.0, 1.0)]), "run away"),
        (([(99.0, 1.0)], [(101.0, 1.0), (101.0, 1.0)]), "run away"),
    ],
)
def test_bad_order_books(sides, words):
    with pytest.raises(InputError, match=words):
        DepthBook.of(TABLE, {"BTC": sides})


def test_a_contract_without_an_order_book_and_bad_options():
    with pytest.raises(InputError, match="no order book.*BTC"):
        DepthBook.of(TABLE, {})
    for options in ({"impact": -1.0}, {"refill": 1.5}):
        with pytest.raises(InputError, match=next(iter(options))):
            book(**options)
    with pytest.raises(InputError, match="share"):
        book().thinned(1.1)


def test_money_is_exact_and_never_rounds_up_for_who_trades():
    exact = to_units(np.array([0.1]), "x")[0] * unit_value(TABLE, 0, 0.3)
    assert exact == 10_000_000 * Fraction(0.3)
    assert floor_of(exact) <= exact <= ceil_of(exact) <= floor_of(exact) + 1
    assert (floor_of(Fraction(-5, 2)), ceil_of(Fraction(-5, 2))) == (-3, -2)
    assert from_units(to_units(np.array([1e9 + 0.12345678]), "x"))[0] == 1e9 + 0.12345678
    for value in (np.nan, np.inf, 1e11):
        with pytest.raises(InputError, match="int64"):
            to_units(np.array([1.0, value]), "balance")


def test_bankruptcy_prices_of_venue_documents():
    # Bybit help-center 900000031623: 7,890.08 * 50 / 51; the same contract's USDT example: 489.
    inverse = bankruptcy_price(7890.08, 5000.0, 5000 / 7890.08 / 50, True)
    assert inverse == pytest.approx(7735.372549, abs=1e-6)
    assert bankruptcy_price(500.0, 100.0, 1100.0, False) == pytest.approx(489.0)
    # at another mark the equity differs, the price does not
    assert bankruptcy_price(400.0, 100.0, 1100.0 - 100.0 * 100.0, False) == pytest.approx(489.0)
    assert bankruptcy_price(100.0, -2.0, 10.0, False) == 105.0
    assert np.isnan(bankruptcy_price(100.0, 1.0, 150.0, False))
    with pytest.raises(InputError, match="size"):
        bankruptcy_price(100.0, 0.0, 1.0, False)


def test_equity_is_shared_by_maintenance_margin():
    shares = share_equity([-90.0, 50.0], np.array([0, 0, 1]), [10.0, 20.0, 5.0])
    assert shares.tolist() == [-30.0, -60.0, 50.0]
    assert share_equity([10.0], np.array([0, 0]), [0.0, 0.0]).tolist() == [5.0, 5.0]


def leg_of(notional, schedule, levels=3, spread=0.002):
    reach = np.cumsum(np.full(levels, notional / levels))
    return ClosingLeg(
        notional, schedule.floors, schedule.rates, schedule.deductions, reach, spread * np.arange(1, levels + 1)
    )


MARGINAL = RateSchedule.marginal([0, 1_000, 5_000], [0.01, 0.02, 0.05], [50, 25, 10])
CLIFF = RateSchedule.cliff([0, 1_000, 5_000], [0.01, 0.02, 0.05], [50, 25, 10])


@settings(max_examples=60)
@given(
    st.lists(st.floats(50, 20_000), min_size=1, max_size=3),
    st.floats(0.05, 0.999),
    st.floats(1, 1.5),
    st.floats(0, 200),
    st.booleans(),
)
def test_the_smallest_part_that_brings_a_pool_back(notionals, short_by, target, other, cliff):
    legs = tuple(leg_of(n, CLIFF if cliff else MARGINAL) for n in notionals)

    def headroom(share, equity):
        needed = other + sum(leg.maintenance(share * leg.notional) for leg in legs)
        return equity - sum(leg.cost_of((1 - share) * leg.notional) for leg in legs) - target * needed

    equity = short_by * target * (other + sum(leg.maintenance(leg.notional) for leg in legs))
    share = remaining_share(legs, equity, other, target)
    grid = np.linspace(0, 1, 401)
    good = np.array([headroom(s, equity) >= 0 for s in grid])
    scale = 1e-9 * (equity + sum(notionals))
    if np.isnan(share):
        assert not any(headroom(s, equity) > scale for s in grid)
    else:
        assert headroom(share, equity) >= -scale
        assert share >= grid[good].max(initial=0.0) - 1e-12


def test_no_part_is_enough_or_none_is_needed():
    leg = leg_of(1_000.0, MARGINAL)
    assert remaining_share((leg,), 1_000.0) == 1.0
    assert np.isnan(remaining_share((leg,), -5.0))
    # only a third of it can be closed
    thin = ClosingLeg(900.0, [0.0], [0.02], [0.0], [300.0], [0.0])
    assert np.isnan(remaining_share((thin,), 11.0))
    assert remaining_share((thin,), 12.015) == pytest.approx(12.015 / 0.02 / 900)
    nothing = ClosingLeg(900.0, [0.0], [0.02], [0.0], [], [])
    assert np.isnan(remaining_share((nothing,), 12.0))


def test_a_cliff_is_left_just_below_its_floor():
    leg = ClosingLeg(1_200.0, CLIFF.floors, CLIFF.rates, CLIFF.deductions, [1_200.0], [0.0])
    share = remaining_share((leg,), 12.0)
    assert share < 1_000 / 1_200
    assert share == pytest.approx(1_000 / 1_200, rel=1e-12)


def test_which_leg_first():
    dear = ClosingLeg(1_000.0, [0.0], [0.05], [0.0], [1_000.0], [0.03])
    cheap = ClosingLeg(1_000.0, [0.0], [0.02], [0.0], [1_000.0], [0.01])
    stuck = ClosingLeg(1_000.0, [0.0], [0.9], [0.0], [], [])
    assert by_risk((stuck, dear, cheap)).tolist() == [2, 1, 0]


def test_riskiest_pool_first_by_cross_multiplication():
    # dYdX v4: lowest net collateral / maintenance margin; ties by the larger margin; no margin: lower net collateral.
    order = riskiest_first(np.array([50.0, 5.0, -1.0, 100.0]), np.array([100.0, 10.0, 10.0, 50.0]))
    assert order.tolist() == [2, 0, 1, 3]
    assert riskiest_first(np.array([-2.0, -7.0]), np.zeros(2)).tolist() == [1, 0]


def test_adl_example_of_bitmex():
    # app/autoDeleveragingExamples: accounts 1-6, their quantities and scores; fifths of the queue.
    quantity, score = [10, 10, 20, 30, 20, 10], [3, 6, 1, 4, 5, 2]
    assert (adl_quintile(score, quantity) * 20).tolist() == [80, 20, 100, 60, 40, 80]


def candidates(**columns):
    rows = {
        "notional": [110.0, 110.0, 90.0],
        "entry_notional": [100.0, 100.0, 100.0],
        "profit": [10.0, 10.0, -10.0],
        "leg_equity": [20.0, 11.0, 45.0],
        "wallet": [10.0, 1.0, 55.0],
        "equity": [20.0, 11.0, 45.0],
        "maintenance": [1.0, 1.0, 1.0],
    }
    return AdlCandidates(**(rows | columns))


def test_adl_scores_by_hand():
    rows = candidates()
    # 10% * 110 / 20; 10% * 110 / 11; a loss of 10% divided by 90 / 45
    assert adl_score("return_times_leverage", rows) == pytest.approx([0.55, 1.0, -0.05])
    assert adl_score("pnl_times_margin_ratio", rows) == pytest.approx([1 / 20, 10 / 11, 0.0])
    assert adl_score("gain_times_leverage", rows) == pytest.approx([1.1 * 5.5, 1.1 * 10, 0.9 * 2])
    assert adl_score("absolute_profit", rows).tolist() == [10.0, 10.0, -10.0]
    assert adl_order("least_net_collateral", rows).tolist() == [1, 0, 2]
    assert adl_order("absolute_profit", rows).tolist() == [0, 1, 2]


def test_adl_bad_input():
    with pytest.raises(InputError, match="adl_ranking"):
        adl_score("by_name", candidates())
    with pytest.raises(InputError, match="row 1, column leg_equity"):
        candidates(leg_equity=[1.0, 0.0, 1.0])
    with pytest.raises(InputError, match="profit"):
        candidates(profit=[1.0, np.nan, 1.0])


def test_funds_by_domain_and_their_errors():
    table = InstrumentTable(("A", "B"), [0, 0], [1.0, 1.0], [0, 1], ("USDT", "USDC"))
    funds = InsuranceFunds.by_instrument(table, {"B": 5.0})
    assert (funds.names, funds.domain.tolist()) == (("A", "B"), [0, 1])
    assert funds.balance.tolist() == [[0.0, 0.0], [0.0, 5.0]]
    with pytest.raises(InputError, match="covered by no fund"):
        InsuranceFunds.of(table, {"A": "one"}, {"one": {}})
    with pytest.raises(InputError, match="unknown fund"):
        InsuranceFunds.of(table, {"A": "one", "B": "two"}, {"one": {}})
    for amount in (-1.0, np.nan):
        with pytest.raises(InputError, match="negative"):
            InsuranceFunds.of(table, {"A": "one", "B": "one"}, {"one": {"USDT": amount}})
