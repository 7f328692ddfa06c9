"""Spike forecasts: closed forms, planted truths, the thresholds by hand, and nothing from the future."""

from __future__ import annotations

import json
import math
import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_market
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import log_loss, roc_auc_score

from margincast.features.readers.folder import read_market_folder
from margincast.models.spike import GRID, SpikeBooster, SpikeErrors
from margincast.riskcore.errors import InputError
from margincast.training.market_view import view_market
from margincast.training.scale_inputs import scale_target
from margincast.training.scales import ScaleForecaster
from margincast.training.volatility_spikes import (
    SpikeForecaster,
    SpikeRule,
    log_scale,
    spike_outcomes,
    spike_scores,
    spike_step_probability,
)

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
HORIZONS = (1, 4)
LAST = 2600


def test_normal_errors_give_the_normal_distribution() -> None:
    rng = np.random.default_rng(1)
    forecast = rng.normal(-5, 0.4, 40_000)
    realised = forecast + 0.05 + 0.3 * rng.normal(size=len(forecast))
    model = SpikeErrors(bandwidth=0.05).fit(forecast, realised)
    away = np.linspace(-0.9, 0.9, 19)
    exact = stats.norm.sf((away - 0.05) / 0.3)
    np.testing.assert_allclose(model.predict(np.full(19, -5.0), away - 5.0), exact, atol=0.006)
    assert len(model.errors_) == GRID


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 900))
def test_probability_falls_with_the_threshold_and_averages_to_the_frequency(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    errors = rng.standard_t(4, rows) * 0.3
    model = SpikeErrors(bandwidth=1e-3).fit(np.zeros(rows), errors)
    thresholds = np.linspace(-1.5, 1.5, 41)
    said = model.predict(np.zeros(41), thresholds)
    assert (np.diff(said) <= 1e-12).all() and said.min() >= 0.0 and said.max() <= 1.0
    frequency = (errors[None, :] > thresholds[:, None]).mean(axis=1)
    assert np.abs(said - frequency).max() < 1 / min(rows, GRID) + 0.01


def test_errors_state_holes_and_refusals() -> None:
    rng = np.random.default_rng(2)
    forecast, realised = rng.normal(size=(2, 500))
    holes = np.where(np.arange(500) % 7 == 0, np.nan, forecast)
    model = SpikeErrors().fit(holes, realised)
    twin = SpikeErrors().fit(forecast[np.isfinite(holes)], realised[np.isfinite(holes)])
    asked = np.linspace(-2, 2, 9), np.zeros(9)
    assert model.predict(*asked).tobytes() == twin.predict(*asked).tobytes()
    back = SpikeErrors.from_state(json.loads(json.dumps(model.state(), default=lambda a: a.tolist())))
    assert back.predict(*asked).tobytes() == model.predict(*asked).tobytes()
    assert np.isnan(model.predict(np.array([np.nan, 0.0]), np.array([0.0, np.nan]))).all()
    with pytest.raises(InputError, match="needs two different errors"):
        SpikeErrors().fit(np.zeros(3), np.ones(3))
    with pytest.raises(InputError, match="must be positive"):
        SpikeErrors(bandwidth=0.0)


def test_booster_learns_what_the_start_does_not_say() -> None:
    rng = np.random.default_rng(3)
    start, features = rng.normal(-1, 1, 12_000), rng.normal(size=(12_000, 3))
    truth = expit(start + 1.2 * (features[:, 0] > 0.5))
    y = (rng.random(12_000) < truth).astype(np.float64)
    start[::50], y[::77] = np.nan, np.nan
    model = SpikeBooster(rounds=60, seed=1).fit(features, start, y, ("a", "b", "c"))
    said = model.predict(features, start)
    assert np.isnan(said).tolist() == np.isnan(start).tolist()
    known = np.isfinite(start)
    assert np.abs(said - truth)[known].mean() < 0.5 * np.abs(expit(start) - truth)[known].mean()
    back = SpikeBooster.from_state(model.state())
    assert back.predict(features, start).tobytes() == said.tobytes()


@cache
def parts() -> tuple[ScaleForecaster, SpikeForecaster]:
    view = small_market.view()
    scales = ScaleForecaster(HORIZONS, rounds=10).fit(view.data, view.frame, 31 * 24, LAST)
    return scales, SpikeForecaster(SpikeRule(1.3), rounds=10).fit(view, scales, 31 * 24, LAST)


def test_threshold_is_a_multiple_of_the_median_of_the_last_thirty_days() -> None:
    data = small_market.data()
    found = SpikeRule(2.0).threshold(data, 4)
    variance = np.log(data.mark("high") / data.mark("low")) ** 2 / (4 * math.log(2))
    bar, window = 2000, 720
    ended = [0.5 * np.log(variance[end - 4 : end].mean(axis=0)) for end in range(bar - window + 1, bar + 1)]
    np.testing.assert_allclose(found[bar], np.median(ended, axis=0) + math.log(2), rtol=1e-9)
    assert np.isnan(found[600]).all()
    y = spike_outcomes(data, SpikeRule(2.0), (4,), np.array([bar]))[0, :, 0]
    ahead = 0.5 * np.log(variance[bar : bar + 4].mean(axis=0))
    assert y.tolist() == (ahead > found[bar]).astype(float).tolist()
    assert np.isnan(spike_outcomes(data, SpikeRule(2.0), (4,), np.array([len(data.history) - 3]))).all()


def test_quantile_rule_and_refusals() -> None:
    data = small_market.data()
    assert np.isnan(SpikeRule(quantile=0.95).threshold(data, 1)).all()  # less than a year
    for bad in ({"multiple": 0.0}, {"quantile": 1.0}):
        with pytest.raises(InputError):
            SpikeRule(**bad)


def test_forecasts_on_the_small_market() -> None:
    view = small_market.view()
    scales, model = parts()
    bars = np.arange(LAST, 3550)
    fields = scales.fields(view.data, view.frame, bars)
    said = model.predict(view, fields, bars)
    assert tuple(said) == ("climatology", "har", "errors", "boosted", "mean")
    np.testing.assert_allclose(2 * said["mean"], said["errors"] + said["boosted"])
    threshold = model.rule.threshold(view.data, 4)[bars[7]]
    forecast = log_scale(view.data, fields["learned"], 1)[bars[7]]
    train = np.arange(31 * 24, LAST - 4 + 1)
    past = log_scale(view.data, scales.fields(view.data, view.frame, np.arange(LAST))["learned"], 1)[train]
    errors = (scale_target(view.data, 4)[train] - past).ravel()
    errors = errors[np.isfinite(errors)]
    plain = [
        stats.norm.cdf((errors - (t - f)) / (0.2 * errors.std())).mean()
        for t, f in zip(threshold, forecast, strict=True)
    ]
    np.testing.assert_allclose(said["errors"][7, :, 1], plain, atol=2e-3)
    y = spike_outcomes(view.data, model.rule, HORIZONS, bars)
    for k in range(len(HORIZONS)):
        table = spike_scores({n: p[:, :, k] for n, p in said.items()}, y[:, :, k], bars // 24, baseline="climatology")
        assert table["climatology"]["skill"].value == 0.0
        assert table["errors"]["skill"].low > 0.0
        known = np.isfinite(y[:, :, k])
        p, outcome = said["errors"][:, :, k][known], y[:, :, k][known]
        assert table["errors"]["log_loss"] == pytest.approx(log_loss(outcome, p))
        assert table["errors"]["auc"] == pytest.approx(roc_auc_score(outcome, p))


def test_nothing_of_the_future_is_seen() -> None:
    scales, model = parts()
    cut = 3000
    bars = np.arange(cut - 30, cut + 1)
    other = view_market(small_market.scrambled(small_market.data(), cut))
    said = [
        model.predict(view, scales.fields(view.data, view.frame, bars), bars) for view in (small_market.view(), other)
    ]
    for name in said[0]:
        assert said[0][name].tobytes() == said[1][name].tobytes()
    step = [spike_step_probability(view, 1.3, bars) for view in (small_market.view(), other)]
    assert step[0].tobytes() == step[1].tobytes()


@pytest.mark.skipif(not (SHARED / "data" / "binance_1h").is_dir(), reason="no real bars in MARGINCAST_SHARED")
def test_thresholds_on_real_bars_are_passed_as_often_as_they_should_be() -> None:
    data = read_market_folder(SHARED / "data" / "binance_1h")
    bars = np.arange(20_000, len(data.history) - 24, 5)
    rate = np.nanmean(spike_outcomes(data, SpikeRule(quantile=0.95), (4,), bars))
    assert 0.02 < rate < 0.08
    rates = [np.nanmean(spike_outcomes(data, SpikeRule(multiple), (4,), bars)) for multiple in (1.0, 1.5, 2.0, 3.0)]
    assert rates == sorted(rates, reverse=True)
    assert 0.4 < rates[0] < 0.6
    realised = pd.Series(scale_target(data, 4)[:, 0])
    assert realised.autocorr(4) > 0.5 and logit(rates[1]) < 0.0
