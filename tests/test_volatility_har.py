"""HAR forecasts: coefficients of statsmodels and arch, a twin in pandas, the contract, and skill on real bars."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from step_parity import hold
from volatile_market import volatile_market

from margincast.features.engine.bars import BarTable
from margincast.features.engine.operations import rolling
from margincast.features.engine.step import run_step
from margincast.features.readers.folder import read_market_folder
from margincast.features.volatility.estimators import ewma_volatility, log_returns
from margincast.features.volatility.har import CORSI_HOURS, HarStep, expected_variance
from margincast.features.volatility.har_kernel import RANGE_QUARTICITY, solved
from margincast.features.volatility.season_ahead import season_ahead
from margincast.features.volatility.trailing_kernel import roll_in
from margincast.riskcore.errors import InputError

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SHORT = {"windows": (2.0, 24.0, 60.0), "least_hours": 100.0, "horizons": {"3h": 3.0, "12h": 12.0}}
VARIANTS = [
    {},
    {"model": "harq"},
    {"model": "harq", "log": False, "measure": "returns"},
    {"model": "har_rs", "measure": "returns", "season": False, "log": False},
    {"model": "har_rs", "measure": "returns", "season": False},
    {"model": "har_cj", "measure": "returns"},
    {"half_life_hours": 150.0, "season": False},
    {"log": False, "model": "har_cj", "measure": "returns", "season": False},
]


def named(options):
    return "-".join(str(value) for value in options.values()) or "plain"


# --- the twin ---------------------------------------------------------------------------------------------------------


def mean(values, window):
    """Over the known bars of a window of which nine in ten are known."""
    means = pd.Series(values).rolling(window, min_periods=math.ceil(0.9 * window)).mean()
    return means.where(np.arange(len(means)) >= window - 1)


def pieces(step, table, column):
    """Variance of each bar and what the model adds to it, from the formulas."""
    high, low, close = (table.columns[name][:, column] for name in ("high", "low", "close"))
    if step.measure == "range":
        variance = np.log(high / low) ** 2 / (4 * np.log(2))
        return variance, variance**2 * (4 * np.log(2)) ** 2 / (9 * 1.2020569031595942)
    moves = pd.Series(np.log(close)).diff()
    extra = {
        "har": moves * 0,
        "harq": moves**4 / 3,
        "har_rs": (moves**2).where(moves < 0, 0.0).where(moves.notna()),
        "har_cj": np.pi / 2 * moves.abs() * moves.abs().shift(),
    }[step.model]
    known = moves.notna() & extra.notna()
    return (moves**2).where(known).to_numpy(), extra.where(known).to_numpy()


def regressors(step, table, column, season):
    """Columns of the regression, row k as known at the close of bar k."""
    level = (lambda v: 0.5 * np.log(v)) if step.log else (lambda v: v)
    variance, extra = pieces(step, table, column)
    windows = [round(hours) for hours in step.windows]
    logs = [level(mean(variance, w)) for w in windows]
    day = windows.index(24)
    columns = list(logs)
    if step.model == "harq":
        noise = np.sqrt(mean(extra, 24))
        term = noise / mean(variance, 24) * (logs[day] - logs[-1]) if step.log else noise * logs[day]
        columns.insert(day + 1, term)
    elif step.model == "har_rs":
        down = mean(extra, 24)
        columns[day : day + 1] = [level(down), level(mean(variance, 24) - down)]
    elif step.model == "har_cj":
        split = []
        for w in windows[day:]:
            continuous = np.minimum(mean(extra, w), mean(variance, w))
            split += [level(continuous), level(mean(variance, w)) - level(continuous)]
        columns[day:] = split
    return np.column_stack([*columns, *([season] if step.season else [])])


def seasons_of(table, horizons):
    """What the coming bars usually are like, row k as known at the close of bar k."""
    span = np.log(table.columns["high"] / table.columns["low"])
    deviation = np.log(span) - 0.5 * np.log(pd.DataFrame(span**2).rolling(168).mean().to_numpy())
    return [season_ahead(deviation, horizon, 168, 12)[1:] for horizon in horizons]


def sample(step, table, column, horizon, seasons):
    """Regressors and targets, row k from the close of bar k; the targets that ended after the last bar are NaN."""
    x = regressors(step, table, column, seasons)
    variance, _ = pieces(step, table, column)
    ahead = pd.Series(variance).rolling(horizon).mean().shift(-horizon).to_numpy()
    return x, 0.5 * np.log(ahead) if step.log else ahead


# --- coefficients -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", VARIANTS, ids=named)
def test_coefficients_error_and_forecast_are_those_of_statsmodels(options):
    api = pytest.importorskip("statsmodels.api")
    step, table = HarStep(**SHORT | options), volatile_market(700, seed=3)
    state = step.start(table.symbols)
    for bar in range(len(table)):
        step.update(state, table.row(bar))
    seasons = seasons_of(table, (3, 12))
    found, features = step.coefficients(state), step.read(state)
    for column in range(2):
        for which, horizon in enumerate((3, 12)):
            x, y = sample(step, table, column, horizon, seasons[which][:, column])
            known = np.isfinite(x).all(axis=1) & np.isfinite(y)
            decay = 1.0 if step.half_life_hours is None else 0.5 ** (1 / step.half_life_hours)
            weights = decay ** np.arange(known.sum())[::-1]
            fit = api.WLS(y[known], api.add_constant(x[known]), weights=weights).fit()
            np.testing.assert_allclose(found[which, column], fit.params, rtol=1e-8, atol=1e-12)
            forecast = fit.params @ np.concatenate(([1.0], x[-1]))
            if step.log:
                error = math.sqrt((weights * fit.resid**2).sum() / (weights.sum() - len(fit.params)))
                np.testing.assert_allclose(features[column, 2 * which : 2 * which + 2], (forecast, error), rtol=1e-9)
                if step.half_life_hours is None:
                    assert error == pytest.approx(math.sqrt(fit.mse_resid), rel=1e-12)
            else:
                assert y[known].min() <= forecast <= y[known].max()
                assert features[column, which] == pytest.approx(0.5 * math.log(forecast), rel=1e-9)


@pytest.mark.parametrize(
    ("hours", "windows", "horizons"),
    [(4, (2, 6, 42, 180), (1, 6)), (8, (3, 21, 90), (3,)), (24, (1, 7, 30), (1,))],  # a window of 6 h is two of 4 h
)
def test_the_usual_model_of_long_bars_is_the_regression_of_statsmodels_on_them(hours, windows, horizons):
    api = pytest.importorskip("statsmodels.api")
    step = HarStep.usual(float(hours))
    table = volatile_market(800, ("BTC",), seed=6, step=np.timedelta64(hours, "h"))
    state = step.start(table.symbols)
    for bar in range(len(table)):
        step.update(state, table.row(bar))
    span = np.log(table.columns["high"] / table.columns["low"])
    variance, week = span[:, 0] ** 2 / (4 * np.log(2)), 168 // hours
    logs = [0.5 * np.log(mean(variance, window)) for window in windows]
    deviation = np.log(span) - 0.5 * np.log(pd.DataFrame(span**2).rolling(week).mean().to_numpy())
    for which, horizon in enumerate(horizons):
        x = np.column_stack([*logs, season_ahead(deviation, horizon, week, 12)[1:]])
        y = 0.5 * np.log(pd.Series(variance).rolling(horizon).mean().shift(-horizon).to_numpy())
        known = np.isfinite(x).all(axis=1) & np.isfinite(y)
        fit = api.OLS(y[known], api.add_constant(x[known])).fit()
        np.testing.assert_allclose(step.coefficients(state)[which, 0], fit.params, rtol=1e-8, atol=1e-12)
        forecast = fit.params @ np.concatenate(([1.0], x[-1])) - 0.5 * math.log(hours)
        assert step.read(state)[0, 2 * which] == pytest.approx(forecast, rel=1e-9)


def test_on_daily_squares_of_the_sp500_it_is_corsis_model_as_arch_fits_it():
    univariate = pytest.importorskip("arch.univariate")
    from arch.data import sp500

    squares = np.diff(np.log(sp500.load()["Adj Close"].to_numpy())) ** 2
    # A bar whose range has this variance.
    high, low = np.exp(np.sqrt(4 * np.log(2) * squares))[:, None], np.ones((len(squares), 1))
    day = np.timedelta64(1, "D")
    times = np.datetime64("1999-01-05", "ns") + np.arange(len(squares)) * day
    table = BarTable(times, day, ("SPX",), {"high": high, "low": low})
    days = {"bar_hours": 24.0, "horizons": {"1d": 24.0}, "windows": (24.0, 120.0, 528.0)}
    step = HarStep(**days, log=False, season=False)
    state = step.start(table.symbols)
    for bar in range(len(table)):
        step.update(state, table.row(bar))
    # arch wants numbers of the order of one.
    scale = 1e4
    model = univariate.HARX(scale * squares, lags=[1, 5, 22], rescale=False)
    fit = model.fit(disp="off")
    found = step.coefficients(state)[0, 0]
    np.testing.assert_allclose(found * [scale, 1, 1, 1], fit.params.to_numpy()[:4], rtol=1e-8)
    expected = fit.forecast(horizon=1, reindex=False).mean.to_numpy()[0, 0] / scale
    assert 2 * step.read(state)[0, 0] + math.log(24.0) == pytest.approx(math.log(expected), abs=1e-9)


def test_a_target_counts_only_once_it_is_known():
    step, table = HarStep(**SHORT, season=False), volatile_market(420, seed=1)
    for bars in (300, 301, 419):
        state = step.start(table.symbols)
        for bar in range(bars):
            step.update(state, table.row(bar))
        for which, horizon in enumerate((3, 12)):
            assert (state["har_weight"][which, :, 1] == bars - horizon - 59).all()


def test_level_forecasts_outside_what_was_seen_give_way_to_the_mean():
    step = HarStep(**SHORT | {"windows": (2.0, 24.0, 60.0)}, log=False, season=False)
    table = volatile_market(420, seed=5)
    crash = table.columns["high"].copy()
    crash[419] *= 3.0
    table = replace(table, columns={**table.columns, "high": crash})
    state = step.start(table.symbols)
    for bar in range(420):
        step.update(state, table.row(bar))
    for which in range(2):
        average = state["har_mean"][which, :, -1]
        np.testing.assert_allclose(step.read(state)[:, which], 0.5 * np.log(average), rtol=1e-12)


def test_windows_pass_over_a_few_missing_bars_but_not_over_many():
    table = volatile_market(420, symbols=("BTC",), seed=2)
    step = HarStep(**SHORT, season=False)
    for missing, known in (([380, 381], True), (range(380, 384), False)):
        columns = {name: values.copy() for name, values in table.columns.items()}
        for values in columns.values():
            values[list(missing)] = np.nan
        found = run_step(step, replace(table, columns=columns), np.arange(421))[:, 0, 0]
        assert np.isnan(found[381:383]).all()
        assert np.isnan(found[390]) != known
        assert not np.isnan(found[-1])


def test_forecasts_fall_in_with_the_formula_for_variance():
    draws = np.exp(2 * np.random.default_rng(0).normal(math.log(0.02), 0.4, 400_000))
    assert expected_variance(np.log([0.02]), np.array([0.4]))[0] == pytest.approx(draws.mean(), rel=0.01)


# --- the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [*VARIANTS, {"log": False}], ids=named)
def test_step(options):
    hold(HarStep(**SHORT | options), volatile_market(760, seed=4, gaps=0.003), 480)


def test_bars_of_another_length_tell_the_same_hourly_volatility():
    table = volatile_market(3000, seed=9)
    quarters = replace(
        table, step=np.timedelta64(15, "m"), times=table.times[0] + np.arange(3000) * np.timedelta64(15, "m")
    )
    hourly = HarStep(1.0, {"4h": 4.0}, windows=(4.0, 24.0, 120.0), season=False)
    quarterly = HarStep(0.25, {"1h": 1.0}, windows=(1.0, 6.0, 30.0), season=False, least_hours=180.0)
    at = np.arange(3001)
    found = run_step(quarterly, quarters, at) - run_step(hourly, table, at)
    assert np.nanmax(np.abs(found[:, :, 0] - 0.5 * math.log(4.0))) < 1e-12


@pytest.mark.parametrize(
    ("options", "column"),
    [
        ({"model": "arma"}, "model"),
        ({"measure": "close"}, "measure"),
        ({"model": "har_rs"}, "measure"),
        ({"windows": (0.5, 24.0)}, "windows"),
        ({"windows": ()}, "windows"),
        ({"windows": (24.0, 6.0)}, "windows"),
        ({"windows": (1.0, 24.0), "model": "harq"}, "windows"),
        ({"horizons": {"1m": 1 / 60}}, "horizons"),
        ({"horizons": {"1mo": 720.0}}, "horizons"),
    ],
)
def test_what_cannot_be_is_refused(options, column):
    with pytest.raises(InputError, match=f"column {column}"):
        HarStep(**options)


@pytest.mark.parametrize("hours", [0.25, 1.0])
def test_all_usual_windows_fit_bars_of_an_hour_or_less(hours):
    assert HarStep.usual(hours) == HarStep(hours)
    assert HarStep.usual(hours, half_life_hours=100.0) == HarStep(hours, half_life_hours=100.0)


@pytest.mark.parametrize("hours", [25.0, 168.0, 720.0, 8760.0])
def test_bars_too_long_for_a_horizon_or_two_windows_are_refused(hours):
    with pytest.raises(InputError, match="column bar_hours.*two windows and a horizon"):
        HarStep.usual(hours)


@pytest.mark.parametrize("hours", [4, 24])
def test_the_usual_step_of_long_bars(hours):
    hold(HarStep.usual(float(hours)), volatile_market(560, seed=4, gaps=0.001, step=np.timedelta64(hours, "h")), 500)


# --- parts ------------------------------------------------------------------------------------------------------------


def test_the_variance_of_a_squared_range_is_the_published_one():
    # Christensen and Podolskij (2007): Lambda = 0.4073, where a squared return has 2.
    assert 1.0 / RANGE_QUARTICITY - 1.0 == pytest.approx(0.4073, abs=5e-5)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_solved_is_the_solution(size, seed):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(size + 3, size)) * np.exp(rng.normal(0, 3, size))
    matrix, right = factor.T @ factor, rng.normal(size=size)
    np.testing.assert_allclose(matrix @ solved(matrix, right), right, rtol=1e-6, atol=1e-6)


def test_what_is_not_determined_is_unknown():
    assert np.isnan(solved(np.ones((2, 2)), np.ones(2))).all()
    assert np.isnan(solved(np.zeros((1, 1)), np.ones(1))).all()


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(np.nan)), min_size=1, max_size=40),
    windows=st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
def test_streamed_sums_are_the_rolling_sums_to_the_bit(values, windows):
    column = np.array(values)[:, None]
    held, head, out = np.zeros((sum(windows), 1)), np.zeros((len(windows), 1)), np.empty((len(windows), 1))
    expected = [rolling(column, window)[:, 0] for window in windows]
    for bar in range(len(values)):
        roll_in(held, head, np.array(windows), bar, column[bar], out)
        np.testing.assert_array_equal(out[:, 0], [one[bar] for one in expected])


# --- real bars --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def binance():
    folder = SHARED / "data" / "binance_1h"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    data = read_market_folder(folder)
    return BarTable(data.times, data.history.step, data.symbols, {c: data.mark(c) for c in ("high", "low", "close")})


@pytest.mark.parametrize("options", [{}, {"windows": CORSI_HOURS, "season": False}], ids=["intraday", "corsi"])
def test_forecasts_of_2022_to_2025_beat_ewma_on_every_coin(binance, options):
    at = np.arange(int(np.searchsorted(binance.times, np.datetime64("2022-01-01"))), len(binance) - 24)
    found = run_step(HarStep(**options), binance, at)
    variance = np.log(binance.columns["high"] / binance.columns["low"]) ** 2 / (4 * np.log(2))
    daily = ewma_volatility(log_returns(binance.columns["close"]), 24.0)[at - 1]
    for which, horizon in enumerate((1, 4, 24)):
        ahead = rolling(variance, horizon)[at + horizon - 1] / horizon
        known = ahead > 0.0
        har = expected_variance(found[:, :, 2 * which], found[:, :, 2 * which + 1])
        loss = {
            name: np.where(known, qlike(ahead, value), 0.0).mean(axis=0)
            for name, value in (("har", har), ("ewma", daily**2))
        }
        assert (loss["har"] < (0.97 if options else 0.85) * loss["ewma"]).all(), (horizon, loss)


def qlike(realised, forecast):
    ratio = np.where(realised > 0.0, realised, forecast) / forecast
    return ratio - np.log(ratio) - 1.0
