"""Netting of risk units: by correlation, by offsets, and what a breakdown of correlations asks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from portfolio_setups import NOW, RHO, SHOCK, UNITS, margin_of, market, random_book, rule_of

from margincast.riskcore.errors import InputError
from margincast.riskcore.portfolio.contracts import LINEAR, PositionBook, contract_prices, contract_table
from margincast.riskcore.portfolio.correlation_breakdown import (
    ALL_ONE,
    AS_GIVEN,
    NO_NETTING,
    REVERSED,
    ZERO,
    correlation_breakdown,
)
from margincast.riskcore.portfolio.netting import MOST_SIDES, netted_losses, offset_losses
from margincast.riskcore.portfolio.netting_kernel import netting_pass
from margincast.riskcore.portfolio.portfolio_rule import CORRELATION, OFFSET, OffsetGroup, UnitRule
from margincast.riskcore.portfolio.risk_arrays import risk_arrays
from margincast.riskcore.portfolio.scenario_grid import SAME, ScenarioGrid


def test_all_correlations_one_is_the_sum_of_losses_on_one_side() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(1, 8))
        losses, rho = rng.uniform(0, 100, n), np.ones((n, n))
        for down, up in ((losses, 0 * losses), (0 * losses, losses)):
            loss, parts, _ = netted_losses(down, up, rho)
            assert loss == pytest.approx(losses.sum(), rel=1e-12)
            np.testing.assert_allclose(parts, losses, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), n=st.integers(1, 13), both=st.sampled_from([0.0, 0.5, 1.0]), rho=st.floats(-0.05, 1.0)
)
def test_netted_losses_are_the_worst_choice_of_sides(seed: int, n: int, both: float, rho: float) -> None:
    """Not above the plain sum; not below any choice of sides; parts add up."""
    rng = np.random.default_rng(seed)
    down = rng.uniform(0, 10, n)
    up = np.where(rng.random(n) < both, rng.uniform(0, 10, n), 0.0)
    matrix = np.where(np.eye(n, dtype=bool), 1.0, rho)
    loss, parts, _ = netted_losses(down, up, matrix)
    assert loss <= np.maximum(down, up).sum() * (1 + 1e-12)
    assert parts.sum() == pytest.approx(loss, rel=1e-9, abs=1e-9)
    for _ in range(20):
        signed = np.where((rng.random(n) < 0.5) & (up > 0), up, -down)
        assert loss >= math.sqrt(max(signed @ matrix @ signed, 0.0)) * (1 - 1e-12)


def test_breakdown_regimes_by_hand() -> None:
    """A hedge of 100 against 60 at a correlation of 0.8, and the same two on one side."""
    table = contract_table(["A", "B"], ["BTC", "ETH"], LINEAR, units=UNITS[:2])
    rule = rule_of(UnitRule(ScenarioGrid.product([-0.1, 0.0, 0.1], SAME), SHOCK), netting=CORRELATION, correlation=RHO)
    arrays = risk_arrays(table, contract_prices(NOW, [1_000.0, 600.0]), rule)
    found = correlation_breakdown(PositionBook([0, 2, 4], [0, 1, 0, 1], [1.0, -1.0, 1.0, 1.0]), arrays, rule)
    square, cross = 100.0**2 + 60.0**2, 2 * 100 * 60
    signs = {AS_GIVEN: -0.8, ALL_ONE: -1.0, ZERO: 0.0, REVERSED: 0.8}
    for regime, sign in signs.items():
        both = [math.sqrt(square + sign * cross), math.sqrt(square - sign * cross)]
        assert found.of(regime).tolist() == pytest.approx(both, rel=1e-12)
    assert found.of(NO_NETTING).tolist() == pytest.approx([160.0, 160.0])
    assert found.worst[0] == NO_NETTING
    assert found.of(ALL_ONE)[1] == pytest.approx(160.0)
    assert found.shortfall[0] == pytest.approx(160.0 - math.sqrt(square - 0.8 * cross))


def test_breakdown_needs_correlations() -> None:
    with pytest.raises(InputError, match="has no correlations"):
        arrays = risk_arrays(*market(), rule_of())
        correlation_breakdown(random_book(0), arrays, rule_of())


def test_a_short_straddle_hedges_nothing() -> None:
    """It loses on both sides, so a future of a correlated unit adds to it whichever side that is on."""
    down, up = np.array([50.0, 0.0]), np.array([40.0, 30.0])
    matrix = np.array([[1.0, 0.9], [0.9, 1.0]])
    loss, _, side = netted_losses(down, up, matrix)
    assert side.tolist() == [1, 1]
    assert loss == pytest.approx(math.sqrt(40**2 + 30**2 + 2 * 0.9 * 40 * 30))


def test_offsets_count_profits_in_part() -> None:
    """Two pools of two units, and one of a unit that never loses."""
    profit = np.array([[-100.0, 30.0], [80.0, -90.0], [1.0, 0.0], [-100.0, 30.0], [80.0, -90.0]])
    pool = np.array([0, 0, 1, 2, 2])
    parts, scenario = offset_losses(profit, np.array([0.5, 0.5, 0.9, 0.0, 0.0]), pool)
    assert parts.tolist() == [-15.0, 90.0, 0.0, 100.0, 0.0]
    assert scenario.tolist() == [1, 1, 1, 0, 0]


def test_offset_groups_lie_between_netting_and_the_sum() -> None:
    book = PositionBook([0, 2], [0, 1], [1.0, -18.0])
    needed = []
    for share in (0.0, 0.8, 1.0):
        groups = (OffsetGroup(("BTC", "ETH"), share),)
        needed.append(margin_of(book, rule_of(netting=OFFSET, offsets=groups))[0].maintenance[0])
    total = margin_of(book, rule_of())[0].maintenance[0]
    assert needed[2] < needed[1] < needed[0] <= total


def test_correlated_netting_of_many_pools_is_that_of_each() -> None:
    """One row against the formula: a pool with one unit is its scan loss, others go through `netted_losses`."""
    rule, book = rule_of(netting=CORRELATION, correlation=RHO), random_book(11, pools=40)
    margin, _ = margin_of(book, rule)
    losses, rows = margin.losses, margin.losses.rows
    for pool in range(40):
        own = np.flatnonzero(rows.pool == pool)
        unit = rows.unit[own]
        loss, _, _ = netted_losses(losses.down[own], losses.up[own], RHO.matrix[np.ix_(unit, unit)])
        assert margin.netted[pool] == pytest.approx(loss, rel=1e-12, abs=1e-12)


def test_the_netting_kernel_is_its_plain_twin_to_rounding() -> None:
    """Pools of none to fourteen units, more of them losing on both sides than are tried; equal losses among them."""
    rng = np.random.default_rng(4)
    loading = rng.normal(size=(14, 14))
    matrix = np.corrcoef(loading)
    counts = rng.integers(0, 15, 120)
    pointer, n = np.append(0, np.cumsum(counts)), int(counts.sum())
    unit = np.concatenate([np.sort(rng.choice(14, k, replace=False)) for k in counts])
    down, up = (np.where(rng.random(n) < 0.8, rng.integers(1, 40, n) / 4.0, 0.0) for _ in range(2))
    up[::5] = down[::5]
    part, side = np.empty(n), np.empty(n, np.int64)
    netting_pass(0, len(counts), pointer, unit, down, up, matrix, MOST_SIDES, part, side)
    for pool in np.flatnonzero(counts):
        own = slice(pointer[pool], pointer[pool + 1])
        loss, parts, sides = netted_losses(down[own], up[own], matrix[np.ix_(unit[own], unit[own])])
        np.testing.assert_allclose(part[own], parts, rtol=1e-12, atol=1e-12 * max(loss, 1.0))
        assert part[own].sum() == pytest.approx(loss, rel=1e-12)
        assert side[own].tolist() == sides.tolist()
