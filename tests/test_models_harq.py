"""HARQ and Realized GARCH against statsmodels, plain twins, simulation, and the claims of their papers."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize

from margincast.models.harq_scale import HarqScale, RealisedMeasures, harq_regressors
from margincast.models.realized_garch import (
    PARAMETERS,
    RealizedGarchScale,
    fit_realized_garch,
    log_variance_path,
)
from margincast.riskcore.errors import InputError

NAMES = ("6h", "24h", "720h", "log_parkinson")


def random_measures(rows: int, seed: int) -> RealisedMeasures:
    rng = np.random.default_rng(seed)
    variance = np.exp(rng.normal(-9, 1, (rows, 3)))
    quarticity = variance**2 * rng.uniform(1, 4, (rows, 3))
    return RealisedMeasures(variance, quarticity, rng.normal(-4.5, 0.5, (rows, 1)), NAMES)


def test_regressors_are_the_stated_ones() -> None:
    measures = random_measures(5, 1)
    columns, names = harq_regressors(measures)
    assert names == ["log_realised_6h", "log_realised_24h", "log_realised_720h", "error_6h", "error_24h", NAMES[-1]]
    for row in range(5):
        v, q = measures.variance[row], measures.quarticity[row]
        logs = [np.log(x) / 2 for x in v]
        error = [np.sqrt(q[k]) / v[k] * (logs[k] - logs[2]) for k in (0, 1)]
        np.testing.assert_allclose(columns[row], [*logs, *error, measures.other[row, 0]], rtol=1e-12)


def test_coefficients_are_those_of_statsmodels() -> None:
    measures, rng = random_measures(800, 2), np.random.default_rng(3)
    target = rng.normal(-4, 1, 800)
    measures.variance[10, 1] = np.nan
    target[20] = np.nan
    columns, names = harq_regressors(measures)
    known = np.isfinite(columns).all(axis=1) & np.isfinite(target)
    reference = sm.OLS(target[known], sm.add_constant(columns[known])).fit()
    model = HarqScale().fit(measures, target)
    assert list(model.regression_.names_) == names
    np.testing.assert_allclose(model.regression_.coefficients_, reference.params, rtol=1e-8)
    said = model.predict(measures)
    assert np.flatnonzero(np.isnan(said)).tolist() == [10]
    np.testing.assert_allclose(said[known], reference.fittedvalues, rtol=1e-8)


def measured_days(seed: int) -> tuple[RealisedMeasures, np.ndarray]:
    """3,000 days of 24 hourly returns; within a day the variance sits in few or many hours, so that days are measured
    well or badly, as their quarticity tells."""
    rng, days = np.random.default_rng(seed), 3000
    level = np.empty(days)
    level[0] = 0.0
    for k in range(1, days):
        level[k] = 0.95 * level[k - 1] + 0.25 * rng.normal()
    uneven = rng.choice([0.2, 2.0], days)[:, None]
    profile = np.exp(uneven * rng.normal(size=(days, 24)))
    profile *= 24 / profile.sum(axis=1, keepdims=True)
    returns = np.exp(0.5 * level)[:, None] * np.sqrt(profile) * rng.normal(size=(days, 24))
    realised, fourth = (returns**2).mean(axis=1), (returns**4).mean(axis=1) / 3
    month = np.convolve(realised, np.ones(30) / 30)[: len(realised)]
    rows = slice(30, days - 1)
    other = np.zeros((days - 31, 0))
    variance = np.column_stack((realised, month))[rows]
    quarticity = np.column_stack((fourth, fourth))[rows]
    return RealisedMeasures(variance, quarticity, other, ("24h", "720h")), 0.5 * level[31:]


def test_badly_measured_days_are_trusted_less_as_the_paper_says() -> None:
    """Bollerslev, Patton and Quaedvlieg: the interaction is negative and HARQ forecasts better than HAR."""
    fitted, target = measured_days(4)
    model = HarqScale().fit(fitted, target)
    place = model.regression_.names_.index("error_24h")
    assert model.regression_.coefficients_[1 + place] < 0 < model.regression_.coefficients_[1]
    har = sm.OLS(target, sm.add_constant(0.5 * np.log(fitted.variance))).fit()
    later, came = measured_days(5)
    plain = har.predict(sm.add_constant(0.5 * np.log(later.variance)))
    assert ((model.predict(later) - came) ** 2).mean() < 0.99 * ((plain - came) ** 2).mean()


def test_known_coefficients_are_recovered() -> None:
    measures, rng = random_measures(20_000, 6), np.random.default_rng(7)
    truth = np.array([0.3, 0.4, 0.3, 0.2, -0.1, -0.05, 0.1])
    target = truth[0] + harq_regressors(measures)[0] @ truth[1:] + 0.1 * rng.normal(size=20_000)
    np.testing.assert_allclose(HarqScale().fit(measures, target).regression_.coefficients_, truth, atol=0.03)


def test_harq_comes_back_from_its_state_and_refuses_what_does_not_fit() -> None:
    measures = random_measures(100, 8)
    model = HarqScale().fit(measures, np.random.default_rng(9).normal(size=100))
    back = HarqScale.from_state(model.state())
    assert back.predict(measures).tobytes() == model.predict(measures).tobytes()
    with pytest.raises(InputError, match="too few complete rows"):
        HarqScale().fit(random_measures(7, 8), np.zeros(7))
    with pytest.raises(InputError, match="needs two windows or more"):
        RealisedMeasures(np.ones((4, 1)), np.ones((4, 1)), np.ones((4, 0)), ("6h",))
    with pytest.raises(InputError, match="must name each window"):
        RealisedMeasures(np.ones((4, 2)), np.ones((4, 2)), np.ones((4, 0)), ("6h",))


TRUE = {"omega": 0.05, "beta": 0.65, "gamma": 0.3, "xi": -0.2, "phi": 1.05, "tau1": -0.06, "tau2": 0.09, "noise": 0.4}


def simulated(bars: int, seed: int, level: float = -9.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns, log measures and log h by the model, in units in which returns have exp(level) times the variance."""
    rng, t = np.random.default_rng(seed), TRUE
    log_h, returns, measure = np.zeros(bars + 1), np.empty(bars), np.empty(bars)
    for k in range(bars):
        z, u = rng.normal(), t["noise"] * rng.normal()
        returns[k] = np.exp(0.5 * log_h[k]) * z
        measure[k] = t["xi"] + t["phi"] * log_h[k] + t["tau1"] * z + t["tau2"] * (z * z - 1) + u
        log_h[k + 1] = t["omega"] + t["beta"] * log_h[k] + t["gamma"] * measure[k]
    return returns * np.exp(0.5 * level), measure + level, log_h + level


