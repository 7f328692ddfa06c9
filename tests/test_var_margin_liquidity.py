"""Cost and time to close positions through depth: by hand, against a plain walk, and as properties."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.portfolio.contracts import PositionBook
from margincast.riskcore.portfolio.liquidity_addon import (
    ClosingRule,
    MarketDepth,
    closing_cost,
    concentration_addon,
)

RULE = ClosingRule(impact=0.8, participation=0.1, base_days=2.0)


def market_of(seed=0, n=3, levels=4):
    rng = np.random.default_rng(seed)
    mid, half = rng.uniform(1, 1000, n), rng.uniform(1e-4, 2e-3, n)
    return MarketDepth(
        mid * (1 - half),
        mid * (1 + half),
        np.cumsum(rng.uniform(5e-4, 5e-3, levels)),
        np.cumsum(rng.exponential(1e5, (n, levels)), axis=1),
        np.cumsum(rng.exponential(1e5, (n, levels)), axis=1),
        rng.uniform(1e6, 1e8, n),
        rng.uniform(0.01, 0.1, n),
    )


def walk(size, half, levels, within, volume, volatility, rule):
    """Unit by band: each band's fill pays its distance, the rest the last distance and the square-root move."""
    cost, filled = 0.0, 0.0
    for level, upto in zip(levels, within, strict=True):
        take = max(min(upto, size) - filled, 0.0)
        cost, filled = cost + take * max(level, half), filled + take
    beyond = size - filled
    return cost + beyond * (max(levels[-1], half) + rule.impact * volatility * math.sqrt(beyond / volume))


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.floats(0.0, 3e6), st.sampled_from([1.0, -1.0]))
def test_equals_a_plain_walk(seed, size, side):
    market = market_of(seed)
    found = closing_cost(np.full(3, side * size), np.arange(3), market, RULE)
    depth = market.bid_notional if side > 0 else market.ask_notional
    half = (market.ask - market.bid) / (market.ask + market.bid)
    for i in range(3):
        expected = walk(size, half[i], market.level, depth[i], market.daily_volume[i], market.daily_volatility[i], RULE)
        assert found.total[i] == pytest.approx(expected, rel=1e-10, abs=1e-9)
        assert found.margin_days[i] == pytest.approx(max(2.0, size / (0.1 * market.daily_volume[i])), rel=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(1.0, 2e6), st.floats(1.01, 5.0))
def test_cost_rises_more_than_in_proportion_and_scales_with_the_market(seed, size, factor):
    market = market_of(seed)
    one, more = (closing_cost(np.full(3, s), np.arange(3), market, RULE).total for s in (size, factor * size))
    assert (more >= factor * one * (1 - 1e-12)).all()
    grown = replace(
        market,
        bid_notional=market.bid_notional * factor,
        ask_notional=market.ask_notional * factor,
        daily_volume=market.daily_volume * factor,
    )
    scaled = closing_cost(np.full(3, factor * size), np.arange(3), grown, RULE).total
    np.testing.assert_allclose(scaled, factor * one, rtol=1e-10)


def test_nothing_to_close_costs_nothing():
    found = closing_cost([0.0], [1], market_of(), RULE)
    assert (found.total[0], found.days[0], found.margin_days[0]) == (0.0, 0.0, 2.0)


def test_a_size_inside_the_first_level_pays_that_level_whatever_the_impact():
    market = market_of(5)
    size = np.array([0.5 * market.bid_notional[0, 0]])
    for impact in (0.0, 1.0, 7.0):
        found = closing_cost(size, [0], market, replace(RULE, impact=impact))
        assert found.total[0] == pytest.approx(size[0] * market.level[0], rel=1e-12)
        assert found.impact[0] == found.beyond[0] == 0


