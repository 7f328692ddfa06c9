"""The bound of headroom over a block of bars: never above what is found inside, and no looser than it need be."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.arrays import frozen
from margincast.riskcore.compiled import compile_book, compile_rules
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin_layout import lay_out
from margincast.riskcore.passage_kernel import headroom_at, headroom_bound
from margincast.riskcore.price_pyramid import build_pyramid
from margincast.riskcore.rulebook import RateSchedule, RuleBook

SEEDS = st.integers(0, 2**32 - 1)


def boxed(draw, seed, width, **options):
    """A layout, a box of prices and of funding, and points in it: corners and others."""
    rng = np.random.default_rng(seed)
    book, rules = draw.book(seed, 15, leverage=float(rng.choice([1.0, 4.0, 15.0]))), draw.rules(seed, **options)
    layout = lay_out(compile_book(book), compile_rules(rules, book.instruments, book))
    centre = np.append(draw.market(seed).mark, 0.999)
    low, high = centre * np.exp(-width * rng.random(7)), centre * np.exp(width * rng.random(7))
    paid = np.sort(rng.normal(0, width * 0.01, (2, 6)), axis=0) * centre[:6]
    at = np.vstack((rng.integers(0, 2, (24, 7)), rng.random((24, 7))))
    points = [frozen(np.where(a == 0, low, np.where(a == 1, high, low + (high - low) * a)), np.float64) for a in at]
    return layout, [frozen(x, np.float64) for x in (low, high, *paid, paid.min(axis=0) - 1)], points


@given(SEEDS, st.sampled_from([0.003, 0.03, 0.3]))
@settings(max_examples=150)
def test_no_point_of_a_block_is_below_its_bound(draw, seed, width):
    layout, (low, high, paid_low, paid_high, before), points = boxed(draw, seed, width)
    series = build_pyramid(draw.history(0, 2)).arrays
    for slot in range(15):
        bound = headroom_bound(slot, layout, series, low, high, paid_low, paid_high, before)
        for point in points:
            for paid in (paid_low, paid_high):
                assert headroom_at(slot, layout, series, point, paid, before)[1] >= bound


@pytest.mark.parametrize("quantity", [1.0, -1.0])
def test_the_bound_sees_a_jump_within_the_block(draw, quantity):
    """1% below a notional of 100, 50% from there on: the headroom of a long is lowest just where the tier begins."""
    table = InstrumentTable.linear_perpetuals(["X"])
    book = AccountBook(table, ["a"], ["m"], [""], [0, 1], [0], [200.0], [0, 1], [0], [quantity], [100.0], [np.nan])
    rules = RuleBook("one", dt.date(2024, 1, 1), {"X": RateSchedule.cliff([0, 100], [0.01, 0.5], [10, 2])})
    layout = lay_out(compile_book(book), compile_rules(rules, book.instruments, book))
    series = build_pyramid(draw.history(0, 2)).arrays
    low, high, paid = (frozen([x], np.float64) for x in (95.0, 120.0, 0.0))
    bound = headroom_bound(0, layout, series, low, high, paid, paid, paid)
    found = [
        headroom_at(0, layout, series, frozen([p], np.float64), paid, paid)[1] for p in np.arange(95.0, 120.5, 0.5)
    ]
    assert bound <= min(found)
    assert bound >= (100 + 95 - 0.01 * 95 - 50 if quantity > 0 else 100 + 80 - 0.5 * 120) - 1e-6


@given(SEEDS)
@settings(max_examples=40)
def test_the_bound_over_one_point_is_the_headroom_there(draw, seed):
    """But for the slack, and the allowance for jumps, which marginal schedules have not."""
    layout, (_, _, paid, _, before), points = boxed(draw, seed, 0.1, kinds=("marginal",))
    series = build_pyramid(draw.history(0, 2)).arrays
    for slot in range(15):
        bound = headroom_bound(slot, layout, series, points[0], points[0], paid, paid, before)
        equity, headroom = headroom_at(slot, layout, series, points[0], paid, before)
        assert headroom - 1e-8 * (abs(equity) + abs(headroom) + 1e6) <= bound <= headroom
