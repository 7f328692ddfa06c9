"""Depth features of bars: held to the contract of a step, to pandas, least squares and a real book's true costs."""

import numpy as np
import pandas as pd
import pytest
import step_parity
from hypothesis import given
from hypothesis import strategies as st
from order_book_twin import ETH

from margincast.features.engine.bars import BarTable
from margincast.features.engine.program import Program
from margincast.features.engine.step import run_step
from margincast.features.liquidity.book_levels import ASK, BID
from margincast.features.liquidity.book_sequence import BINANCE_FUTURES
from margincast.features.liquidity.depth_measures import depth_within
from margincast.features.liquidity.depth_steps import (
    ThinnessStep,
    depth_formulas,
    interpolated_cost,
    recovery_rate,
    relative_depth,
)
from margincast.features.liquidity.execution_cost import execution_cost
from margincast.features.liquidity.order_book import OrderBook
from margincast.features.readers.book_feed_binance import BinanceRecording
from margincast.features.readers.book_feed_events import BookUpdate
from margincast.riskcore.errors import InputError

HOUR = np.timedelta64(1, "h")
LEVELS = (5.0, 10.0, 25.0)


def depth_table_of(bars=400, symbols=3, seed=0, gaps=0.01):
    """Bars whose depth reverts to a mean, with missing snapshots; depth grows with the level."""
    rng = np.random.default_rng(seed)
    columns, log = {}, np.zeros((2, symbols))
    paths = np.empty((bars, 2, symbols))
    for bar in range(bars):
        log = 0.8 * log + rng.normal(0, 0.3, (2, symbols))
        paths[bar] = log
    missing = rng.random((bars, symbols)) < gaps
    for s, side in enumerate(("bid", "ask")):
        inner = 0.0
        for k, level in enumerate(LEVELS):
            inner = inner + 1e5 * (k + 1) * np.exp(paths[:, s] + rng.normal(0, 0.1, (bars, symbols)))
            columns[f"{side}_{level:g}bps"] = np.where(missing, np.nan, inner)
    times = np.datetime64("2024-01-01", "ns") + np.arange(bars) * HOUR
    return BarTable(times, HOUR, tuple("ABC"[:symbols]), columns)


def test_formulas_keep_the_contract_of_a_step():
    program = Program(
        list(depth_formulas(LEVELS, 1.0, notionals=(5e4, 2e5), usual_hours=12.0, recovery_hours=24.0)), HOUR
    )
    step_parity.hold(program, depth_table_of(gaps=0.002), 300)


@pytest.mark.parametrize("window", [2.0, 24.0])
def test_thinness_keeps_the_contract_of_a_step(window):
    step_parity.hold(ThinnessStep(LEVELS, 1.0, window), depth_table_of(), 300)


def test_thinness_is_the_trailing_median_of_pandas():
    table = depth_table_of(bars=300, gaps=0.2)
    found = run_step(ThinnessStep(LEVELS, 1.0, 20.0), table, np.arange(1, 301))
    for k, level in enumerate(LEVELS):
        depth = pd.DataFrame(np.log(table.columns[f"bid_{level:g}bps"] + table.columns[f"ask_{level:g}bps"]))
        trailing = depth.shift(1).rolling(20, min_periods=1)
        expected = depth - trailing.median().where(trailing.count() >= 10)
        np.testing.assert_allclose(found[:, :, k], expected.to_numpy(), rtol=0, atol=1e-9)
    assert np.isnan(found).any() and (~np.isnan(found)).mean() > 0.6


def test_relative_depth_is_the_exponential_mean_of_pandas():
    log = np.random.default_rng(3).normal(13, 0.4, (200, 2))
    mean = pd.DataFrame(log).ewm(halflife=6.0).mean().shift(1)
    expected = (pd.DataFrame(log) - mean).to_numpy()
    found = relative_depth(log, 6.0)
    assert np.isnan(found[:6]).all()
    np.testing.assert_allclose(found[6:], expected[6:], rtol=1e-10, atol=1e-12)


