"""Measures of one book against exact fractions and figures worked out by hand; the price grid."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margincast.features.liquidity.book_levels import ASK, BID, BookLevels
from margincast.features.liquidity.depth_measures import (
    depth_elasticity,
    depth_within,
    imbalance,
    microprice,
    price_slope,
    spread_bps,
    top_imbalance,
)
from margincast.features.liquidity.execution_cost import execution_cost
from margincast.features.liquidity.price_grid import PriceGrid
from margincast.riskcore.errors import InputError

BANDS = [1.0, 2.5, 5.0, 10.0, 33.0, 50.0, 100.0, 250.0, 1000.0]


@st.composite
def books(draw):
    """A book of up to 12 levels a side on ticks of 1/20, with a mid on which bands of whole basis points fall."""
    best = draw(st.integers(400, 4000))
    spread = draw(st.integers(1, 40))
    steps = st.lists(st.integers(1, 60), max_size=11)
    sizes = st.integers(1, 10**6)
    sides = []
    for sign, start in ((-1, best), (1, best + spread)):
        ticks = [start + sign * move for move in np.cumsum([0, *draw(steps)]).tolist()]
        sides.append([(t / 20, draw(sizes) / 1000) for t in ticks if t > 0])
    return BookLevels.of_prices(*sides)


def exact(book, side):
    """Price and size as fractions of the decimals they stand for."""
    prices, sizes = book.side(side)
    return [
        (Fraction(round(p * 20), 20), Fraction(round(s * 1000), 1000))
        for p, s in zip(prices.tolist(), sizes.tolist(), strict=True)
    ]


def exact_mid(book):
    return (exact(book, BID)[0][0] + exact(book, ASK)[0][0]) / 2


def tick_of(book):
    return Fraction(book.grid.units, book.grid.scale)


@given(books())
def test_depth_within_bands_is_exact_about_who_is_inside(book):
    depth, mid = depth_within(book, BANDS), exact_mid(book)
    for b, band in enumerate(BANDS):
        reach = Fraction(band) / 10_000
        bids = [p * s for p, s in exact(book, BID) if p >= mid * (1 - reach)]
        asks = [p * s for p, s in exact(book, ASK) if p <= mid * (1 + reach)]
        known = (
            exact(book, BID)[-1][0] - tick_of(book) < mid * (1 - reach),
            exact(book, ASK)[-1][0] + tick_of(book) > mid * (1 + reach),
        )
        for side, inside in ((BID, bids), (ASK, asks)):
            if known[side]:
                assert depth[side, b] == pytest.approx(float(sum(inside)), rel=1e-12)
            else:
                assert np.isnan(depth[side, b])
    seen = depth_within(book.as_seen(), BANDS)
    assert not np.isnan(seen).any() and (np.diff(seen, axis=1) >= 0).all()
    assert ((seen == depth) | np.isnan(depth)).all()


@given(books(), st.floats(1.0, 1e7), st.sampled_from([BID, ASK]))
def test_execution_cost_is_the_walk_in_fractions(book, notional, side):
    left = whole = Fraction(notional) / exact_mid(book)
    paid = Fraction(0)
    for price, size in exact(book, side):
        taken = min(left, size)
        paid, left = paid + taken * price, left - taken
    cost = execution_cost(book, side, notional)
    total = sum(size for _, size in exact(book, side))
    if abs(total / whole - 1) < Fraction(1, 10**12):
        return
    if left > 0:
        assert np.isnan(cost.average_price) and cost.reason
        return
    average = paid / whole
    assert cost.average_price == pytest.approx(float(average), rel=1e-12)
    assert cost.impact_bps == pytest.approx(float(abs(average / exact_mid(book) - 1) * 10_000), rel=1e-9, abs=1e-9)
    assert cost.impact_bps >= spread_bps(book) / 2 - 1e-9


@given(books(), st.sampled_from([None, 5.0, 50.0]))
def test_the_microprice_lies_within_the_spread_and_leans_to_the_thin_side(book, band):
    price = microprice(book.as_seen(), band)
    if np.isnan(price):
        assert band is not None
        return
    depth = [book.bid_sizes[0], book.ask_sizes[0]] if band is None else depth_within(book.as_seen(), [band])[:, 0]
    assert book.bid_prices[0] - 1e-9 <= price <= book.ask_prices[0] + 1e-9
    assert np.sign(round(price - book.mid, 9)) in (0, np.sign(depth[0] - depth[1]))


def test_a_level_on_the_edge_of_a_band_is_in_it():
    """Comparing prices in doubles puts about one such level in twenty outside."""
    book = BookLevels.of_prices([[99.5, 1.0], [99.0, 1.0]], [[100.5, 1.0], [101.0, 1.0]])
    assert depth_within(book, [50.0, 100.0]).tolist() == [[99.5, 198.5], [100.5, 201.5]]
    for middle in range(1000, 60000, 997):
        bid, ask = middle * 0.01 - 0.01, middle * 0.01 + 0.01
        wide = [[bid, 1.0], [middle * 99 / 10_000, 1.0]], [[ask, 1.0], [middle * 101 / 10_000, 1.0]]
        sides = [[[round(p, 6), s] for p, s in side] for side in wide]
        assert (depth_within(BookLevels.of_prices(*sides), [100.0])[:, 0] > middle * 0.0198).all()


def test_hand_worked_measures():
    book = BookLevels.of_prices([[99.0, 3.0], [98.0, 7.0]], [[101.0, 1.0], [102.0, 2.0]])
    assert spread_bps(book) == 200.0 and top_imbalance(book) == 0.5 and microprice(book) == 100.5
    assert depth_within(book, [100.0, 200.0]).tolist() == [[297.0, 983.0], [101.0, 305.0]]
    assert microprice(book, 200.0) == pytest.approx((983 * 101 + 305 * 99) / 1288, rel=1e-15)
    assert imbalance(np.array([983.0]), np.array([305.0])).tolist() == [678 / 1288]


def test_an_order_that_takes_a_level_whole_takes_no_more():
    book = BookLevels.of_prices([[99.0, 2.0], [98.0, 1.0]], [[101.0, 1.0]])
    first, both = execution_cost(book, BID, 200.0), execution_cost(book, BID, 300.0)
    assert (first.average_price, first.worst_price) == (99.0, 99.0)
    assert (both.average_price, both.worst_price) == ((2 * 99.0 + 98.0) / 3.0, 98.0)


def test_the_slope_of_naes_and_skjeltorp_by_hand():
    bids = [[99.0, 2.0], [98.0, 5.0], [96.0, 10.0]]
    book = BookLevels.of_prices(bids, [[101.0, 1.0]])
    v = np.log([198.0, 198.0 + 490.0, 198.0 + 490.0 + 960.0])
    expected = (v[0] / 0.01 + (v[1] / v[0] - 1) / (1 / 99) + (v[2] / v[1] - 1) / (2 / 98)) / 3
    assert price_slope(book, BID, 3) == pytest.approx(expected, rel=1e-10)
    assert np.isnan(price_slope(book, BID, 4)) and np.isnan(price_slope(book, ASK, 2))
    small = BookLevels.of_prices([[99.0, 0.01]], [[101.0, 1.0]])
    assert np.isnan(price_slope(small, BID, 1)) and price_slope(small, ASK, 1) == pytest.approx(np.log(101) / 0.01)


@given(st.floats(0.2, 3.0), st.floats(1.0, 1e6))
def test_elasticity_is_the_exponent_of_a_power_law_and_the_fit_of_numpy(exponent, scale):
    bands = [1.0, 3.0, 10.0, 40.0]
    power = [np.array([scale * band**exponent]) for band in bands]
    assert depth_elasticity(bands, power)[0] == pytest.approx(exponent, rel=1e-9)
    rough = [p * f for p, f in zip(power, (1.0, 2.0, 0.7, 1.1), strict=True)]
    fitted = np.polyfit(np.log(bands), [np.log(p[0]) for p in rough], 1)[0]
    assert depth_elasticity(bands, rough)[0] == pytest.approx(fitted, rel=1e-9, abs=1e-9)
    assert np.isnan(depth_elasticity(bands, [*power[:-1], np.array([0.0])])[0])


def test_a_book_of_one_side_says_nothing():
    book = BookLevels.of_prices([[99.0, 3.0]], [])
    values = [spread_bps(book), top_imbalance(book), microprice(book), price_slope(book, BID, 1), book.mid]
    assert np.isnan(values).all() and np.isnan(depth_within(book, [5.0])).all()
    assert execution_cost(book, BID, 10.0).reason == "one-sided book"


@pytest.mark.parametrize("bands", [[0.0], [-1.0], [10_000.0], [np.nan]])
def test_bands_that_cannot_be(bands):
    with pytest.raises(InputError, match="column bands: bands must lie between 0 and 10,000"):
        depth_within(BookLevels.of_prices([[99.0, 1.0]], [[101.0, 1.0]]), bands)


def test_arguments_that_cannot_be():
    book = BookLevels.of_prices([[99.0, 1.0]], [[101.0, 1.0]])
    for notional in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="column notional: must be positive and finite"):
            execution_cost(book, BID, notional)
    for bands in ([5.0], [5.0, 5.0], [0.0, 5.0]):
        with pytest.raises(InputError, match="column bands: needs two positive bands"):
            depth_elasticity(bands, [np.ones(1)] * len(bands))
    with pytest.raises(InputError, match="levels must stand best first"):
        BookLevels.of_prices([[98.0, 1.0], [99.0, 1.0]], [[101.0, 1.0]])
    with pytest.raises(InputError, match="best bid must be below the best ask"):
        BookLevels.of_prices([[101.0, 1.0]], [[101.0, 1.0]])


@given(st.sampled_from(["0.1", "0.01", "0.0001", "0.25", "0.5", "5", "0.00000001", "2.5"]), st.data())
def test_prices_go_to_ticks_and_back_without_a_change(tick, data):
    """The price is read from its decimal text, as a venue sends it."""
    ticks = data.draw(st.lists(st.integers(1, 10**7), min_size=1, max_size=9))
    prices = np.array([float(Fraction(t) * Fraction(tick)) for t in ticks])
    grid = PriceGrid.of_tick(tick)
    assert grid.ticks(prices).tolist() == ticks and grid.prices(np.array(ticks)).tolist() == prices.tolist()
    found = PriceGrid.of_prices(prices)
    multiple = Fraction(found.units, found.scale) / Fraction(tick)
    assert multiple.denominator == 1 and (found.prices(found.ticks(prices)) == prices).all()
    assert int(np.gcd.reduce(np.array(ticks))) == multiple
    other = np.array([0.1875])
    both = found.refined(other)
    assert not both.nearest(other)[1].any() and not both.nearest(prices)[1].any()
    whole = Fraction(found.units, found.scale)
    assert found.in_ticks_of(both) * Fraction(both.units, both.scale) == whole


@pytest.mark.parametrize("tick", ["0", "-0.1", "nan", "inf", "x", "0.00000000001"])
def test_ticks_that_cannot_be(tick):
    with pytest.raises(InputError, match="column tick"):
        PriceGrid.of_tick(tick)


def test_prices_that_are_no_decimals_are_refused():
    with pytest.raises(InputError, match="row 1, column price: is no decimal of at most 10 places"):
        PriceGrid.of_prices(np.array([1.5, 1 / 3]))
    with pytest.raises(InputError, match="column price"):
        PriceGrid.of_prices(np.array([1e17]))
