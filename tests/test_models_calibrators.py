"""Calibrators: their contract, scikit-learn, the definition of Venn-Abers, and nothing from the future."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from margincast.models.calibration import BetaCalibration, PlattScaling, TemperatureScaling, log_odds
from margincast.models.rolling_calibration import BINS, RollingCalibration
from margincast.models.stress_weights import stress_weights
from margincast.models.venn_abers import VennAbers
from margincast.riskcore.errors import InputError

CALIBRATORS = (BetaCalibration, PlattScaling, TemperatureScaling, VennAbers)


def planted(n: int, slope: float, intercept: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(0.8, 2.0, n)
    return p, (rng.random(n) < expit(slope * log_odds(p) + intercept)).astype(np.float64)


def as_json(state: dict) -> dict:
    return json.loads(json.dumps(state, default=lambda a: a.tolist()))


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_contract(kind) -> None:
    p, y = planted(3000, 1.4, 0.3, seed=1)
    model = kind(shrinkage=50.0).fit(p, y)
    ladder = np.sort(np.concatenate((p[:500], [0.0, 1e-12, 1 - 1e-9, 1.0])))
    said = model.predict(ladder)
    assert (np.diff(said) >= -1e-15).all()
    assert (said[0], said[-1]) == (0.0, 1.0)
    assert said[1:-1].min() >= 0.0 and said[1:-1].max() <= 1.0
    assert np.isnan(model.predict(np.array([np.nan])))[0]
    back = kind.from_state(as_json(model.state()))
    assert back.predict(ladder).tobytes() == said.tobytes()


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_a_weight_of_k_is_k_copies_and_unknown_rows_are_left_out(kind) -> None:
    p, y = planted(400, 0.7, 0.5, seed=2)
    weight = np.random.default_rng(3).integers(0, 4, 400)
    copies = np.repeat(np.arange(400), weight)
    grid = np.linspace(0.01, 0.99, 60)
    weighted = kind(shrinkage=30.0).fit(p, y, weight.astype(np.float64)).predict(grid)
    np.testing.assert_allclose(weighted, kind(shrinkage=30.0).fit(p[copies], y[copies]).predict(grid), atol=2e-6)
    holes = p.copy(), y.copy(), np.ones(400)
    for k, values in enumerate(holes):
        values[k::9] = np.nan
    known = np.isfinite(np.stack(holes)).all(axis=0)
    with_holes = kind(shrinkage=30.0).fit(*holes).predict(grid)
    assert with_holes.tobytes() == kind(shrinkage=30.0).fit(p[known], y[known]).predict(grid).tobytes()


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_nothing_to_fit_on_or_endless_shrinkage_change_nothing(kind) -> None:
    p, y = planted(500, 0.5, 1.0, seed=4)
    np.testing.assert_allclose(kind().fit(np.full(4, np.nan), y[:4]).predict(p), p, rtol=1e-12)
    np.testing.assert_allclose(kind(shrinkage=1e10).fit(p, y).predict(p), p, atol=1e-5)
    assert np.abs(kind(shrinkage=0.0).fit(p, y).predict(p) - p).max() > 0.02


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_bad_rows_are_refused(kind) -> None:
    p, y = planted(10, 1.0, 0.0, seed=5)
    with pytest.raises(InputError, match=r"row 3, column weight: must not be negative \(found -1.0\)"):
        kind().fit(p, y, np.where(np.arange(10) == 3, -1.0, 1.0))
    with pytest.raises(InputError, match=r"row 2, column outcome: must be between 0 and 1 \(found 2.0\)"):
        kind().fit(p, np.where(np.arange(10) == 2, 2.0, y))
    with pytest.raises(InputError, match=r"column outcome: has shape \(9,\), expected \(10,\)"):
        kind().fit(p, y[:9])


def test_platt_and_temperature_are_logistic_regressions() -> None:
    p, y = planted(5000, 1.4, -0.3, seed=6)
    weight = np.random.default_rng(7).uniform(0.5, 2.0, 5000)
    column = log_odds(p)[:, None]
    platt = PlattScaling(shrinkage=0.0).fit(p, y, weight)
    twin = LogisticRegression(C=np.inf, tol=1e-10).fit(column, y, sample_weight=weight)
    assert platt.slope_ == pytest.approx(twin.coef_[0, 0], abs=1e-3)
    assert platt.intercept_ == pytest.approx(twin.intercept_[0], abs=1e-3)
    plain = LogisticRegression(C=np.inf, tol=1e-10, fit_intercept=False).fit(column, y, sample_weight=weight)
    temperature = TemperatureScaling(shrinkage=0.0).fit(p, y, weight)
    assert 1 / temperature.temperature == pytest.approx(plain.coef_[0, 0], abs=1e-3)


def isotonic_at(p: np.ndarray, y: np.ndarray, w: np.ndarray, asked: float, outcome: float) -> float:
    """Return the definition: fit with the asked row among the others and read the fit there."""
    joined = np.append(p, asked), np.append(y, outcome), np.append(w, 1.0)
    return float(IsotonicRegression().fit(*joined).predict([asked])[0])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), digits=st.sampled_from([1, 2, 6]), weighted=st.booleans())
def test_venn_abers_is_its_definition(seed: int, digits: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 25))
    p, y = np.round(rng.random(n), digits), rng.integers(0, 2, n).astype(np.float64)
    w = rng.integers(1, 5, n) / 2.0 if weighted else np.ones(n)
    asked = np.concatenate((p, np.round(rng.random(6), digits)))
    zero, one = VennAbers().fit(p, y, w).bracket(asked)
    np.testing.assert_allclose(zero, [isotonic_at(p, y, w, s, 0.0) for s in asked], atol=1e-9)
    np.testing.assert_allclose(one, [isotonic_at(p, y, w, s, 1.0) for s in asked], atol=1e-9)
    assert (zero <= one + 1e-12).all()


def test_venn_abers_by_hand() -> None:
    """Rows (.1, 0), (.3, 1), (.5, 0), (.7, 1) asked at .4.

    As an event it is pooled with (.3, 1) and (.5, 0): 2/3. As a survivor with the same two: 1/3.
    """
    model = VennAbers().fit(np.array([0.1, 0.3, 0.5, 0.7]), np.array([0.0, 1.0, 0.0, 1.0]))
    zero, one = model.bracket(np.array([0.4]))
    assert (zero[0], one[0]) == pytest.approx((1 / 3, 2 / 3))
    assert model.predict(np.array([0.4]))[0] == pytest.approx((2 / 3) / (1 - 1 / 3 + 2 / 3))


def test_venn_abers_brackets_are_valid_on_average() -> None:
    """The mean of p0 and of p1 over many draws enclose the frequency, whatever the scores are worth."""
    rng = np.random.default_rng(8)
    lows, highs, hits = [], [], []
    for _ in range(300):
        p = rng.random(60)
        y = (rng.random(60) < 0.2 + 0.5 * p**3).astype(np.float64)
        zero, one = VennAbers().fit(p[:40], y[:40]).bracket(p[40:])
        lows.append(zero.mean()), highs.append(one.mean()), hits.append(y[40:].mean())
    assert np.mean(lows) < np.mean(hits) < np.mean(highs)
    chosen = np.mean(highs) - np.mean(lows)
    assert 0.0 < chosen < 0.5


def test_venn_abers_closes_in_on_the_truth() -> None:
    p, y = planted(60_000, 1.4, 0.3, seed=9)
    grid = np.linspace(0.05, 0.9, 40)
    said = VennAbers().fit(p, y).predict(grid)
    assert np.abs(said - expit(1.4 * log_odds(grid) + 0.3)).mean() < 0.015


def test_stress_weights() -> None:
    rank = np.random.default_rng(10).random(1000)
    weight = stress_weights(rank, 4.0)
    assert weight.mean() == pytest.approx(1.0)
    assert (np.diff(weight[np.argsort(rank)]) > 0).all()
    assert weight.max() / weight.min() == pytest.approx((1 + 4 * rank.max() ** 2) / (1 + 4 * rank.min() ** 2))
    assert stress_weights(rank, 0.0).tolist() == [1.0] * 1000
    assert np.isnan(stress_weights(np.array([np.nan, 0.5]), 1.0)).tolist() == [True, False]
    with pytest.raises(InputError, match=r"row 1, column rank: must be between 0 and 1 \(found 1.5\)"):
        stress_weights(np.array([0.5, 1.5]), 1.0)
    with pytest.raises(InputError, match="strength"):
        stress_weights(rank, -1.0)


def rows_over_days(days: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    bar = np.sort(rng.integers(24, 24 * days, 12 * days))
    p = rng.beta(1.0, 3.0, len(bar))
    return bar, p, (rng.random(len(bar)) < expit(log_odds(p) + 0.8)).astype(np.float64)


def test_rolling_calibration_is_a_fit_on_what_was_known_weighted_by_age() -> None:
    bar, p, y = rows_over_days(60, seed=11)
    weight = np.random.default_rng(12).uniform(0.5, 2.0, len(bar))
    model = RollingCalibration(4, 24, half_life=20.0, shrinkage_days=10.0)
    for now in (300, 1000, 24 * 60 + 4):
        rows = (bar + 4 <= now) & (bar + 4 > model.now_)
        model.update(now, bar[rows], p[rows], y[rows], weight[rows])
    fresh = 0.5 ** ((now - 4 - bar) / (20.0 * 24))
    first_of_day = np.unique(bar // 24, return_index=True)[1]
    rows_a_day = fresh.sum() / fresh[first_of_day].sum()
    twin = BetaCalibration(10.0 * rows_a_day).fit(p, y, weight * fresh)
    grid = np.linspace(0.02, 0.9, 50)
    # bins of log odds replace rows by their mean
    np.testing.assert_allclose(model.predict(grid), twin.predict(grid), atol=1e-3)
    assert np.abs(twin.predict(grid) - grid).max() > 0.05


def test_rolling_calibration_sees_nothing_of_the_future() -> None:
    bar, p, y = rows_over_days(40, seed=13)
    whole = RollingCalibration(24, 24, half_life=30.0, shrinkage_days=5.0).walk(bar, p, y)
    cut = 600
    scrambled = np.where(bar + 24 > cut, 1.0 - y, y)
    again = RollingCalibration(24, 24, half_life=30.0, shrinkage_days=5.0).walk(bar, p, scrambled)
    day_of_cut = cut - cut % 24
    assert again[bar < day_of_cut].tobytes() == whole[bar < day_of_cut].tobytes()
    assert (again[bar >= day_of_cut + 48] != whole[bar >= day_of_cut + 48]).all()
    assert whole[bar < 48].tolist() == pytest.approx(p[bar < 48].tolist())


def test_rolling_calibration_follows_a_change_that_a_long_memory_misses() -> None:
    rng = np.random.default_rng(14)
    bar = np.repeat(np.arange(24, 24 * 300, 2), 2)
    p = rng.beta(1.0, 3.0, len(bar))
    shift = np.where(bar < 24 * 150, -1.0, 1.0)
    truth = expit(log_odds(p) + shift)
    y = (rng.random(len(bar)) < truth).astype(np.float64)
    late = bar > 24 * 220
    errors = [np.abs(RollingCalibration(1, 24, half, 5.0).walk(bar, p, y) - truth)[late].mean() for half in (15.0, 1e6)]
    assert errors[0] < 0.5 * errors[1]


def test_rolling_calibration_goes_on_from_its_state_and_keeps_its_size() -> None:
    bar, p, y = rows_over_days(30, seed=15)
    half = int(np.searchsorted(bar, 360))
    first = RollingCalibration(1, 24)
    first.walk(bar[:half], p[:half], y[:half])
    state = as_json(first.state())
    assert np.shape(state["sums"]) == (3, BINS)
    again = RollingCalibration.from_state(state)
    assert again.walk(bar[half:], p[half:], y[half:]).tobytes() == first.walk(bar[half:], p[half:], y[half:]).tobytes()


def test_rolling_calibration_refuses_what_is_not_known_yet() -> None:
    model = RollingCalibration(4, 24)
    with pytest.raises(InputError, match=r"row 1, column bar: is not known at bar 10 over 4 bars \(found 7\)"):
        model.update(10, np.array([6, 7]), np.array([0.1, 0.2]), np.array([0.0, 1.0]))
    model.update(10, np.array([6]), np.array([0.1]), np.array([0.0]))
    with pytest.raises(InputError, match=r"column now: must not fall below 10 \(found 9\)"):
        model.update(9, np.array([5]), np.array([0.1]), np.array([0.0]))
    with pytest.raises(InputError, match="must not fall"):
        model.walk(np.array([30, 12]), np.array([0.1, 0.1]), np.array([0.0, 0.0]))
    for bad in ({"horizon": 0, "day_bars": 24}, {"horizon": 1, "day_bars": 24, "half_life": 0.0}):
        with pytest.raises(InputError):
            RollingCalibration(**bad)