def plain_likelihood(values: np.ndarray, returns: np.ndarray, measure: np.ndarray, start: float) -> float:
    """Joint log likelihood with all parameters free, bar by bar, as written in the paper."""
    omega, beta, gamma, xi, phi, tau1, tau2, noise = values.tolist()
    log_h, total = start, 0.0
    for move, log_x in zip(returns.tolist(), measure.tolist(), strict=True):
        z = move * math.exp(-0.5 * log_h)
        u = log_x - (xi + phi * log_h + tau1 * z + tau2 * (z * z - 1))
        total -= 0.5 * (math.log(2 * math.pi) + log_h + z * z)
        total -= 0.5 * (math.log(2 * math.pi) + (u / noise) ** 2) + math.log(noise)
        log_h = omega + beta * log_h + gamma * log_x
    return total


def test_the_concentrated_fit_is_the_maximum_of_the_whole_likelihood() -> None:
    returns, measure, _ = simulated(600, 1)
    fit = fit_realized_garch(returns, measure)
    assert fit is not None
    best = np.array(astuple(fit)[:8])

    def loss(values: np.ndarray) -> float:
        return -plain_likelihood(values, returns, measure, fit.start) if values[7] > 0 else np.inf

    assert -loss(best) == pytest.approx(fit.log_likelihood, rel=1e-9)
    searched = minimize(loss, best, method="Nelder-Mead", options={"maxfev": 400, "adaptive": True})
    assert -searched.fun < fit.log_likelihood + 0.02
    for k in range(8):
        for step in (-0.02, 0.02):
            moved = best.copy()
            moved[k] += step
            assert -loss(moved) < fit.log_likelihood, PARAMETERS[k]


def test_the_parameters_that_made_the_data_are_recovered() -> None:
    returns, measure, _ = simulated(30_000, 2)
    fit = fit_realized_garch(returns, measure)
    assert fit is not None
    level = -9.0
    own_units = TRUE | {
        "omega": TRUE["omega"] + level * (1 - TRUE["beta"] - TRUE["gamma"]),
        "xi": TRUE["xi"] + level * (1 - TRUE["phi"]),
    }
    found = dict(zip(PARAMETERS, astuple(fit), strict=True))
    for name, true in own_units.items():
        slack = 0.25 if name in ("omega", "xi") else 0.02
        assert found[name] == pytest.approx(true, abs=slack), name