def two_sided(seed):
    rng = np.random.default_rng([seed, 3])
    counts = rng.integers(0, 6, 8)
    n = int(counts.sum())
    return PositionBook(np.append(0, counts.cumsum()), rng.integers(0, 3, n), rng.normal(0, 400, n))


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_concentration_is_never_negative_and_is_shared_out_whole(seed):
    market, book = market_of(seed), two_sided(seed)
    found = concentration_addon(book, market.mid, market, RULE)
    assert (found.addon >= 0).all() and (found.pool >= 0).all()
    assert found.pool.sum() == pytest.approx(found.addon.sum(), rel=1e-10, abs=1e-9)
    np.testing.assert_allclose(found.addon, np.maximum(found.joint - found.alone, 0), rtol=1e-12)
    net = np.zeros(3)
    np.add.at(net, book.contract, book.quantity * market.mid[book.contract])
    np.testing.assert_allclose(found.joint, closing_cost(net, np.arange(3), market, RULE).total, rtol=1e-9, atol=1e-9)


def test_accounts_on_one_side_concentrate_and_opposite_ones_do_not():
    market = market_of(1)
    same = concentration_addon(PositionBook([0, 1, 2], [0, 0], [900.0, 300.0]), market.mid, market, RULE)
    assert same.addon[0] > 0 and same.addon[1:].tolist() == [0, 0]
    assert same.pool[0] == pytest.approx(3 * same.pool[1])
    opposite = concentration_addon(PositionBook([0, 1, 2], [0, 0], [900.0, -900.0]), market.mid, market, RULE)
    assert opposite.addon.tolist() == opposite.joint.tolist() == [0, 0, 0] and opposite.alone[0] > 0
    split = concentration_addon(PositionBook([0, 2], [0, 0], [900.0, -300.0]), market.mid, market, RULE)
    assert split.pool.tolist() == [0.0]


def table(seed, place, value):
    changed = np.array(market_of(seed).bid_notional)
    changed[place] = value
    return changed


@pytest.mark.parametrize(
    ("column", "wrong", "message"),
    [
        ("bid", [1.0, 1e9, 1.0], "row 1, column bid: the book is crossed, the ask is .*found 1000000000.0"),
        ("bid", [math.nan, 1.0, 1.0], "row 0, column bid: must be a number above zero .found nan."),
        ("ask", [1.0, math.inf, 1.0], "row 1, column ask: must be a number above zero"),
        ("ask", [1.0], "column ask: needs one value for each of 3 instruments"),
        ("daily_volume", [1.0, 1.0, 0.0], "row 2, column daily_volume: must be a number above zero"),
        ("daily_volatility", [1.0, math.nan, 1.0], "row 1, column daily_volatility: must be a number above zero"),
        ("level", [0.1, 0.1, 0.2, 0.3], "row 1, column level: must be fractions that rise"),
        ("level", [], "column level: needs at least one distance"),
        ("bid_notional", np.ones((3, 2)), r"column bid_notional: must have the shape \(3, 4\)"),
        (
            "bid_notional",
            table(0, (2, 1), math.nan),
            r"row 2, column bid_notional\[1\]: must be a number that does not",
        ),
        (
            "bid_notional",
            table(0, (1, 3), 0.0),
            r"row 1, column bid_notional\[3\]: must be a number that does not fall",
        ),
        ("ask_notional", table(0, 1, 0.0), "row 1, column ask_notional: the book is empty .found 0.0."),
    ],
)
def test_wrong_depth_is_one_clear_error(column, wrong, message):
    with pytest.raises(InputError, match=message) as found:
        replace(market_of(), **{column: wrong})
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: closing_cost([1.0, math.nan], [0, 0], m, RULE), "row 1, column notional: must be a finite number"),
        (
            lambda m: closing_cost([1.0], [3], m, RULE),
            "row 0, column instrument: unknown instrument; there is depth for 3",
        ),
        (lambda m: concentration_addon(PositionBook([0, 1], [3], [1.0]), m.mid, m, RULE), "column contract: unknown"),
        (
            lambda m: concentration_addon(PositionBook([0, 1], [0], [1.0]), [1.0], m, RULE),
            "column unit_notional: needs",
        ),
        (
            lambda m: concentration_addon(PositionBook([0], [], []), [1.0, -1, 1], m, RULE),
            "row 1, column unit_notional",
        ),
        (lambda m: ClosingRule(impact=-1.0), "column impact"),
        (lambda m: ClosingRule(base_days=0.0), "column base_days"),
    ],
)
def test_what_cannot_be_closed_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(market_of())
