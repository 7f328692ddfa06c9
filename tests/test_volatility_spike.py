"""Spike probabilities: a twin in pandas, the contract, monotone in k, calibrated on made-up and on real bars."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression
from step_parity import hold
from volatile_market import volatile_market

from margincast.features.engine.bars import BarTable
from margincast.features.engine.step import run_step
from margincast.features.readers.folder import read_market_folder
from margincast.features.volatility.har import HarStep
from margincast.features.volatility.season_ahead import season_ahead
from margincast.features.volatility.spike import SpikeStep
from margincast.features.volatility.spike_kernel import BINS, EDGE, PRIOR, share_above, spike_start
from margincast.riskcore.errors import InputError

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SHORT = HarStep(windows=(2.0, 24.0, 60.0), least_hours=100.0, horizons={"3h": 3.0, "12h": 12.0})


def realised(table, horizon):
    """Log volatility over the horizon that ends with each bar."""
    variance = np.log(table.columns["high"] / table.columns["low"]) ** 2 / (4 * np.log(2))
    mean = pd.DataFrame(variance).rolling(horizon).mean()
    return 0.5 * np.log(mean.where(mean > 0)).to_numpy()


def usual(table, horizon, window, adjusted):
    median = (
        pd.DataFrame(realised(table, horizon)).rolling(window, min_periods=math.ceil(0.9 * window)).median().to_numpy()
    )
    if not adjusted:
        return median
    span = np.log(table.columns["high"] / table.columns["low"])
    deviation = np.log(span) - 0.5 * np.log(pd.DataFrame(span**2).rolling(168).mean().to_numpy())
    level = pd.DataFrame(deviation).rolling(12 * 168, min_periods=1).mean().to_numpy()
    return median + season_ahead(deviation, horizon, 168, 12)[1:] - level


@pytest.mark.parametrize("adjusted", [False, True])
def test_against_a_twin(adjusted):
    table, bars = volatile_market(900, seed=11, gaps=0.0005), 900
    step = SpikeStep(SHORT, (1.2, 2.0), usual_hours=120.0, adjusted=adjusted)
    found = run_step(step, table, np.arange(1, bars + 1))
    forecasts = run_step(SHORT, table, np.arange(1, bars + 1))
    normal = PRIOR * np.diff(stats.norm.cdf(np.linspace(-EDGE, EDGE, BINS + 1)))
    edges = np.linspace(-EDGE, EDGE, BINS + 1)
    for which, horizon in enumerate((3, 12)):
        mean, error = forecasts[:, :, 2 * which], forecasts[:, :, 2 * which + 1]
        happened, level = realised(table, horizon), usual(table, horizon, 120, adjusted)
        for column in range(2):
            for row in (520, 700, 899):
                made = np.arange(row - horizon + 1)
                z = (happened[made + horizon, column] - mean[made, column]) / error[made, column]
                counts = normal + np.histogram(z[np.isfinite(z)].clip(-EDGE, EDGE - 1e-9), edges)[0]
                below = np.concatenate(([0.0], np.cumsum(counts))) / counts.sum()
                for place, k in enumerate((1.2, 2.0)):
                    at = (math.log(k) + level[row, column] - mean[row, column]) / error[row, column]
                    expected = 1.0 - np.interp(at, edges, below)
                    assert found[row, column, 2 * which + place] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("options", [{}, {"adjusted": True}], ids=["plain", "adjusted"])
def test_step(options):
    hold(SpikeStep(SHORT, (1.5, 3.0), usual_hours=100.0, **options), volatile_market(900, seed=2, gaps=0.001), 640)


def test_step_on_returns():
    har = replace(SHORT, measure="returns", season=False)
    hold(SpikeStep(har, (1.5,), usual_hours=100.0), volatile_market(500, seed=5), 420)


def test_the_median_forgets_and_wants_nine_tenths_of_its_bars():
    table = volatile_market(500, symbols=("BTC",), seed=3)
    columns = {name: values.copy() for name, values in table.columns.items()}
    for values in columns.values():
        values[300:309] = np.nan
    step = SpikeStep(SHORT, (1.5,), usual_hours=100.0)
    state = step.start(("BTC",))
    for bar in range(500):
        step.update(state, replace(table, columns=columns).row(bar))
        if bar == 309:
            assert not np.isnan(state["spike_usual"][0, 0])
        if bar == 310:
            # The horizons of two more bars are lost with the nine.
            assert np.isnan(state["spike_usual"][0, 0])
    expected = usual(replace(table, columns=columns), 3, 100, False)[-1, 0]
    assert state["spike_usual"][0, 0] == pytest.approx(expected, abs=1e-12)


def test_probabilities_never_rise_with_the_multiple():
    multiples = tuple(np.linspace(0.3, 6.0, 40))
    found = run_step(SpikeStep(SHORT, multiples, usual_hours=100.0), volatile_market(700, seed=7), np.arange(500, 701))
    for which in range(2):
        assert (np.diff(found[:, :, 40 * which : 40 * which + 40], axis=2) <= 0.0).all()
    assert ((found >= 0.0) & (found <= 1.0)).all() and found.min() < 0.01 and found.max() > 0.99


@settings(max_examples=60, deadline=None)
@given(st.floats(-9, 9), st.integers(0, 1000))
def test_share_above_is_what_interpolation_says(value, seed):
    counts = np.random.default_rng(seed).exponential(size=BINS)
    below = np.concatenate(([0.0], np.cumsum(counts))) / counts.sum()
    expected = 1.0 - np.interp(value, np.linspace(-EDGE, EDGE, BINS + 1), below)
    assert share_above(counts, value) == pytest.approx(expected, abs=1e-12)


def test_before_any_error_is_known_they_are_taken_as_normal():
    counts = spike_start(np.array([1]), 1, 10).spike_errors[0, 0]
    for value in (-2.0, -0.5, 0.0, 1.0, 3.0):
        assert share_above(counts, value) == pytest.approx(stats.norm.sf(value), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "column"),
    [
        ({"har": HarStep(log=False)}, "log"),
        ({"har": HarStep(season=False), "adjusted": True}, "season"),
        ({"multiples": ()}, "multiples"),
        ({"multiples": (2.0, 1.5)}, "multiples"),
        ({"multiples": (0.0, 1.5)}, "multiples"),
    ],
)
def test_what_cannot_be_is_refused(options, column):
    with pytest.raises(InputError, match=f"column {column}"):
        SpikeStep(**options)


# --- calibration ------------------------------------------------------------------------------------------------------


def judged(step, table, first):
    """Probabilities and what happened, by horizon and multiple, from bar `first` on."""
    at = np.arange(first, len(table) - 24)
    found = run_step(step, table, at)
    for which, hours in enumerate(step.har.horizons.values()):
        horizon, window = round(hours / table.bar_hours), round(step.usual_hours / table.bar_hours)
        level = usual(table, horizon, window, step.adjusted)[at - 1]
        happened = realised(table, horizon)[at + horizon - 1]
        for place, k in enumerate(step.multiples):
            p = found[:, :, which * len(step.multiples) + place]
            known = np.isfinite(p) & np.isfinite(level) & np.isfinite(happened)
            yield horizon, k, p[known], (happened > math.log(k) + level)[known]


def slope(p, hit):
    logit = np.log(p.clip(1e-6, 1 - 1e-6) / (1 - p.clip(1e-6, 1 - 1e-6)))
    return LogisticRegression(C=np.inf).fit(logit[:, None], hit).coef_[0, 0]


def test_calibrated_where_the_world_does_not_change():
    table = volatile_market(9000, symbols=("A", "B", "C", "D"), seed=21)
    for _, _, p, hit in judged(SpikeStep(multiples=(1.5, 2.0)), table, 3000):
        assert p.mean() == pytest.approx(hit.mean(), abs=0.02)
        assert slope(p, hit) == pytest.approx(1.0, abs=0.15)
        assert np.mean((p - hit) ** 2) < 0.93 * hit.mean() * (1 - hit.mean())


def test_calibrated_and_sharper_than_the_base_rate_from_2022_to_2025():
    folder = SHARED / "data" / "binance_1h"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    data = read_market_folder(folder)
    table = BarTable(data.times, data.history.step, data.symbols, {c: data.mark(c) for c in ("high", "low")})
    first = int(np.searchsorted(data.times, np.datetime64("2022-01-01")))
    for horizon, k, p, hit in judged(SpikeStep(), table, first):
        skill = 1.0 - np.mean((p - hit) ** 2) / (hit.mean() * (1.0 - hit.mean()))
        assert skill > (0.12 if k == 3.0 else 0.2), (horizon, k)
        assert slope(p, hit) == pytest.approx(1.0, abs=0.1), (horizon, k)
        assert p.mean() == pytest.approx(hit.mean(), abs=0.02), (horizon, k)
