"""The regime and change-point steps: batch is stream, values are those of a plain twin, and known crises are seen."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factor_bars import factor_bars
from step_parity import hold

from margincast.features.correlation.ewma import average_correlation, ewma_correlation
from margincast.features.engine.bars import BarTable
from margincast.features.engine.step import run_step
from margincast.features.regime.change_step import ALPHA, DEVIATION, KAPPA, ChangePointStep
from margincast.features.regime.cusum import cusum
from margincast.features.regime.markov import RegimeModel, filter_regimes, fit_regimes, with_evidence
from margincast.features.regime.observation import bars_a_period, period_ends
from margincast.features.regime.regime_step import PRIOR_WEIGHT, ROUNDS, TOLERANCE, RegimeStep
from margincast.features.regime.run_lengths import NormalGamma, run_lengths
from margincast.features.regime.summary import RegimeSeries, market_regimes
from margincast.riskcore.errors import InputError

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SMALL = {"half_life_hours": 4.0, "history_days": 8, "least_days": 3, "refit_days": 1}
REGIMES = RegimeStep(1.0, 2.0, depth=50.0, **SMALL)
CHANGES = ChangePointStep(
    1.0, 2.0, expected_run_days=5.0, longest_days=4, recent_days=1, usual_days=3.0, threshold=3.0, least_days=1
)
STEPS = (
    # spells so short that a little of correlation or depth turns the likeliest regime, and with it every feature
    (REGIMES, {"seed": 5, "calm": 6}),
    (RegimeStep(1.0, 2.0, **SMALL), {"seed": 0, "calm": 6}),
    (RegimeStep(1.0, 2.0, 2, **SMALL), {"seed": 0, "calm": 6}),
    (CHANGES, {"seed": 3, "calm": 60}),
)


@pytest.mark.parametrize(("step", "bars"), STEPS, ids=["depth", "three", "two", "changes"])
def test_each_step_keeps_its_contract(step, bars):
    hold(step, factor_bars(480, **bars), 250)


def by_name(step, values):
    return {one.name: values[..., place] for place, one in enumerate(step.declarations)}


def observations_of(table, period, half_life):
    """Volatility, correlation about its level and depth about its level, period by period, by plain numpy."""
    ranges = np.log(table.columns["high"] / table.columns["low"]) ** 2
    returns = np.diff(np.log(table.columns["close"]), axis=0, prepend=np.nan)
    ends = np.arange(period - 1, len(table), period)
    correlation = np.arctanh(average_correlation(ewma_correlation(returns, half_life, ends)))
    resting = table.columns["bid_50bps"] + table.columns["ask_50bps"]
    out = []
    for row in ends:
        part = ranges[row - period + 1 : row + 1]
        enough = (~np.isnan(part)).sum(axis=0) >= period / 2
        volatility = np.log(np.sqrt(np.median(np.nanmean(part[:, enough], axis=0)) / (4 * np.log(2))))
        last = pd.DataFrame(resting[row - period + 1 : row + 1]).ffill().iloc[-1].median()
        out.append([volatility, correlation[len(out)], np.log(last)])
    out = np.array(out)
    decay, level = 0.5 ** (1 / (30 * 24 / period)), out.copy()
    for d in (1, 2):
        for k in range(len(out)):
            before = out[:k, d]
            known = ~np.isnan(before)
            w = decay ** np.arange(known.sum() - 1, -1, -1)
            level[k, d] -= (w * before[known]).sum() / w.sum() if known.any() else np.nan
    return level


def test_the_regime_step_is_the_filter_and_the_fits_of_its_past():
    table = factor_bars(360, seed=6, calm=60, gaps=0.02)
    found = by_name(REGIMES, run_step(REGIMES, table, np.arange(0, 361, 2))[1:, 0])
    seen = observations_of(table, 2, 4.0)
    model, age, label = None, 0, -1
    least, refit, history = 3 * 12, 12, 8 * 12
    probability, since = None, 0
    for k in range(len(seen)):
        since += 1
        surprise = np.nan
        if model is not None:
            now = filter_regimes(seen[k : k + 1], replace(model, start=probability @ model.transition))
            probability, surprise = now.probability[0], -now.log_likelihood
        elif k > 0:
            assert np.isnan(found["regime_p_calm"][k - 1])
        if (model is None or since >= refit) and k + 1 >= least:
            past = seen[max(0, k + 1 - history) : k + 1]
            before = None if model is None else replace(model, start=np.full(3, 1 / 3))
            how = {"before": before, "prior_weight": PRIOR_WEIGHT, "rounds": ROUNDS, "tolerance": TOLERANCE}
            model = with_evidence(fit_regimes(past[:, 0], 3, **how).model, past, PRIOR_WEIGHT)
            probability, since = filter_regimes(past, model).probability[-1], 0
        if model is None:
            continue
        age = age + 1 if np.argmax(probability) == label else 0
        label = np.argmax(probability)
        names = ("regime_p_calm", "regime_p_normal", "regime_p_stressed")
        np.testing.assert_allclose([found[name][k] for name in names], probability, atol=1e-7)
        ahead = probability @ np.linalg.matrix_power(model.transition, 12)
        assert found["regime_p_stressed_24h"][k] == pytest.approx(ahead[2], abs=1e-7)
        duration = 2 * probability @ (1 / (1 - np.diag(model.transition)))
        assert found["regime_expected_duration"][k] == pytest.approx(duration, rel=1e-6)
        assert found["regime_age"][k] == 2 * age
        np.testing.assert_allclose(found["regime_surprise"][k], surprise, rtol=1e-5, atol=1e-6)
    assert model is not None and len({tuple(m) for m in model.mean.tolist()}) == 3


def test_the_change_step_is_run_lengths_and_cusum_of_its_past():
    table = factor_bars(360, seed=7, calm=60)
    found = by_name(CHANGES, run_step(CHANGES, table, np.arange(0, 361, 2))[1:, 0])
    series = observations_of(table, 2, 4.0)[:, 0]
    decay, least = 0.5 ** (1 / 36), 12
    scores, means = np.full(len(series), np.nan), np.full(len(series), np.nan)
    for k in range(least, len(series)):
        w = decay ** np.arange(k - 1, -1, -1)
        means[k] = np.average(series[:k], weights=w)
        scores[k] = (series[k] - means[k]) / np.sqrt(np.average((series[:k] - means[k]) ** 2, weights=w))
    sums = cusum(scores, 0.5, 3.0)
    np.testing.assert_allclose(found["cusum_up"][least:], sums.up[least:], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found["cusum_down"][least:], sums.down[least:], rtol=1e-7, atol=1e-9)
    for name, alarms in (("cusum_up_age", sums.rose), ("cusum_down_age", sums.fell)):
        places = np.flatnonzero(alarms)
        for k in range(len(series)):
            earlier = places[places <= k]
            expected = 2.0 * (k - earlier[-1]) if len(earlier) else np.nan
            np.testing.assert_allclose(found[name][k], expected)
    # the belief on a run's level moves with the usual one: with run lengths alone it is held at its first value
    fixed = run_lengths(series[least:], 1 / 60, NormalGamma(means[least], KAPPA, ALPHA, ALPHA * DEVIATION**2), 48)
    assert found["change_probability_1d"][least] == pytest.approx(fixed[0, :13].sum(), abs=1e-12)
    assert found["run_length"][least] == pytest.approx(2 * fixed[0] @ np.arange(49))
    np.testing.assert_allclose(found["change_probability_1d"][least:], fixed[:, :13].sum(axis=1), atol=0.25)


def with_volatility(levels, lengths, seed=0):
    """Bars whose volatility an hour is a list of levels for so many days each."""
    rng = np.random.default_rng(seed)
    sigma = np.repeat(levels, np.array(lengths) * 24)[:, None]
    rows = len(sigma)
    table = factor_bars(rows, ("A", "B", "C"), seed=seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1, (rows, 3)) * sigma, axis=0))
    reach = np.exp(np.abs(rng.normal(0, 0.8, (2, rows, 3))) * sigma)
    return replace(table, columns={"close": close, "high": close * reach[0], "low": close / reach[1]})


def test_a_market_that_turns_wild_is_stressed_and_a_quiet_one_calm():
    table = with_volatility([0.004, 0.008, 0.02] * 3 + [0.004, 0.008, 0.02], [10, 6, 4] * 3 + [70, 40, 10])
    found = by_name(RegimeStep(1.0), run_step(RegimeStep(1.0), table, np.arange(len(table) + 1))[:, 0])
    assert np.isnan(found["regime_p_calm"][: 59 * 24]).all() and not np.isnan(found["regime_p_calm"][61 * 24 :]).any()
    assert (found["regime_p_stressed"][171 * 24 :] > 0.9).all()
    for name, first, last in (("calm", 62, 130), ("normal", 131, 170)):
        within = found[f"regime_p_{name}"][first * 24 : last * 24]
        assert within.mean() > 0.9 and (within > 0.5).mean() > 0.95
    assert found["regime_age"][-1] >= 8 * 24
    total = sum(found[f"regime_p_{name}"] for name in ("calm", "normal", "stressed"))
    np.testing.assert_allclose(total[61 * 24 :], 1.0, rtol=1e-12)


def test_a_change_of_volatility_is_found_within_a_day_and_told_its_way():
    table = with_volatility([0.005, 0.02, 0.005], [60, 30, 30])
    step = ChangePointStep(1.0)
    found = by_name(step, run_step(step, table, np.arange(len(table) + 1))[:, 0])
    for first, way in ((60, 1), (90, -1)):
        just, day = found["change_probability_3d"][first * 24], found["change_probability_3d"][(first + 1) * 24]
        assert just < 0.2 and day > 0.9
        assert np.sign(found["volatility_shift"][(first + 2) * 24]) == way
    assert found["cusum_up_age"][61 * 24] <= 24 and found["cusum_down_age"][95 * 24] <= 72
    assert found["run_length"][59 * 24] > 20 * 24 > found["run_length"][62 * 24]


def test_without_prices_nothing_is_made_up():
    table = with_volatility([0.005, 0.02], [70, 10])
    columns = {name: values.copy() for name, values in table.columns.items()}
    for values in columns.values():
        values[65 * 24 : 67 * 24] = np.nan
    table = replace(table, columns=columns)
    regimes, changes = RegimeStep(1.0), ChangePointStep(1.0)
    at = np.arange(65 * 24, 67 * 24 + 1, 6)
    found = by_name(regimes, run_step(regimes, table, at)[:, 0])
    assert np.isnan(found["regime_surprise"][1:]).all() and not np.isnan(found["regime_p_calm"]).any()
    entropy = [-(p * np.log(p)).sum() for p in run_step(regimes, table, at)[:, 0, :3]]
    assert entropy[-1] > entropy[0]  # it knows less with every period that passes without prices
    told = run_step(changes, table, at)[:, 0, :5]
    assert (told == told[0]).all()


def real_bars(first, last):
    path = SHARED / "data" / "binance_1h" / "perp.parquet"
    if not path.is_file():
        pytest.skip(f"no {path}")
    bars = pd.read_parquet(path)
    bars = bars[(bars["timestamp"] >= first) & (bars["timestamp"] < last)]
    symbols = ("BTC", "ETH", "XRP", "LTC", "ADA")
    grid = pd.date_range(bars["timestamp"].min(), bars["timestamp"].max(), freq="1h")
    columns = {
        name: bars.pivot(index="timestamp", columns="symbol", values=name).reindex(grid)[list(symbols)].to_numpy()
        for name in ("close", "high", "low")
    }
    return BarTable(grid.tz_localize(None).to_numpy("datetime64[ns]"), np.timedelta64(1, "h"), symbols, columns)


CRISES = [
    # the hour in which the fall began, and how many hours later each must have been seen
    ("2019-11-01", "2020-03-20", "2020-03-12T10:00", 14),
    ("2021-01-01", "2021-05-25", "2021-05-19T02:00", 18),
    ("2022-07-01", "2022-11-15", "2022-11-08T16:00", 18),
]


@pytest.mark.parametrize(("first", "last", "fall", "hours"), CRISES, ids=["March 2020", "May 2021", "November 2022"])
def test_known_crises_are_seen_on_real_bars(first, last, fall, hours):
    table = real_bars(first, last)
    seen = int(np.searchsorted(table.times, np.datetime64(fall)))
    at = np.arange(seen - 30 * 24, seen + hours + 1)
    regimes, changes = RegimeStep(1.0), ChangePointStep(1.0)
    stressed = by_name(regimes, run_step(regimes, table, at)[:, 0])["regime_p_stressed"]
    found = by_name(changes, run_step(changes, table, at)[:, 0])
    assert stressed[-1] > 0.95
    assert found["change_probability_3d"][-1] > 0.9 and found["volatility_shift"][-1] > 0.5
    assert found["cusum_up_age"][-1] <= hours + 7 * 24
    assert (stressed[: 20 * 24] < 0.5).mean() > 0.2  # it was not always so


def test_the_summary_of_real_bars():
    table = real_bars("2020-01-01", "2020-12-31")
    series = market_regimes(table)
    step = RegimeStep(1.0)
    rows = np.searchsorted(table.times, series.times)
    np.testing.assert_array_equal(run_step(step, table, rows)[:, 0, :3], series.probability)
    found = series.summary()
    assert found.share.sum() == pytest.approx(1.0) and (np.diff(found.volatility) > 0).all()
    np.testing.assert_allclose(found.transition.sum(axis=1), 1.0)
    known = series.label >= 0
    runs = pd.Series(series.label[known])
    lengths = runs.groupby((runs != runs.shift()).cumsum()).agg(["first", "size"])
    expected = lengths.groupby("first")["size"].agg(["count", "mean"])
    np.testing.assert_array_equal(found.spells, expected["count"])
    np.testing.assert_allclose(found.mean_hours, 6 * expected["mean"])
    moves = pd.crosstab(runs[:-1].to_numpy(), runs[1:].to_numpy(), normalize="index")
    np.testing.assert_allclose(found.transition, moves.to_numpy())
    lines = found.lines()
    assert len(lines) == 4 and lines[3].split()[0] == "stressed"


def test_a_summary_of_nothing_is_refused():
    table = factor_bars(48)
    with pytest.raises(InputError, match="too few for a first fit"):
        market_regimes(table).summary()
    times = np.datetime64("2024-01-01", "ns") + np.arange(2) * np.timedelta64(6, "h")
    never = RegimeSeries(times, ("calm", "stressed"), np.ones((2, 2)), np.array([0, 0]), np.array([0.0, np.nan]), 6.0)
    found = never.summary()
    assert found.volatility[0] == 1.0 and np.isnan(found.volatility[1]) and np.isnan(found.transition[1]).all()


def test_periods_follow_the_clock_and_bars_that_open_off_the_hour():
    hour = 3_600_000_000_000
    assert period_ends(np.arange(1, 13) * hour, 1.0, 6.0).tolist() == [5, 11]
    assert period_ends(np.arange(1, 13) * hour + hour // 2, 1.0, 6.0).tolist() == [4, 10]
    assert period_ends(np.arange(4) * 6 * hour, 6.0, 6.0).tolist() == [0, 1, 2, 3]
    assert bars_a_period(1.0, 1 / 60) == 60
    for bar in (1 / 60, 5 / 60, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0):
        regimes, changes = RegimeStep.usual(bar, depth=10.0), ChangePointStep.usual(bar)
        assert regimes.period_hours == changes.period_hours == max(6.0, {4.0: 8.0}.get(bar, bar))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: RegimeStep(1.0, 2.5), "whole number of bars"),
        (lambda: RegimeStep(1.0, 5.0), "divide a day"),
        (lambda: RegimeStep.usual(7.0), "divide a day"),
        (lambda: ChangePointStep.usual(48.0), "divide a day"),
        (lambda: RegimeStep(1.0, states=4), "2 or 3"),
        (lambda: RegimeStep(1.0, least_days=800), "least_days"),
        (lambda: RegimeStep(1.0, 24.0, least_days=20), "30 periods"),
        (lambda: RegimeStep(1.0, half_life_hours=1.0), "half_life_hours"),
        (lambda: ChangePointStep(1.0, recent_days=0), "recent_days"),
        (lambda: ChangePointStep(1.0, threshold=0.0), "threshold"),
        (lambda: ChangePointStep(1.0, expected_run_days=0.1), "expected_run_days"),
        (lambda: ChangePointStep(1.0, slack=-1.0), "slack"),
        (lambda: ChangePointStep(0.0), "period_hours"),
        (lambda: run_step(REGIMES, with_volatility([0.01], [1]), np.array([5])), "bid_50bps"),
        (lambda: RegimeModel(np.ones((2, 1)), np.ones((2, 2, 2)), np.eye(2), [1, 0]), "covariance"),
    ],
)
def test_what_cannot_be_is_refused(make, word):
    with pytest.raises(InputError, match=word):
        make()
