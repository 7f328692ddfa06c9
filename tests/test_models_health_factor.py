"""The health factor: the ratio by hand, frequencies against scikit-learn's isotonic regression, order and edges."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from margincast.models.health_factor import BUCKETS, PRIOR_ROWS, HealthFactor, health_factor, is_alarmed
from margincast.models.sample import AccountSample
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import Exposure


def sample_of(equity: np.ndarray, maintenance: np.ndarray, weight: float = 1.0) -> AccountSample:
    n = len(equity)
    entries = n if weight else 0
    pointer = np.arange(n + 1) if weight else np.zeros(n + 1, dtype=np.int64)
    series = np.zeros(entries, dtype=np.int64)
    exposure = Exposure(pointer, series, np.full(entries, weight), equity - maintenance, equity, maintenance)
    return AccountSample(np.ones(n, dtype=np.int64), exposure, (1, 4), np.zeros((n, 0)), ())


def population(rows: int, seed: int) -> tuple[AccountSample, np.ndarray]:
    """Accounts whose chance falls with health as 0.5 / health^4 and 0.9 / health^4."""
    rng = np.random.default_rng(seed)
    health, maintenance = 1 + rng.exponential(1.0, rows), rng.uniform(1, 100, rows)
    chance = np.array([0.5, 0.9]) / health[:, None] ** 4
    return sample_of(health * maintenance, maintenance), (rng.random(rows)[:, None] < chance).astype(np.float64)


def test_the_ratio_and_the_rule_by_hand() -> None:
    exposure = sample_of(
        np.array([3.0, 1.05, 0.9, 5.0, np.nan, -1.0]), np.array([2.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    ).exposure
    np.testing.assert_array_equal(health_factor(exposure), [1.5, 1.05, 0.9, np.inf, np.nan, -1.0])
    assert is_alarmed(exposure).tolist() == [False, True, True, False, False, True]
    assert is_alarmed(exposure, 1.5).tolist() == [False, True, True, False, False, True]
    assert is_alarmed(exposure, 1.51).tolist() == [True, True, True, False, False, True]


def test_frequencies_are_isotonic_regression_on_shrunk_buckets() -> None:
    sample, breached = population(3000, 1)
    breached[5, 1] = np.nan
    model = HealthFactor().fit(sample, breached)
    ratio = health_factor(sample.exposure)
    order = np.argsort(ratio)
    for k in range(2):
        hit, parts = breached[order, k], np.array_split(np.arange(3000), BUCKETS)
        known = [np.isfinite(hit[part]).sum() for part in parts]
        mean = np.nanmean(hit)
        shrunk = [(np.nansum(hit[p]) + PRIOR_ROWS * mean) / (n + PRIOR_ROWS) for p, n in zip(parts, known, strict=True)]
        iso = IsotonicRegression(increasing=False)
        expected = iso.fit_transform(np.arange(BUCKETS), shrunk, sample_weight=np.array(known) + PRIOR_ROWS)
        np.testing.assert_allclose(model.rate_[:, k], expected, rtol=1e-9)


def test_on_unseen_accounts_it_says_how_often_they_are_liquidated() -> None:
    model = HealthFactor().fit(*population(40_000, 2))
    sample, _ = population(4000, 3)
    said, exact = model.predict(sample), np.array([0.5, 0.9]) / health_factor(sample.exposure)[:, None] ** 4
    assert np.abs(said - exact).mean() < 0.015
    assert said.mean(axis=0) == pytest.approx(exact.mean(axis=0), abs=0.01)


def test_never_rising_with_equity_nor_falling_with_the_horizon_and_never_certain() -> None:
    model = HealthFactor().fit(*population(2000, 4))
    said = model.predict(sample_of(np.linspace(1.0, 40.0, 500), np.ones(500)))
    assert (np.diff(said, axis=0) <= 0).all() and (np.diff(said, axis=1) >= 0).all()
    assert ((said > 0) & (said < 1)).all() and len(np.unique(said[:, 0])) > 10


def test_breach_is_certain_and_what_is_not_known_nan() -> None:
    model = HealthFactor().fit(*population(2000, 5))
    said = model.predict(sample_of(np.array([0.5, np.nan, 3.0]), np.array([1.0, 1.0, 0.0])))
    np.testing.assert_array_equal(said[:2], [[1, 1], [np.nan, np.nan]])
    assert (said[2] == model.rate_[-1]).all()
    assert (model.predict(sample_of(np.array([3.0]), np.zeros(1), 0.0)) == 0).all()


def test_accounts_already_in_breach_are_not_counted() -> None:
    sample, breached = population(1000, 6)
    e = sample.exposure
    equity = np.concatenate((e.equity, np.full(500, 0.5)))
    more = sample_of(equity, np.concatenate((e.maintenance, np.ones(500))))
    one, other = (
        HealthFactor().fit(sample, breached),
        HealthFactor().fit(more, np.vstack((breached, np.ones((500, 2))))),
    )
    np.testing.assert_array_equal(one.rate_, other.rate_)


def test_it_comes_back_from_its_state_and_refuses_to_count_nothing() -> None:
    sample, breached = population(1000, 7)
    model = HealthFactor().fit(sample, breached)
    assert HealthFactor.from_state(model.state()).predict(sample).tobytes() == model.predict(sample).tobytes()
    breached[:, 1] = np.nan
    with pytest.raises(InputError, match="breached: needs rows with positions and a known outcome"):
        HealthFactor().fit(sample, breached)