def test_units_change_the_scale_and_nothing_else() -> None:
    returns, measure, _ = simulated(2000, 3)
    one, other = fit_realized_garch(returns, measure), fit_realized_garch(100 * returns, measure + 2 * np.log(100))
    assert one is not None and other is not None
    assert (other.beta, other.gamma, other.phi) == pytest.approx((one.beta, one.gamma, one.phi), rel=1e-4)


def test_a_measure_that_is_not_there_leaves_the_variance_where_it_was() -> None:
    path = log_variance_path(0.1, 0.5, 0.4, 1.0, np.array([2.0, np.nan, -np.inf, 0.0]))
    np.testing.assert_allclose(path, [1.0, 1.4, 1.4, 1.4, 0.8])
    returns, measure, _ = simulated(800, 4)
    measure[[5, 300]], measure[[50, 51]] = np.nan, -np.inf
    returns[700] = np.nan
    model = RealizedGarchScale().fit(returns[:, None], measure[:, None], 0, 800)
    said = model.predict(measure[:, None], (1,))[:, 0, 0]
    assert np.flatnonzero(np.isnan(said)).tolist() == [0, 6, 301]
    assert said[51] == said[50]


def test_forecasts_follow_the_expected_log_variance_of_simulated_futures() -> None:
    returns, measure, log_h = simulated(3000, 5)
    model = RealizedGarchScale().fit(returns[:, None], measure[:, None], 0, 3000)
    exact = [TRUE[name] for name in PARAMETERS[:5]]
    model.parameters_[0, :5] = exact
    model.parameters_[0, PARAMETERS.index("start")] = 0.0
    said = model.predict(measure[:, None] + 9.0, (1, 2, 12))[3000, 0]
    now = log_h[3000] + 9.0
    rng, paths = np.random.default_rng(6), np.full(40_000, now)
    means = []
    for _ in range(12):
        means.append(paths.mean())
        z, u = rng.normal(size=40_000), TRUE["noise"] * rng.normal(size=40_000)
        ahead = TRUE["xi"] + TRUE["phi"] * paths + TRUE["tau1"] * z + TRUE["tau2"] * (z * z - 1) + u
        paths = TRUE["omega"] + TRUE["beta"] * paths + TRUE["gamma"] * ahead
    expected = [0.5 * np.log(np.exp(means[:h]).mean()) for h in (1, 2, 12)]
    np.testing.assert_allclose(said, expected, atol=0.005)
    assert abs(said[2] - said[0]) > 0.01


def two_series() -> tuple[np.ndarray, np.ndarray]:
    pairs = [simulated(1200, seed) for seed in (7, 8)]
    return np.column_stack([p[0] for p in pairs]), np.column_stack([p[1] for p in pairs])


def test_no_scale_or_parameter_knows_what_comes_later() -> None:
    returns, measure = two_series()
    changed, other = returns.copy(), measure.copy()
    changed[900:] *= 2.0
    other[900:] += 1.0
    one = RealizedGarchScale().fit(returns, measure, 100, 900)
    again = RealizedGarchScale().fit(changed, other, 100, 900)
    assert one.parameters_.tobytes() == again.parameters_.tobytes()
    before, after = one.predict(measure, (1, 5)), one.predict(other, (1, 5))
    assert before[:901].tobytes() == after[:901].tobytes()
    assert (before[901] != after[901]).all()


def test_realized_garch_comes_back_from_its_state_and_in_another_order() -> None:
    returns, measure = two_series()
    model = RealizedGarchScale().fit(returns, measure, 0, 1200)
    said = model.predict(measure, (1, 5))
    assert RealizedGarchScale.from_state(model.state()).predict(measure, (1, 5)).tobytes() == said.tobytes()
    turned = model.reordered(np.array([1, -1, 0]))
    three = turned.predict(measure[:, [1, 0, 0]], (1, 5))
    np.testing.assert_array_equal(three[:, [2, 0]], said)
    np.testing.assert_allclose(turned.parameters_[1], np.median(model.parameters_, axis=0))
    assert turned.fitted_.tolist() == [True, False, True]


def test_too_little_to_fit_is_said() -> None:
    returns, measure = two_series()
    assert fit_realized_garch(np.zeros(900), measure[:900, 0]) is None
    returns[:800, 1] = np.nan
    model = RealizedGarchScale().fit(returns, measure, 0, 1200)
    assert model.fitted_.tolist() == [True, False]
    np.testing.assert_array_equal(model.parameters_[1], model.parameters_[0])
    with pytest.raises(InputError, match=r"leaves no series with 500 known bars .*found 400"):
        RealizedGarchScale().fit(returns, measure, 0, 400)
    with pytest.raises(InputError, match="log_measure: has shape"):
        RealizedGarchScale().fit(returns, measure[:, :1], 0, 1200)
