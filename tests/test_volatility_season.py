"""The season step against season_ahead, and volatility with its season taken out."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from step_parity import hold
from volatile_market import volatile_market

from margincast.features.engine.step import run_step
from margincast.features.volatility.season_ahead import season_ahead
from margincast.features.volatility.season_step import DeseasonalisedStep, SeasonStep
from margincast.riskcore.errors import InputError

NAMES = ["season_day_1h", "season_week_1h", "season_week_4h", "season_week_24h"]


def deviation(table, week):
    span = pd.DataFrame(np.log(table.columns["high"] / table.columns["low"]))
    return (np.log(span.where(span > 0)) - 0.5 * np.log((span**2).rolling(week).mean())).to_numpy()


def by_season_ahead(table):
    day = round(24 / table.bar_hours)
    ahead = [max(round(hours / table.bar_hours), 1) for hours in (1, 4, 24)]
    values = deviation(table, 7 * day)
    columns = [season_ahead(values, ahead[0], day, 28), *(season_ahead(values, one, 7 * day, 12) for one in ahead)]
    return np.stack(columns, axis=2)


@pytest.mark.parametrize(("minutes", "bars"), [(60, 2600), (240, 900), (15, 1500)])
def test_it_is_season_ahead_of_log_ranges(minutes, bars):
    table = volatile_market(bars, seed=minutes, gaps=0.002, step=np.timedelta64(minutes, "m"))
    stuck = {name: values.copy() for name, values in table.columns.items()}
    stuck["high"][bars // 2] = stuck["low"][bars // 2]
    table = replace(table, columns=stuck)
    step = SeasonStep(minutes / 60)
    assert [one.name for one in step.declarations] == NAMES
    found = run_step(step, table, np.arange(bars + 1))
    np.testing.assert_allclose(found, by_season_ahead(table), rtol=0, atol=1e-11)
    assert np.isfinite(found[-1]).all()


def test_steps():
    table = volatile_market(800, seed=8, gaps=0.001)
    hold(SeasonStep(), table, 560)
    hold(DeseasonalisedStep(), table, 560)


def test_deseasonalised_against_its_formula():
    table, bars = volatile_market(1500, seed=6, gaps=0.0005), 1500
    values = deviation(table, 168)
    usual = season_ahead(values, 1, 168, 12)
    whole = pd.DataFrame(values).rolling(12 * 168, min_periods=1).mean().to_numpy()
    span = np.log(table.columns["high"] / table.columns["low"])
    level = np.vstack((np.full((1, 2), np.nan), whole))
    variance = pd.DataFrame(span**2 / (4 * np.log(2)) * np.exp(-2 * (usual[:bars] - level[:bars])))
    found = run_step(DeseasonalisedStep(), table, np.arange(1, bars + 1))
    for place, window in enumerate((1, 6, 24)):
        expected = 0.5 * np.log(variance.rolling(window).mean())
        np.testing.assert_allclose(found[:, :, place], expected, rtol=0, atol=1e-10)


def test_what_is_left_has_no_season():
    # 20 weeks whose nights are half and whose weekends a third as lively as the rest.
    table = volatile_market(20 * 168, seed=1)
    hours = np.arange(len(table))
    factor = np.where(hours % 24 < 8, 0.5, 1.0) * np.where(hours % 168 >= 120, 1 / 3, 1.0)
    spans = np.random.default_rng(0).uniform(0.01, 0.02, (len(table), 2)) * factor[:, None]
    low = np.full_like(spans, 100.0)
    table = replace(table, columns={"high": low * np.exp(spans), "low": low})
    left = run_step(DeseasonalisedStep(), table, np.arange(2000, len(table)))[:, :, 0]
    at = np.arange(2000, len(table)) - 1
    weekend = at % 168 >= 120
    whole = np.log(spans[at])
    assert whole[weekend].mean() < whole[~weekend].mean() - 1.0
    assert left[weekend].mean() == pytest.approx(left[~weekend].mean(), abs=0.03)
    night = at % 24 < 8
    assert left[night].mean() == pytest.approx(left[~night].mean(), abs=0.03)
    assert left.std() < 1.1 * np.log(np.random.default_rng(1).uniform(1, 2, 10_000)).std() < 0.5 * whole.std()
    # Its level is that of a middling hour of the week.
    assert left.mean() == pytest.approx(whole.mean() - 0.5 * np.log(4 * np.log(2)), abs=0.03)


@pytest.mark.parametrize("hours", [0.0, 24.0, -1.0])
def test_bars_too_long_for_a_day_are_refused(hours):
    for step in (SeasonStep, DeseasonalisedStep):
        with pytest.raises(InputError, match="column bar_hours"):
            step(hours)
