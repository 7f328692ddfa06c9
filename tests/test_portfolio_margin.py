"""Scenario margin: what any margin must do, under each way of netting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from portfolio_setups import RULES, SHOCK, each_rule, margin_of, market, random_book, rule_of

from margincast.riskcore.portfolio.attribution import attribute_margin
from margincast.riskcore.portfolio.contracts import PositionBook
from margincast.riskcore.portfolio.exposures import exposures, leg_exposures, unit_rows
from margincast.riskcore.portfolio.portfolio_rule import PortfolioRule, UnitRule
from margincast.riskcore.portfolio.risk_arrays import risk_arrays
from margincast.riskcore.portfolio.scenario_grid import DOWN, SAME, UP, ScenarioGrid
from margincast.riskcore.portfolio.scenario_margin import scenario_margin


@each_rule
def test_threads_change_no_bit(rule: PortfolioRule) -> None:
    book, arrays = random_book(1, pools=300), risk_arrays(*market(), rule)
    one, two = (scenario_margin(book, arrays, rule, threads=k) for k in (1, 2))
    for name in ("maintenance", "initial", "netted_part", "active"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@each_rule
@settings(max_examples=25, deadline=None)
@given(first=st.integers(0, 10**6), second=st.integers(0, 10**6))
def test_margin_of_independent_pools_is_that_of_each(rule: PortfolioRule, first: int, second: int) -> None:
    one, two = random_book(first), random_book(second)
    both = PositionBook(
        np.append(one.pool_pointer, one.pool_pointer[-1] + two.pool_pointer[1:]),
        np.append(one.contract, two.contract),
        np.append(one.quantity, two.quantity),
    )
    arrays = risk_arrays(*market(), rule)
    alone = [scenario_margin(book, arrays, rule).maintenance for book in (one, two)]
    np.testing.assert_array_equal(scenario_margin(both, arrays, rule).maintenance, np.concatenate(alone))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_units_of_a_summed_rule_are_independent(seed: int) -> None:
    """A pool needs the sum of what its units would need as pools of their own."""
    rule, book = RULES["sum"], random_book(seed, pools=1)
    margin, arrays = margin_of(book, rule)
    unit = arrays.contracts.unit[book.contract]
    order = np.argsort(unit, kind="stable")
    apart = PositionBook(
        np.append(0, np.cumsum(np.bincount(unit, minlength=3))), book.contract[order], book.quantity[order]
    )
    assert margin.maintenance[0] == pytest.approx(scenario_margin(apart, arrays, rule).maintenance.sum(), rel=1e-12)


@each_rule
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_margin_scales_with_positions(rule: PortfolioRule, seed: int, scale: float) -> None:
    rule = replace(rule, pool_minimum=0.0)
    book = random_book(seed)
    bigger = replace(book, quantity=scale * book.quantity)
    one, many = margin_of(book, rule)[0], margin_of(bigger, rule)[0]
    np.testing.assert_allclose(many.maintenance, scale * one.maintenance, rtol=1e-9, atol=1e-7)


@each_rule
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_positions_does_not_matter(rule: PortfolioRule, seed: int) -> None:
    book = random_book(seed, pools=1)
    shuffled = np.random.default_rng(seed).permutation(len(book.quantity))
    other = PositionBook(book.pool_pointer, book.contract[shuffled], book.quantity[shuffled])
    one, two = margin_of(book, rule)[0], margin_of(other, rule)[0]
    np.testing.assert_allclose(one.maintenance, two.maintenance, rtol=1e-9, atol=1e-7)


@each_rule
def test_long_and_short_of_one_contract_is_no_risk(rule: PortfolioRule) -> None:
    n = 24
    book = PositionBook(np.arange(n + 1) * 2, np.repeat(np.arange(n), 2), np.tile([3.5, -3.5], n))
    margin, _ = margin_of(book, rule)
    assert (margin.losses.profit == 0).all()
    assert (margin.netted == 0).all()


@each_rule
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_margin_is_never_below_what_is_stated(rule: PortfolioRule, seed: int) -> None:
    book = random_book(seed, pools=6)
    margin, arrays = margin_of(book, rule)
    held = np.diff(book.pool_pointer) > 0
    assert (margin.maintenance[held] >= rule.pool_minimum).all()
    assert (margin.maintenance[~held] == 0).all()
    assert (margin.initial >= margin.maintenance).all()
    measures = exposures(leg_exposures(book, arrays, unit_rows(book, arrays.contracts)), margin.losses.rows)
    unit = rule.unit_rule("BTC")
    least = np.bincount(margin.losses.rows.pool, measures @ unit.minimum.rates, minlength=6)
    added = np.bincount(margin.losses.rows.pool, measures @ unit.contingencies.rates, minlength=6)
    assert (margin.maintenance >= (rule.maintenance_factor * least + added) * (1 - 1e-12)).all()


@each_rule
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_legs_add_up_to_the_requirement(rule: PortfolioRule, seed: int) -> None:
    rule = replace(rule, pool_minimum=float(seed % 3) * 2_000)
    book = random_book(seed, pools=5)
    margin, arrays = margin_of(book, rule)
    legs = attribute_margin(book, arrays, rule, margin)
    total = np.bincount(book.pool_of_entry, legs.share, minlength=5)
    np.testing.assert_allclose(total, margin.maintenance, rtol=1e-9, atol=1e-6)


@each_rule
def test_a_leg_s_share_is_the_slope_of_margin(rule: PortfolioRule) -> None:
    """Euler: where one scenario binds, the share is quantity times the derivative."""
    book = PositionBook([0, 4], [0, 1, 2, 10], [1.0, -15.0, 40.0, -2.0])
    margin, arrays = margin_of(book, rule)
    share = attribute_margin(book, arrays, rule, margin).share
    for leg in range(4):
        step = 1e-6
        sides = [book.quantity * (1 + k * step * (np.arange(4) == leg)) for k in (-1, 1)]
        moved = [scenario_margin(replace(book, quantity=quantity), arrays, rule) for quantity in sides]
        slope = (moved[1].maintenance[0] - moved[0].maintenance[0]) / (2 * step)
        assert share[leg] == pytest.approx(slope, rel=1e-5, abs=1e-3)


def test_the_worst_scenario_by_name() -> None:
    grid = ScenarioGrid([0.0, 0.15, -0.6, 1.5], [UP, UP, SAME, DOWN], [1.0, 1.0, 0.5, 0.05])
    rule = rule_of(UnitRule(grid, SHOCK))
    margin, _ = margin_of(PositionBook([0, 1, 2], [0, 0], [-1.0, 1.0]), rule)
    assert margin.worst(rule) == ["BTC: price +15%, volatility up", "BTC: price -60%, weight 0.5"]


def test_tails_count_by_their_weight() -> None:
    grid = ScenarioGrid([0.1, 0.5], [SAME, SAME], [1.0, 0.4])
    margin, _ = margin_of(PositionBook([0, 1], [0], [-1.0]), rule_of(UnitRule(grid, SHOCK)))
    table, prices = market()
    size = float(table.multiplier[0] * prices.price[0])
    assert margin.maintenance[0] == pytest.approx(0.4 * 0.5 * size, rel=1e-12)
