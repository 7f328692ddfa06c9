"""GARCH steps: arch's own forecasts at and between fits, the contract, what happens without arch or without moves."""

import math
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from step_parity import hold
from volatile_market import volatile_market

from margincast.features.engine.bars import BarTable
from margincast.features.engine.logarithm import log_into
from margincast.features.engine.step import run_step
from margincast.features.volatility.garch import GarchStep, fit_garch
from margincast.riskcore.errors import InputError

univariate = pytest.importorskip("arch.univariate")
SMALL = {"window_hours": 240.0, "refit_hours": 120.0, "least_bars": 150}


def simulated(rows, seed, omega=2e-6, alpha=0.1, gamma=0.0, beta=0.85, nu=6.0):
    rng = np.random.default_rng(seed)
    moves, variance = np.empty(rows), omega / (1 - alpha - gamma / 2 - beta)
    for row in range(rows):
        moves[row] = math.sqrt(variance) * rng.standard_t(nu) * math.sqrt((nu - 2) / nu)
        variance = omega + (alpha + gamma * (moves[row] < 0)) * moves[row] ** 2 + beta * variance
    return moves


def table_of(moves):
    """Bars whose returns these are, after a first close of 100."""
    close = 100.0 * np.exp(np.cumsum(np.concatenate(([0.0], moves))))[:, None]
    hour = np.timedelta64(1, "h")
    times = np.datetime64("2024-01-01", "ns") + np.arange(len(close)) * hour
    return BarTable(times, hour, ("BTC",), {"close": close})


def by_arch(moves, asymmetric):
    volatility, distribution = univariate.GARCH(1, asymmetric, 1), univariate.StudentsT()
    return univariate.ZeroMean(moves, volatility=volatility, distribution=distribution, rescale=False)


def log_mean(variances, scale):
    return [0.5 * math.log(scale**2 * variances[:h].mean()) for h in (1, 4, 24)]


@pytest.mark.parametrize(("name", "asymmetric", "gamma"), [("garch", 0, 0.0), ("gjr", 1, 0.12)])
def test_forecasts_are_those_of_arch_at_a_fit_and_until_the_next(name, asymmetric, gamma):
    table = table_of(simulated(1700, seed=1, alpha=0.05, gamma=gamma))
    step = GarchStep(model=name, window_hours=1500.0, refit_hours=1501.0)
    found = run_step(step, table, np.array([1501, 1502, 1600, 1701]))[:, 0]
    # The optimiser turns the last bit of a return into the seventh digit of a coefficient: the same bits for both.
    close, moves = table.columns["close"][:, 0], np.empty(1700)
    log_into(close[1:] / close[:-1], moves)
    scale = math.sqrt(np.mean(moves[:1500] ** 2))
    fit = by_arch(moves[:1500] / scale, asymmetric).fit(disp="off")
    assert fit.convergence_flag == 0
    for place, row in enumerate((1500, 1501, 1599, 1700)):
        fixed = by_arch(moves[:row] / scale, asymmetric).fix(fit.params)
        expected = fixed.forecast(horizon=24, reindex=False).variance.to_numpy()[0]
        np.testing.assert_allclose(found[place], log_mean(expected, scale), rtol=0, atol=1e-10)


def test_a_fit_finds_the_process():
    (omega, alpha, gamma, beta, nu), variance = fit_garch(simulated(20_000, seed=3, gamma=0.1, beta=0.8), 1)
    assert (alpha, gamma, beta) == pytest.approx((0.1, 0.1, 0.8), abs=0.02)
    assert nu == pytest.approx(6.0, abs=0.6) and omega == pytest.approx(2e-6, rel=0.2)
    assert variance > omega


def test_a_fit_does_not_depend_on_the_unit_of_returns():
    moves = simulated(1000, seed=4)
    (one, variance), (other, larger) = fit_garch(moves, 0), fit_garch(64.0 * moves, 0)
    np.testing.assert_allclose(other[1:], one[1:], rtol=1e-9)
    assert other[0] == pytest.approx(4096.0 * one[0], rel=1e-9) and larger == pytest.approx(4096.0 * variance)


@pytest.mark.parametrize("model", ["garch", "gjr"])
def test_step(model):
    hold(GarchStep(model=model, **SMALL), volatile_market(420, seed=6, gaps=0.003), 300, restarts=40)


def test_an_unknown_return_is_said_and_passed_over():
    table = volatile_market(330, symbols=("BTC",), seed=8)
    close = table.columns["close"].copy()
    close[300] = np.nan
    step = GarchStep(**SMALL)
    state = step.start(("BTC",))
    for bar in range(330):
        before = state["garch_variance"].copy()
        step.update(state, replace(table, columns={"close": close}).row(bar))
        omega, alpha, gamma, beta, _ = state["garch_parameters"][0]
        assert np.isnan(step.read(state)).all() == (bar < 239 or bar in (300, 301))
        if bar in (300, 301):
            expected = omega + (alpha + gamma / 2 + beta) * before[0]
            assert state["garch_variance"][0] == pytest.approx(expected, rel=1e-12)


def test_prices_that_stand_still_leave_the_last_fit_in_force():
    moves = np.concatenate((simulated(239, seed=9), np.zeros(300)))
    step, table = GarchStep(**SMALL), table_of(moves)
    state = step.start(("BTC",))
    for bar in range(len(table)):
        before = state["garch_parameters"].copy(), state["garch_failed"].copy()
        step.update(state, table.row(bar))
        if bar == 479:
            np.testing.assert_array_equal(state["garch_parameters"], before[0])
            assert state["garch_failed"] == before[1] + 1
    assert np.isfinite(step.read(state)).all()
    assert fit_garch(np.zeros(200), 0) is None


def test_no_warning_of_the_optimiser_gets_out():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_garch(np.where(np.arange(200) == 100, 0.5, 1e-9), 1)


def test_without_arch_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "arch", None)
    with pytest.raises(InputError, match=r"margincast\[garch\]"):
        GarchStep()


@pytest.mark.parametrize(
    ("options", "column"),
    [
        ({"model": "egarch"}, "model"),
        ({"bar_hours": 2.0}, "horizons"),
        ({"horizons": {"4h": 4.0, "1h": 1.0}}, "horizons"),
        ({"least_bars": 50}, "least_bars"),
        ({"window_hours": 300.0}, "least_bars"),
    ],
)
def test_what_cannot_be_is_refused(options, column):
    with pytest.raises(InputError, match=f"column {column}"):
        GarchStep(**options)