def test_recovery_is_weighted_least_squares_and_finds_an_autoregression():
    rng, half_life = np.random.default_rng(4), 400.0
    log = np.zeros((3000, 1))
    for k in range(1, 3000):
        log[k] = 13.0 * 0.35 + 0.65 * log[k - 1] + rng.normal(0, 0.2)
    log[0] = log[1:].mean()
    found = recovery_rate(log, half_life)[-1, 0]
    before, change = log[:-1, 0], np.diff(log[:, 0])
    root = np.sqrt(0.5 ** (np.arange(len(change))[::-1] / half_life))
    fitted = np.linalg.lstsq(np.column_stack((root, root * before)), root * change, rcond=None)[0]
    assert found == pytest.approx(-fitted[1], rel=1e-7) and found == pytest.approx(0.35, abs=0.08)
    walk = np.cumsum(rng.normal(0, 0.2, (3000, 1)), axis=0)
    assert recovery_rate(walk, half_life)[-1, 0] < 0.05
    assert np.isnan(recovery_rate(np.full((50, 1), 13.0), 5.0)[-1, 0])


def pieces(levels, depth, notional):
    """Cost with every piece at its near and at its far level, and by integrating the inverse of the depth curve."""
    amounts = np.linspace(0, notional, 200_001)
    middle = 0.5 * (amounts[1:] + amounts[:-1])
    curve = np.interp(middle, [0.0, *depth], [0.0, *levels])
    place = np.searchsorted([0.0, *depth], middle)
    edges = np.array([0.0, *levels])
    return edges[place - 1].mean(), curve.mean(), edges[place].mean()


@given(st.lists(st.floats(1e3, 1e6), min_size=1, max_size=5), st.floats(0.01, 0.999))
def test_interpolated_cost_is_the_integral_of_the_curve(parts, share):
    levels, depth = np.cumsum([5.0, 5.0, 15.0, 25.0, 50.0])[: len(parts)].tolist(), np.cumsum(parts).tolist()
    notional = share * depth[-1]
    near, exact, far = pieces(levels, depth, notional)
    cost = interpolated_cost(levels, [np.array([d]) for d in depth], notional)[0]
    assert cost == pytest.approx(exact, rel=1e-4) and near <= cost * (1 + 1e-4) and cost <= far * (1 + 1e-4)


def test_interpolated_cost_says_nothing_where_it_cannot():
    levels = [5.0, 10.0]
    for depth, notional, known in (
        ([100.0, 300.0], 300.0, True),
        ([100.0, 300.0], 300.1, False),
        ([100.0, np.nan], 50.0, False),
        ([np.nan, 300.0], 200.0, False),
        ([300.0, 100.0], 50.0, False),
        ([0.0, 100.0], 50.0, True),
        ([100.0, 100.0], 100.0, True),
    ):
        cost = interpolated_cost(levels, [np.array([d]) for d in depth], notional)[0]
        assert np.isnan(cost) != known, (depth, notional)
    assert interpolated_cost(levels, [np.array([0.0]), np.array([100.0])], 50.0)[0] == 6.25
    with pytest.raises(InputError, match="column notional"):
        interpolated_cost(levels, [np.ones(1)] * 2, 0.0)


@pytest.mark.parametrize("levels", [(), (10.0, 5.0), (5.0, 5.0), (0.0, 5.0)])
def test_levels_that_cannot_be(levels):
    with pytest.raises(InputError, match="column levels"):
        list(depth_formulas(levels, 1.0))


def test_thinness_that_cannot_be():
    with pytest.raises(InputError, match="column levels"):
        ThinnessStep(())
    with pytest.raises(InputError, match="column window_hours"):
        ThinnessStep((5.0,), 1.0, 1.0)


@pytest.mark.skipif(not ETH.is_file(), reason=f"needs the recording {ETH}")
def test_interpolated_costs_of_a_real_book_bracket_the_true_ones():
    """The walk through every level lies between near and far level of each piece, and near their even spread."""
    updates = [e for e in BinanceRecording(ETH) if isinstance(e, BookUpdate)]
    book = OrderBook("ETHUSDT", BINANCE_FUTURES)
    levels, errors = [1.0, 2.0, 5.0, 10.0, 20.0], []
    for low in range(0, 6000, 200):
        book.apply(updates[low : low + 200])
        depth = depth_within(book.levels(), levels)
        for side in (BID, ASK):
            for notional in (2e5, 1e6, 3e6):
                cost = interpolated_cost(levels, [np.array([d]) for d in depth[side]], notional)[0]
                if not np.isnan(cost):
                    true = execution_cost(book.levels(), side, notional).impact_bps
                    near, _, far = pieces(levels, depth[side].tolist(), notional)
                    assert near * 0.99 <= true <= far * 1.01
                    errors.append(cost - true)
    assert len(errors) > 150 and np.abs(errors).max() < 1.5 and np.median(np.abs(errors)) < 0.4
