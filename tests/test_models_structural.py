"""Structural models: historical simulation against the reflection principle and Monte Carlo, climatology by hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from margincast.models.climatology import Climatology, main_leg, relative_distance
from margincast.models.historical import FilteredHistorical, TouchFrequency, thinned, window_count
from margincast.models.reflection import EwmaReflection, touch_probability
from margincast.models.sample import AccountSample, ScaleField
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import Exposure
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.market import MarketHistory

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SIGMA = 0.01
SHARP = 0.002
BROADIE_GLASSERMAN_KOU = 0.5826
"""-zeta(1/2) / sqrt(2 pi): a barrier watched at steps acts as if this many step deviations further off (1997)."""


def sample_of(
    legs: list[dict[int, float]], headroom: list[float], bar: int | list[int], horizons: tuple[int, ...]
) -> AccountSample:
    room = np.array(headroom, dtype=np.float64)
    series = np.array([s for pool in legs for s in sorted(pool)], dtype=np.int64)
    weight = np.array([pool[s] for pool in legs for s in sorted(pool)], dtype=np.float64)
    pointer = np.concatenate(([0], np.cumsum([len(pool) for pool in legs]))).astype(np.int64)
    exposure = Exposure(pointer, series, weight, room, room, np.zeros(len(room)))
    bars = np.broadcast_to(np.asarray(bar, dtype=np.int64), room.shape).copy()
    return AccountSample(bars, exposure, horizons, np.zeros((len(room), 0)), ())


def history_of(low: np.ndarray, high: np.ndarray, close: np.ndarray) -> MarketHistory:
    bars, series = close.shape
    table = InstrumentTable.linear_perpetuals([f"C{k}" for k in range(series)])
    times = np.datetime64("2020-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "h")
    return MarketHistory(
        table, times, close, high, low, close, np.arange(series), np.array([-1]), np.zeros((bars, series))
    )


def brownian(bars: int, seed: int, *, between: bool) -> MarketHistory:
    """One driftless Brownian log price; with exact lows and highs of the bridge inside each bar, or closes only."""
    rng = np.random.default_rng(seed)
    close = np.cumsum(SIGMA * rng.normal(size=bars))
    opened = np.concatenate(([0.0], close[:-1]))
    if not between:
        return history_of(*(np.exp(close)[:, None] for _ in range(3)))
    half = np.sqrt((close - opened) ** 2 - 2 * SIGMA**2 * np.log(rng.random((2, bars))))
    low, high = (opened + close - half[0]) / 2, (opened + close + half[1]) / 2
    return history_of(*(np.exp(x)[:, None] for x in (low, high, close)))


def constant_scale(bars: int, series: int, horizons: tuple[int, ...]) -> ScaleField:
    root = SIGMA * np.sqrt(np.array(horizons, dtype=np.float64))
    return ScaleField(np.broadcast_to(root, (bars + 1, series, len(horizons))).copy(), horizons)


DISTANCES = np.array([0.5, 1.0, 1.5, 2.0, 2.5])


def said_at_distances(history: MarketHistory, horizon: int, side: int, bandwidth: float) -> np.ndarray:
    bars = len(history)
    field = constant_scale(bars, 1, (horizon,))
    model = FilteredHistorical(bandwidth).fit(history, field, 1, bars)
    move = DISTANCES * SIGMA * np.sqrt(horizon)
    headroom = 1 - np.exp(-move) if side > 0 else np.expm1(move)
    return model.predict(sample_of([{0: float(side)}] * 5, list(headroom), bars, (horizon,)), field)[:, 0]


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("horizon", [1, 24])
def test_on_brownian_bars_it_is_the_reflection_principle(side: int, horizon: int) -> None:
    windows = window_count(horizon)
    found = said_at_distances(brownian(windows * horizon + 1, 1, between=True), horizon, side, SHARP)
    exact = 2 * stats.norm.cdf(-DISTANCES)
    assert (np.abs(found - exact) < 3.5 * np.sqrt(exact * (1 - exact) / windows)).all()


def test_watched_at_closes_only_it_needs_the_discrete_monitoring_correction() -> None:
    horizon, windows = 24, window_count(24)
    found = said_at_distances(brownian(windows * horizon + 1, 2, between=False), horizon, 1, SHARP)
    exact = 2 * stats.norm.cdf(-DISTANCES - BROADIE_GLASSERMAN_KOU / np.sqrt(horizon))
    assert (np.abs(found - exact) < 3.5 * np.sqrt(exact * (1 - exact) / windows)).all()
    assert found.sum() < (2 * stats.norm.cdf(-DISTANCES)).sum() - 0.08


def test_the_smoothing_is_the_stated_logistic_in_the_log_of_the_loss() -> None:
    windows = window_count(1)
    found = said_at_distances(brownian(windows + 1, 3, between=True), 1, 1, 0.25)
    for distance, said in zip(DISTANCES, found, strict=True):

        def degree(z: float, room: float = -np.expm1(-distance * SIGMA)) -> float:
            loss = -np.expm1(-SIGMA * z)
            return float(2 * stats.norm.pdf(z) / (1 + (room / loss) ** 4))

        assert said == pytest.approx(integrate.quad(degree, 1e-9, 8)[0], abs=0.02)


def test_books_of_two_legs_agree_with_a_separate_monte_carlo() -> None:
    horizon, windows, mix = 8, window_count(8), np.array([[1.0, 0.0], [0.6, 0.8]])
    rng = np.random.default_rng(4)
    close = 100 * np.exp(np.cumsum(SIGMA * rng.normal(size=(windows * horizon + 1, 2)) @ mix.T, axis=0))
    history = history_of(close, close, close)
    field = constant_scale(len(history), 2, (horizon,))
    legs = [{0: 1.0, 1: -0.7}, {0: 1.0, 1: 1.0}, {0: -1.0, 1: -0.5}, {0: -0.5, 1: 1.0}]
    room = [0.02, 0.05, 0.04, 0.03]
    model = FilteredHistorical(SHARP).fit(history, field, 1, len(history))
    found = model.predict(sample_of(legs, room, len(history), (horizon,)), field)[:, 0]
    other = np.random.default_rng(5).normal(size=(60_000, horizon, 2))
    relative = np.expm1(np.cumsum(SIGMA * other @ mix.T, axis=1))
    for said, pool, headroom in zip(found, legs, room, strict=True):
        exact = ((relative @ np.array([pool[0], pool[1]])).min(axis=1) < -headroom).mean()
        assert 0.05 < exact < 0.6
        assert said == pytest.approx(exact, abs=3.5 * np.sqrt(exact * (1 - exact) / windows))


def test_calibrated_on_later_independent_moves() -> None:
    rng = np.random.default_rng(6)
    bars, horizon, cut = 36_001, 4, 20_001
    close = 100 * np.exp(np.cumsum(SIGMA * rng.standard_t(4, (bars, 2)), axis=0))
    wick = SIGMA * rng.exponential(0.5, (2, bars, 2))
    history = history_of(close * np.exp(-wick[0]), close * np.exp(wick[1]), close)
    field = constant_scale(bars, 2, (1, horizon))
    starts = np.arange(cut, bars - horizon, horizon)
    side, room = rng.choice([-1.0, 1.0], (len(starts), 2)), rng.uniform(0.02, 0.15, len(starts))
    sample = sample_of([{0: a, 1: b} for a, b in side], list(room), list(starts), (1, horizon))
    said = FilteredHistorical().fit(history, field, 1, cut).predict(sample, field)
    for k, h in enumerate((1, horizon)):
        worst = np.zeros(len(starts))
        for ahead in range(h):
            for prices in (history.low, history.high, history.close):
                relative = prices[starts + ahead] / close[starts - 1] - 1
                worst = np.maximum(worst, -(side * relative).sum(axis=1))
        hit = worst > room
        assert hit.sum() > 100
        for part in (said[:, k] < 0.1, said[:, k] >= 0.1):
            p = said[part, k]
            deviation = np.sqrt((p * (1 - p)).sum() + part.sum() ** 2 * p.mean() / window_count(h))
            assert abs(hit[part].sum() - p.sum()) < 3.5 * deviation


def noisy(bars: int, series: int, seed: int) -> MarketHistory:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.02 * rng.normal(size=(bars, series)), axis=0))
    wick = 0.02 * rng.exponential(1.0, (2, bars, series))
    return history_of(close * np.exp(-wick[0]), close * np.exp(wick[1]), close)


def changed_from(history: MarketHistory, bar: int) -> MarketHistory:
    factor = np.where(np.arange(len(history)) >= bar, 3.0, 1.0)[:, None]
    return history_of(history.low * factor, history.high * factor, history.close * factor)


def libraries_of(history: MarketHistory, first: int, last: int) -> dict[int, np.ndarray]:
    model = FilteredHistorical().fit(history, constant_scale(len(history), 2, (1, 5)), first, last)
    assert all(lib.start.min() >= first for lib in model.libraries_.values())
    return {h: lib.moves for h, lib in model.libraries_.items()}


def test_no_window_reaches_the_last_bar_and_the_one_before_is_used() -> None:
    history = noisy(200, 2, 7)
    before = libraries_of(history, 10, 120)
    after = libraries_of(changed_from(history, 120), 10, 120)
    earlier = libraries_of(changed_from(history, 119), 10, 120)
    for horizon in (1, 5):
        np.testing.assert_array_equal(before[horizon], after[horizon])
        assert not np.array_equal(before[horizon], earlier[horizon])
        assert len(before[horizon]) == 120 - 10 - horizon + 1


def test_a_period_shorter_than_the_horizon_is_refused_not_wrapped_around() -> None:
    history = noisy(200, 2, 8)
    with pytest.raises(InputError, match=r"last_bar: leaves no window of 5 bars .*found 4\)"):
        libraries_of(history, 1, 4)
    with pytest.raises(InputError, match="windows of 1 bars must lie within bars 1 to 199"):
        libraries_of(history, 0, 100)


def test_a_horizon_that_was_not_fitted_is_refused() -> None:
    history = noisy(60, 2, 9)
    model = FilteredHistorical().fit(history, constant_scale(60, 2, (1, 4)), 1, 60)
    with pytest.raises(InputError, match=r"is not one of those fitted, \[1, 4\] \(found 2\)"):
        model.predict(sample_of([{0: 1.0}], [0.1], 60, (2,)), constant_scale(60, 2, (2,)))


def test_forecasts_never_fall_with_the_horizon_and_are_certain_in_breach() -> None:
    rng = np.random.default_rng(10)
    history = noisy(900, 2, 11)
    horizons = (1, 2, 8, 24)
    field = ScaleField(rng.uniform(0.01, 0.03, (901, 2, 4)), horizons)
    legs = [{0: a, 1: b} for a, b in rng.normal(size=(200, 2))] + [{0: 1.0}, {}]
    sample = sample_of(legs, [*rng.uniform(0.0, 0.3, 200), -0.01, 0.2], 900, horizons)
    model = FilteredHistorical().fit(history, field, 1, 900)
    said = model.predict(sample, field)
    assert (np.diff(said, axis=1) >= 0).all()
    assert (said[200:] == [[1.0] * 4, [0.0] * 4]).all()
    touched = TouchFrequency(20).predict(sample, history)
    assert (np.diff(touched, axis=1) >= 0).all()
    again = FilteredHistorical(threads=2).fit(history, field, 1, 900).predict(sample, field)
    assert again.tobytes() == said.tobytes()


def test_an_unknown_scale_gives_nan() -> None:
    history = noisy(60, 2, 12)
    field = constant_scale(60, 2, (1, 4))
    model = FilteredHistorical().fit(history, field, 1, 60)
    field.sigma[60, 1, 1] = np.nan
    said = model.predict(sample_of([{0: 1.0}, {1: 1.0}], [0.1, 0.1], 60, (1, 4)), field)
    assert np.isnan(said).tolist() == [[False, False], [False, True]]


def test_the_state_of_a_simulation_gives_the_same_bits_back() -> None:
    history = noisy(300, 2, 13)
    field = constant_scale(300, 2, (1, 4))
    model = FilteredHistorical(0.11).fit(history, field, 1, 300)
    sample = sample_of([{0: 1.0, 1: -0.3}, {1: 1.0}], [0.05, 0.1], 300, (1, 4))
    back = FilteredHistorical.from_state(model.state())
    assert back.predict(sample, field).tobytes() == model.predict(sample, field).tobytes()
    assert [lib.start.tobytes() for lib in back.libraries_.values()] == [
        lib.start.tobytes() for lib in model.libraries_.values()
    ]


def test_series_in_another_order_change_nothing() -> None:
    history = noisy(300, 3, 14)
    field = ScaleField(np.random.default_rng(15).uniform(0.01, 0.03, (301, 3, 2)), (1, 4))
    model = FilteredHistorical().fit(history, field, 1, 300)
    places = np.array([2, 0, 1])
    turned = ScaleField(field.sigma[:, places], (1, 4))
    before = model.predict(sample_of([{0: 1.0}, {1: 1.0, 2: -0.5}], [0.05, 0.04], 300, (1, 4)), field)
    moved = sample_of([{1: 1.0}, {2: 1.0, 0: -0.5}], [0.05, 0.04], 300, (1, 4))
    np.testing.assert_allclose(model.reordered(places).predict(moved, turned), before, atol=1e-6)


def test_touch_frequency_counted_by_hand() -> None:
    """Flat at 100 with lows of 90 in bars 10 and 20; one day of hourly windows; 5% of headroom."""
    close = np.full((40, 1), 100.0)
    low = close.copy()
    low[[10, 20]] = 90.0
    sample = sample_of([{0: 1.0}] * 5 + [{0: -1.0}], [0.05] * 6, [30, 35, 8, 11, 1, 30], (1, 2))
    found = TouchFrequency(1, bandwidth=SHARP).predict(sample, history_of(low, close, close))
    by_hand = [[2 / 24, 4 / 23], [1 / 24, 2 / 23], [0, 0], [1 / 10, 1 / 9], [np.nan, np.nan], [0, 0]]
    np.testing.assert_allclose(found, by_hand, atol=1e-12)


def test_touch_frequency_sees_nothing_from_its_bar_on() -> None:
    history = noisy(300, 1, 16)
    sample = sample_of([{0: 1.0}, {0: -1.0}], [0.04, 0.04], 200, (1, 6))
    before = TouchFrequency(5).predict(sample, history)
    np.testing.assert_array_equal(TouchFrequency(5).predict(sample, changed_from(history, 200)), before)
    assert (TouchFrequency(5).predict(sample, changed_from(history, 199)) != before).any()


def test_touch_frequency_of_a_pool_does_not_depend_on_the_others() -> None:
    history = noisy(9400, 1, 17)
    bars = [9301, 8999, 9000, 9399]
    sample = sample_of([{0: 1.0}] * 4, [0.05] * 4, bars, (1, 24))
    together = TouchFrequency().predict(sample, history)
    alone = [TouchFrequency().predict(sample.take(np.array([k])), history) for k in range(4)]
    np.testing.assert_array_equal(together, np.vstack(alone))
    assert TouchFrequency().predict(sample.take(np.array([], dtype=np.int64)), history).shape == (0, 2)


def test_thinned_keeps_the_ends_and_the_order() -> None:
    few = thinned(np.arange(100, 1100), 7)
    assert (len(few), few[0], few[-1]) == (7, 100, 1099)
    assert np.ptp(np.diff(few)) <= 1
    assert thinned(np.arange(3), 7).tolist() == [0, 1, 2]


def test_reflection_over_a_horizon_is_that_of_the_scaled_distance() -> None:
    sample = sample_of([{0: 1.0}] * 4, [1.0, 1.0, 1.0, -1.0], 5, (1, 4))
    rich = AccountSample(
        sample.bar, sample.exposure, (1, 4), np.array([[3.919928], [-1.0], [np.nan], [-2.0]]), ("distance_ewma",)
    )
    found = EwmaReflection().predict(rich)
    np.testing.assert_allclose(found[0], [2 * stats.norm.sf(3.919928), 0.05], rtol=1e-5)
    np.testing.assert_array_equal(found[1:], [[1, 1], [np.nan, np.nan], [1, 1]])
    assert touch_probability(np.array(0.0)) == 1.0
    with pytest.raises(InputError, match="is not a feature"):
        EwmaReflection("distance").predict(rich)


def test_climatology_counted_by_hand() -> None:
    """All at one distance, so one bucket: 100 rows, 10 hits, all among the 40 long of series 0."""
    legs = [{0: 1.0}] * 40 + [{1: -1.0}] * 60
    breached = np.repeat([1.0, 0.0], [10, 90])[:, None]
    model = Climatology().fit(sample_of(legs, [0.1] * 100, 1, (1,)), breached)
    asked = sample_of([{0: 1.0}, {1: -2.0}, {0: -1.0}, {5: 1.0}], [0.1, 0.2, 0.1, 0.1], 1, (1,))
    expected = [(10 + 20 * 0.1) / 60, (0 + 20 * 0.1) / 80, 0.1, 0.1]
    np.testing.assert_allclose(model.predict(asked)[:, 0], expected, rtol=1e-12)
    turned = model.reordered(np.array([1, -1, 0, 7]))
    moved = sample_of([{2: 1.0}, {0: -1.0}, {1: -1.0}, {3: 1.0}, {9: 1.0}], [0.1] * 5, 1, (1,))
    np.testing.assert_allclose(turned.predict(moved)[:, 0], [*expected[:2], 0.1, 0.1, 0.1], rtol=1e-12)


def plain_climatology(
    key: list[tuple[int, int]], distance: np.ndarray, breached: np.ndarray, asked: tuple[int, int, float]
) -> float:
    """The docstring of Climatology for one horizon, cell by cell."""
    edges = [np.quantile(distance, k / 12) for k in range(1, 12)]

    def bucket(d: float) -> int:
        return sum(e <= d for e in edges)

    mine = [b for d, b in zip(distance, breached, strict=True) if bucket(d) == bucket(asked[2]) and np.isfinite(b)]
    rate = (sum(mine) + 20 * np.nanmean(breached)) / (len(mine) + 20)
    cell = [
        b
        for k, d, b in zip(key, distance, breached, strict=True)
        if k == asked[:2] and bucket(d) == bucket(asked[2]) and np.isfinite(b)
    ]
    return float((sum(cell) + 20 * rate) / (len(cell) + 20))


def test_climatology_equals_its_plain_twin_on_rows_with_unknown_outcomes() -> None:
    rng = np.random.default_rng(18)
    n = 600
    key = [(int(s), int(d)) for s, d in zip(rng.integers(0, 3, n), rng.integers(0, 2, n), strict=True)]
    distance = rng.exponential(0.1, n)
    breached = (rng.random((n, 2)) < np.exp(-10 * distance)[:, None] * [0.5, 1.0]).astype(float)
    breached[rng.random(n) < 0.2, 1] = np.nan
    sample = sample_of([{s: 1.0 - 2 * d} for s, d in key], list(distance), 1, (1, 4))
    model = Climatology().fit(sample, breached)
    said = model.predict(sample.take(np.arange(60)))
    for row in range(60):
        each = [plain_climatology(key, distance, breached[:, k], (*key[row], distance[row])) for k in range(2)]
        np.testing.assert_allclose(said[row], np.maximum.accumulate(each), rtol=1e-12)
    back = Climatology.from_state(model.state())
    assert back.predict(sample).tobytes() == model.predict(sample).tobytes()


def test_climatology_of_pools_without_exposure_or_headroom() -> None:
    legs = [{0: 1.0}] * 50 + [{}] * 50
    model = Climatology().fit(sample_of(legs, list(np.linspace(0.01, 1, 100)), 1, (1,)), np.zeros((100, 1)))
    assert np.isfinite(model.edges_).all()
    asked = sample_of([{}, {}, {0: 1.0}, {0: 1.0}], [1.0, -1.0, -1.0, np.nan], 1, (1,))
    np.testing.assert_array_equal(model.predict(asked)[:, 0], [0.0, 0.0, 1.0, np.nan])


def test_climatology_needs_exposure_and_outcomes() -> None:
    for legs, outcome in (([{}] * 3, 0.0), ([{0: 1.0}] * 3, np.nan), ([], 0.0)):
        with pytest.raises(InputError, match="needs rows with exposure and a known outcome at each horizon"):
            Climatology().fit(sample_of(legs, [1.0] * len(legs), 1, (1,)), np.full((len(legs), 1), outcome))


def test_main_leg_is_the_largest_and_distance_is_over_gross() -> None:
    exposure = sample_of([{1: 2.0, 4: -3.0}, {}, {2: 1.0}], [1.0, 1.0, 0.25], 1, (1,)).exposure
    series, side = main_leg(exposure)
    assert (series.tolist(), side.tolist()) == ([4, 0, 2], [1, 0, 0])
    np.testing.assert_array_equal(relative_distance(exposure), [0.2, np.inf, 0.25])


def real_bitcoin() -> tuple[MarketHistory, pd.DatetimeIndex]:
    path = SHARED / "data" / "binance_1h" / "perp.parquet"
    if not path.exists():
        pytest.skip(f"real bars are not at {path}")
    bars = pd.read_parquet(path, filters=[("symbol", "==", "BTC")]).set_index("timestamp").sort_index().asfreq("h")
    prices = (bars[[name]].to_numpy(np.float64) for name in ("low", "high", "close"))
    return history_of(*prices), pd.DatetimeIndex(bars.index)


def worst_moves(history: MarketHistory, starts: np.ndarray, side: np.ndarray, horizon: int) -> np.ndarray:
    """Largest relative loss of a unit position over the horizon, bar by bar."""
    before, worst = history.close[starts - 1, 0], np.zeros(len(starts))
    for ahead in range(horizon):
        adverse = np.where(side > 0, history.low[starts + ahead, 0], history.high[starts + ahead, 0])
        worst = np.fmax(worst, -side * (adverse / before - 1))
    return worst


def log_loss(p: np.ndarray, hit: np.ndarray) -> float:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-np.where(hit, np.log(p), np.log1p(-p)).mean())


@pytest.mark.parametrize("horizon", [1, 24])
def test_on_real_bars_it_is_calibrated_and_beats_the_touch_frequency(horizon: int) -> None:
    """Bitcoin, fitted before 2022, longs and shorts from then to 2025-08; EWMA volatility, half-life one day."""
    history, opens = real_bitcoin()
    squares = pd.Series(np.log(history.close[:, 0])).diff() ** 2
    volatility = np.append(np.nan, np.sqrt(squares.ewm(halflife=24, min_periods=100).mean()))
    field = ScaleField(volatility[:, None, None] * np.sqrt(horizon), (horizon,))
    cut = int(np.searchsorted(opens, pd.Timestamp("2022-01-01", tz="UTC")))
    rng = np.random.default_rng(19)
    starts = np.arange(cut, len(history) - horizon, 7)
    starts = starts[np.isfinite(history.close[starts - 1, 0])]
    side = rng.choice([-1.0, 1.0], len(starts))
    room = rng.uniform(0.01, 0.08, len(starts)) * np.sqrt(horizon / 24)
    sample = sample_of([{0: s} for s in side], list(room), list(starts), (horizon,))
    said = FilteredHistorical().fit(history, field, 1, cut).predict(sample, field)[:, 0]
    touched = TouchFrequency().predict(sample, history)[:, 0]
    hit = worst_moves(history, starts, side, horizon) > room
    assert 0.85 < said.mean() / hit.mean() < 1.2
    assert log_loss(said, hit) < log_loss(touched, hit) < log_loss(np.full(len(hit), hit.mean()), hit)
