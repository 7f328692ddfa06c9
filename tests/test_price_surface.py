"""Price surfaces against evaluate, and the prices at which a pool has nothing left."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.distance_to_bankruptcy import liquidation_gap, zero_equity_price
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.price_surface import PriceAxis, price_surface
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

SEEDS = st.integers(0, 2**32 - 1)
ONE = PriceAxis(("BTC", "BTC_INV"), ("BTC",), [-0.5, -0.1, 0.0, 0.3])
TWO = PriceAxis(("ETH",), ("ETH", "USDC"), [-0.2, 0.0, 0.1])


@given(SEEDS)
@settings(max_examples=25)
def test_every_point_is_what_evaluate_says(draw, seed):
    world = draw.world(seed, pools=5)
    surface = price_surface(world.book, world.market, world.rules, ONE, TWO)
    assert surface.equity.shape == (5, 4, 3)
    for i, one in enumerate(ONE.moves):
        for j, two in enumerate(TWO.moves):
            mark, index = np.array(world.market.mark), np.array(world.market.index)
            mark[[0, 4]] *= 1 + one
            index[1] *= 1 + one
            mark[1] *= 1 + two
            index[[2, 3]] *= 1 + two
            state = evaluate(world.book, MarketState(world.market.time, mark, index), world.rules)
            np.testing.assert_array_equal(surface.equity[:, i, j], state.equity)
            np.testing.assert_array_equal(surface.headroom[:, i, j], state.headroom)
    now = evaluate(world.book, world.market, world.rules)
    np.testing.assert_array_equal(surface.headroom[:, 2, 1], now.headroom)
    under = surface.headroom < 0 if world.rules.strict_trigger else surface.headroom <= 0
    holds = np.diff(world.book.position_pointer) > 0
    np.testing.assert_array_equal(surface.breached, under & holds[:, None, None])


def test_axes_refused(draw):
    world = draw.world(1, pools=2)
    other = PriceAxis((), ("BTC",), [0.0])
    with pytest.raises(InputError, match="column assets: is on both axes .found 'BTC'"):
        price_surface(world.book, world.market, world.rules, ONE, other)
    with pytest.raises(InputError, match="column symbols: is on both axes .found 'BTC'"):
        price_surface(world.book, world.market, world.rules, ONE, PriceAxis(("BTC",), (), [0.0]))
    with pytest.raises(InputError, match="is the base asset"):
        price_surface(world.book, world.market, world.rules, PriceAxis((), ("USDT",), [0.0]), TWO)
    with pytest.raises(InputError, match="symbol"):
        price_surface(world.book, world.market, world.rules, PriceAxis(("XRP",), (), [0.0]), TWO)
    for moves, problem in (([-1.0], "row 0, column moves"), ([0.0, np.nan], "row 1, column moves"), ([], "shape")):
        with pytest.raises(InputError, match=problem):
            PriceAxis(("BTC",), (), moves)
    with pytest.raises(InputError, match="needs an instrument or an asset"):
        PriceAxis((), (), [0.0])


def moved(market, instrument, price):
    mark = np.array(market.mark)
    mark[instrument] = price
    return replace(market, mark=mark)


@given(SEEDS, st.booleans())
@settings(max_examples=40)
def test_equity_is_zero_at_the_price_and_has_one_sign_up_to_it(draw, seed, haircuts):
    world = draw.world(seed, pools=6)
    book, market, rules = world.book, world.market, world.rules
    price = zero_equity_price(book, market, rules, haircuts=haircuts)
    if not haircuts:
        rules = replace(rules, haircuts={a: HaircutSchedule([0.0], [1.0]) for a in book.instruments.assets})
    equity, pool = evaluate(book, market, rules).equity, np.repeat(np.arange(6), np.diff(book.position_pointer))
    for leg in np.flatnonzero(~np.isnan(price)):
        p, i = pool[leg], book.position_instrument[leg]
        there = evaluate(book, moved(market, i, price[leg]), rules).equity[p]
        worth = world.gross[p] * max(price[leg] / market.mark[i], market.mark[i] / price[leg])
        assert abs(there) <= 1e-9 * worth
        for share in (0.3, 0.9, 0.999):
            between = market.mark[i] + share * (price[leg] - market.mark[i])
            found = evaluate(book, moved(market, i, between), rules).equity[p]
            assert found * np.sign(equity[p]) >= -1e-9 * worth


def test_the_gap_by_hand():
    table = InstrumentTable(("BTC", "INV"), [LINEAR, INVERSE], [1.0, 100.0], [0, 1], ("USDT", "BTC"))
    rates = dict.fromkeys(table.symbols, RateSchedule.marginal([0.0], [0.05], [10.0]))
    rules = RuleBook("example", dt.date(2024, 1, 1), rates, {"BTC": HaircutSchedule([0.0], [0.5])}, closing_fee=0.05)
    market = MarketState(np.datetime64("2024-01-01"), [100.0, 100.0], [1.0, 100.0])
    short = AccountBook(table, ["a"], ["m"], [""], [0, 2], [0, 1], [10.0, 0.2], [0, 1], [0], [-1.0], [100.0], [np.nan])
    gap = liquidation_gap(short, market, rules)
    # 10 + 0.5 * 20 = 20 of equity: 20 - (p - 100) = 0.1 p at 120/1.1; nothing left at 130, or 120 after the haircut
    assert gap.liquidation[0] == pytest.approx(120 / 1.1)
    assert gap.bankruptcy[0] == pytest.approx(130.0)
    assert gap.to_bankruptcy[0] == pytest.approx(0.3)
    assert gap.gap[0] == pytest.approx((130 - 120 / 1.1) / (120 / 1.1))
    assert zero_equity_price(short, market, rules)[0] == pytest.approx(120.0)
    # a long inverse of one contract of 100 with 0.25 BTC: 0.25 + 1 - 100/p = 0 at 80
    long = AccountBook(table, ["a"], ["m"], [""], [0, 1], [1], [0.25], [0, 1], [1], [1.0], [100.0], [np.nan])
    assert zero_equity_price(long, market, rules)[0] == pytest.approx(80.0)
    safe = AccountBook(table, ["a"], ["m"], [""], [0, 1], [0], [500.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    assert np.isnan(zero_equity_price(safe, market, rules)[0])
    for haircuts in (True, False):
        with pytest.raises(InputError, match="does not accept it as collateral"):
            zero_equity_price(short, market, replace(rules, haircuts={}), haircuts=haircuts)


@given(SEEDS)
@settings(max_examples=30)
def test_a_healthy_single_leg_is_liquidated_before_it_has_nothing_left(draw, seed):
    world = draw.world(seed, pools=12)
    book = world.book.take(np.flatnonzero(np.diff(world.book.position_pointer) == 1))
    state = evaluate(book, world.market, world.rules)
    gap = liquidation_gap(book, world.market, replace(world.rules, maintenance_at="mark"), haircuts=True)
    fit = (state.headroom > 0) & ~np.isnan(gap.bankruptcy) & ~np.isnan(gap.liquidation)
    assert (np.abs(gap.to_liquidation) <= np.abs(gap.to_bankruptcy) * (1 + 1e-9))[fit].all()
