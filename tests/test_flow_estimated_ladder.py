"""The estimated ladder against lots kept one by one, and what it must do whatever the prices."""

import numpy as np
import pytest
from step_parity import hold

from margincast.features.engine.bars import BarTable
from margincast.features.engine.step import run_step
from margincast.features.flow.estimated_ladder import CELL, WITHIN, EstimatedLadderStep
from margincast.riskcore.errors import InputError

HOUR = np.timedelta64(1, "h")


def table_of(bars, seed=0, volatility=0.01, reports=3):
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, volatility, (bars, 2)), axis=0))
    high, low = (
        close * np.exp(rng.uniform(0, volatility, close.shape)),
        close * np.exp(-rng.uniform(0, volatility, close.shape)),
    )
    interest = 1e4 * np.exp(np.cumsum(rng.normal(0, 0.03, close.shape), axis=0))
    interest = np.where(np.arange(bars)[:, None] % reports == 0, interest, np.nan)
    times = np.datetime64("2024-01-01", "ns") + np.arange(bars) * HOUR
    columns = {"high": high, "low": low, "close": close, "open_interest": interest}
    return BarTable(times, HOUR, ("BTC", "ETH"), columns)


def plain_shares(table, coin, step):
    """Lots [rung, amount] of each side, one at a time."""
    rung = lambda price: int(np.floor(np.log(price) / CELL))  # noqa: E731
    lots = {-1: [], 1: []}
    for bar in range(len(table)):
        high, low, close, interest = (
            table.columns[name][bar, coin] for name in ("high", "low", "close", "open_interest")
        )
        kept = {
            -1: [x for x in lots[-1] if x[0] <= min(rung(low), rung(close))],
            1: [x for x in lots[1] if x[0] >= max(rung(high), rung(close))],
        }
        lots = {side: [(r, a * 0.5 ** (1 / step.half_life_hours)) for r, a in kept[side]] for side in kept}
        if np.isnan(interest):
            continue
        for side in lots:
            total = sum(a for _, a in lots[side])
            if interest <= total:
                lots[side] = [(r, a * interest / total) for r, a in lots[side]]
            else:
                for leverage, share in step.leverages.items():
                    price = close * (1 + side * (1 / leverage - step.maintenance))
                    lots[side].append((rung(price), (interest - total) * share))
    out = []
    for side in (-1, 1):
        total = sum(a for _, a in lots[side])
        for size in WITHIN:
            edge = np.log(close * (1 + side * size)) / CELL
            passed = [np.clip(r + 1 - edge if side < 0 else edge - r, 0, 1) * a for r, a in lots[side]]
            out.append(sum(passed) / total)
    return out


@pytest.mark.parametrize("seed", range(3))
def test_the_rings_are_lots_kept_one_by_one(seed):
    table, step = table_of(200, seed), EstimatedLadderStep(half_life_hours=30.0)
    found = run_step(step, table, np.array([200]))[0]
    for coin in range(2):
        np.testing.assert_allclose(found[coin], plain_shares(table, coin, step), rtol=1e-9, atol=1e-12)


def test_the_estimated_ladder_keeps_the_contract_of_a_feature():
    hold(EstimatedLadderStep(), table_of(160, 4), 120)


def test_a_fall_clears_the_longs_it_passes_and_leaves_the_shorts():
    table = table_of(60, 1, volatility=0.002, reports=1)
    columns = {name: values.copy() for name, values in table.columns.items()}
    columns["low"][59] *= 0.93
    fallen = BarTable(table.times, HOUR, table.symbols, columns)
    step = EstimatedLadderStep()
    state, other = step.start(table.symbols), step.start(table.symbols)
    for bar in range(59):
        step.update(state, table.row(bar))
    other = {name: values.copy() for name, values in state.items()}
    step.update(state, table.row(59))
    step.update(other, fallen.row(59))
    before, after = step.read(state), step.read(other)
    # replaced by new positions at the close, whose rungs are where the assumed leverages put them
    assert (after[:, 4:] == before[:, 4:]).all()
    assert not np.allclose(after[:, :4], before[:, :4])


def test_shares_grow_with_the_move_and_nearer_rungs_with_more_leverage():
    table = table_of(120, 2)
    cautious, bold = (run_step(EstimatedLadderStep({a: 1.0}), table, np.array([120]))[0] for a in (5.0, 50.0))
    for found in (cautious, bold):
        for side in (found[:, :4], found[:, 4:]):
            assert (np.diff(side, axis=1) >= -1e-12).all() and (side >= 0).all() and (side <= 1 + 1e-12).all()
    assert (bold[:, 2] > cautious[:, 2]).all() and (bold[:, 6] > cautious[:, 6]).all()


def test_scaling_open_interest_changes_no_share_and_far_moves_of_price_no_bounds():
    table = table_of(150, 3, volatility=0.08, reports=1)
    scaled = dict(table.columns) | {"open_interest": 1e6 * table.columns["open_interest"]}
    step, at = EstimatedLadderStep(), np.arange(151)
    one, other = (run_step(step, t, at) for t in (table, BarTable(table.times, HOUR, table.symbols, scaled)))
    np.testing.assert_allclose(other, one, rtol=1e-9)
    jump = {name: values.copy() for name, values in table.columns.items()}
    for name in ("high", "low", "close"):
        jump[name][75:] *= 1e4
    found = run_step(step, BarTable(table.times, HOUR, table.symbols, jump), at)[1:]
    assert np.nanmin(found) >= 0 and np.nanmax(found) <= 1 + 1e-12 and not np.isnan(found[78:]).any()


def test_a_missing_price_and_stale_interest_are_not_known():
    table = table_of(60, 5)
    columns = {name: values.copy() for name, values in table.columns.items()}
    for name in ("high", "low", "close"):
        columns[name][40, 0] = np.nan
    columns["open_interest"][20:, 1] = np.nan
    found = run_step(
        EstimatedLadderStep(known_hours=10.0), BarTable(table.times, HOUR, table.symbols, columns), np.arange(61)
    )
    assert np.isnan(found[41, 0]).all() and not np.isnan(found[42, 0]).any()
    assert not np.isnan(found[28, 1]).any() and np.isnan(found[32:, 1]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"leverages": {10.0: 0.5}}, "column leverages: shares must not be negative and add up to one"),
        ({"leverages": {300.0: 1.0}}, "column leverages: must be above 1 and below 1 / maintenance"),
        ({"half_life_hours": 0.0}, "column half_life_hours: must be positive"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        EstimatedLadderStep(**settings)
