"""Intervals and abstention: coverage where the truth is known, and what is done without an answer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, ndtr, ndtri

from margincast.models.abstention import answer, risk_coverage
from margincast.models.calibration import log_odds
from margincast.models.frailty import FactorFrailty
from margincast.models.intervals import DayBlockInterval
from margincast.models.venn_abers import VennAbers
from margincast.riskcore.errors import InputError

ASKED = np.quantile(np.random.default_rng(0).beta(1, 5, 20_000), np.linspace(0.05, 0.95, 19))


def truth_of(p: np.ndarray) -> np.ndarray:
    return expit(1.2 * log_odds(p) + 0.3)


def rows_with_day_effects(days: int, per_day: int, share: float, seed: int):
    """Return forecasts that are off, outcomes that share a factor a day, days, and probabilities given the factor."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 5, (days, per_day))
    factor = rng.normal(size=(days, 1))
    today = ndtr((ndtri(truth_of(p)) + np.sqrt(share) * factor) / np.sqrt(1 - share))
    y = (rng.random(p.shape) < today).astype(np.float64)
    return p.ravel(), y.ravel(), np.repeat(np.arange(days), per_day), today.ravel()


@pytest.mark.parametrize(("days", "per_day", "share"), [(120, 30, 0.0), (120, 30, 0.2), (60, 60, 0.2)])
def test_day_blocks_cover_the_frequency_where_plain_venn_abers_does_not(days: int, per_day: int, share: float) -> None:
    covered, plain = [], []
    for seed in range(25):
        p, y, day, _ = rows_with_day_effects(days, per_day, share, seed)
        low, high = DayBlockInterval(0.9, resamples=80).fit(p, y, day).predict(ASKED)
        covered.append((low <= truth_of(ASKED)) & (truth_of(ASKED) <= high))
        zero, one = VennAbers().fit(p, y).bracket(ASKED)
        plain.append((zero <= truth_of(ASKED)) & (truth_of(ASKED) <= one))
    assert 0.88 <= np.mean(covered) <= 0.98
    assert np.mean(plain) < 0.35


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_factor_interval_covers_the_probability_of_one_day(share: float) -> None:
    p, y, day, _ = rows_with_day_effects(200, 40, share, seed=1)
    calibrated = truth_of(p)
    frailty = FactorFrailty().fit(calibrated, y, np.zeros(len(p)), day)
    assert frailty.shared_**2 == pytest.approx(share, abs=0.06)
    fresh, _, fresh_day, today = rows_with_day_effects(2000, 5, share, seed=2)
    low, high = frailty.interval(truth_of(fresh), np.zeros(len(fresh)), 0.9)
    inside = ((low <= today) & (today <= high)).mean()
    assert 0.87 <= inside <= 0.93
    assert len(np.unique(fresh_day)) == 2000
    # the interval of the mean over days is not one for a single day
    mean_low, mean_high = DayBlockInterval(0.9, resamples=60).fit(p, y, day).predict(fresh)
    assert ((mean_low <= today) & (today <= mean_high)).mean() < 0.6


def test_interval_is_monotone_and_wider_with_fewer_days() -> None:
    p, y, day, _ = rows_with_day_effects(200, 20, 0.2, seed=3)
    grid = np.sort(np.concatenate((np.linspace(0.001, 0.999, 300), p[:50])))
    widths = []
    for days in (200, 50, 12):
        rows = day < days
        low, high = DayBlockInterval(resamples=80).fit(p[rows], y[rows], day[rows]).predict(grid)
        assert (np.diff(low) >= 0).all() and (np.diff(high) >= 0).all()
        assert (low <= high).all()
        widths.append((high - low)[grid < 0.5].mean())
    assert widths == sorted(widths)
    narrow, wide = (DayBlockInterval(level, resamples=80).fit(p, y, day).predict(ASKED) for level in (0.5, 0.95))
    assert (narrow[0] >= wide[0]).all() and (narrow[1] <= wide[1]).all()


def test_interval_keeps_certainty_and_nan_and_its_state() -> None:
    p, y, day, _ = rows_with_day_effects(30, 10, 0.1, seed=4)
    model = DayBlockInterval(resamples=40).fit(p, y, day)
    asked = np.array([0.0, 1.0, np.nan, p.min() / 2, (1 + p.max()) / 2])
    low, high = model.predict(asked)
    np.testing.assert_array_equal(low[:4], [0.0, 1.0, np.nan, 0.0])
    np.testing.assert_array_equal(high[[0, 1, 2, 4]], [0.0, 1.0, np.nan, 1.0])
    back = DayBlockInterval.from_state(json.loads(json.dumps(model.state(), default=lambda a: a.tolist())))
    for mine, other in zip(model.predict(ASKED), back.predict(ASKED), strict=True):
        assert mine.tobytes() == other.tobytes()
    holes = np.where(np.arange(len(p)) % 7 == 0, np.nan, p)
    known = np.isfinite(holes)
    with_holes = DayBlockInterval(resamples=40).fit(holes, y, day)
    without = DayBlockInterval(resamples=40).fit(p[known], y[known], day[known])
    assert with_holes.predict(ASKED)[0].tobytes() == without.predict(ASKED)[0].tobytes()
    with pytest.raises(InputError, match=r"needs rows of at least two days \(found 1\)"):
        DayBlockInterval().fit(p, y, np.zeros(len(p), dtype=np.int64))
    with pytest.raises(InputError, match="between 0 and 1"):
        DayBlockInterval(1.0)


def test_answers_fall_back_where_they_should_and_say_why() -> None:
    p, structural = np.array([0.1, 0.2, np.nan, 0.4, 0.5]), np.array([0.11, 0.22, 0.33, 0.44, np.nan])
    low, high = np.array([0.05, 0.0, 0.1, 0.3, np.nan]), np.array([0.15, 0.6, 0.2, 0.5, np.nan])
    outside = np.array(["", "", "", "volatility beyond the trained range", ""])
    said = answer(p, structural, low, high, widest=0.3, outside=outside)
    assert said.abstained.tolist() == [False, True, True, True, True]
    np.testing.assert_array_equal(said.probability, [0.1, 0.22, 0.33, 0.44, np.nan])
    assert said.reason.tolist() == [
        "",
        "interval of 0.6 is wider than 0.3",
        "no forecast is known",
        "volatility beyond the trained range",
        "no interval is known",
    ]
    with pytest.raises(InputError, match="must be positive"):
        answer(p, structural, low, high, widest=0.0)
    with pytest.raises(InputError, match=r"column low: has shape \(4,\)"):
        answer(p, structural, low[:4], high, widest=0.3)


def test_risk_coverage_is_its_definition() -> None:
    rng = np.random.default_rng(5)
    width = np.round(rng.random(80), 1)
    loss = width + rng.random(80)
    width[3], loss[9] = np.nan, np.nan
    known = np.isfinite(width) & np.isfinite(loss)
    coverage, risk = risk_coverage(loss, width)
    limits = np.unique(width[known])
    for limit, share, mean in zip(limits, coverage, risk, strict=True):
        answered = known & (width <= limit)
        assert share == pytest.approx(answered.sum() / known.sum())
        assert mean == pytest.approx(loss[answered].mean())
    assert coverage[-1] == 1.0
    assert risk[0] < risk[-1]
    assert [len(part) for part in risk_coverage(np.array([]), np.array([]))] == [0, 0]
