"""Losses over the margin period of risk, and the measures of a margin path against them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from margincast.riskcore.errors import InputError
from margincast.training.coverage_tests import diebold_mariano, pinball
from margincast.training.margin_losses import PeriodLosses, period_losses
from margincast.training.margin_measures import measure, pooled
from margincast.training.margin_walk import SideWalk, compared
from margincast.training.regime_rates import regime_flags, regime_rates

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
HOUR = np.timedelta64(1, "h")


def hours(count: int) -> np.ndarray:
    return np.datetime64("2024-01-01", "ns") + np.arange(count) * HOUR


def bars(count: int, seed: int, volatility: float | np.ndarray = 0.01) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """High, low and close of a random walk."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(volatility * rng.standard_normal(count)))
    opened = np.concatenate(([100.0], close[:-1]))
    spread = 1 + np.abs(volatility * rng.standard_normal(count)) / 2
    return np.maximum(opened, close) * spread, np.minimum(opened, close) / spread, close


def walked(count: int = 60, step: int = 8, end: int | None = None, seed: int = 1) -> PeriodLosses:
    times = hours(count)
    return period_losses(times, *bars(count, seed), step, times[0] + (end or count) * HOUR)


def test_losses_are_those_of_a_plain_loop() -> None:
    high, low, close = bars(60, 1)
    found = walked(60, 8, end=58)
    firsts = list(range(58 - 7 * 8, 58, 8))
    assert len(found.starts) == 7
    assert found.end == hours(60)[0] + 58 * HOUR
    for p, first in enumerate(firsts):
        entry, window = close[first - 1], slice(first, first + 8)
        moves = np.diff(np.log(close[first - 1 : first + 8]))
        assert found.starts[p] == hours(60)[first]
        assert found.long[p] == pytest.approx(max(0.0, *(1 - p / entry for p in low[window])))
        assert found.short[p] == pytest.approx(max(0.0, *(p / entry - 1 for p in high[window])))
        assert found.squares[p] == pytest.approx(np.log(close[first + 7] / entry) ** 2)
        assert found.realised[p] == pytest.approx((moves**2).sum())


def test_what_becomes_known_after_the_end_is_not_used() -> None:
    times, (high, low, close) = hours(60), bars(60, 2)
    before = period_losses(times, high, low, close, 8, times[40])
    for column in (high, low, close):
        column[40:] *= 0.5
    after = period_losses(times, high, low, close, 8, times[40])
    np.testing.assert_array_equal(before.long, after.long)
    np.testing.assert_array_equal(before.realised, after.realised)
    low[39] *= 0.5
    assert period_losses(times, high, low, close, 8, times[40]).long[-1] > before.long[-1]


def test_an_end_within_a_bar_does_not_use_the_bar() -> None:
    times, prices = hours(60), bars(60, 3)
    whole, within = (period_losses(times, *prices, 8, e) for e in (times[40], times[40] + HOUR // 2))
    np.testing.assert_array_equal(whole.long, within.long)


def test_a_missing_bar_makes_its_period_unknown_and_no_other() -> None:
    times, (high, low, close) = hours(57), bars(57, 4)
    full = period_losses(times, high, low, close, 8, times[-1] + HOUR)
    for column in (high, low, close):
        column[20] = np.nan
    found = period_losses(times, high, low, close, 8, times[-1] + HOUR)
    assert found.known.tolist() == [True, True, False, True, True, True, True]
    np.testing.assert_array_equal(found.long[found.known], full.long[found.known])
    assert len(found.series("long")) == 6
    spread = found.spread(np.arange(7.0))
    assert spread.tolist() == [0, 1, 2, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("step", "end"), [(0, 60), (60, 60), (8, 8), (8, 0)])
def test_too_few_bars_are_refused(step: int, end: int) -> None:
    times = hours(60)
    with pytest.raises(InputError):
        period_losses(times, *bars(60, 5), step, times[0] + end * HOUR)


def test_a_side_is_long_or_short() -> None:
    with pytest.raises(InputError, match="long"):
        walked().losses("buy")


def test_a_real_crash_is_in_the_losses() -> None:
    """The lowest mark of BTC on 2020-03-13 was 3,801.83 (shared/data/README.md)."""
    path = SHARED / "data" / "binance_1h" / "mark.parquet"
    if not path.is_file():
        pytest.skip(f"no {path}")
    rows = pd.read_parquet(path, filters=[("symbol", "==", "BTC")]).sort_values("timestamp")
    rows = rows[rows["timestamp"].between("2020-03-01", "2020-03-20")]
    times = rows["timestamp"].dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
    columns = [rows[name].to_numpy() for name in ("high", "low", "close")]
    found = period_losses(times, *columns, 24, np.datetime64("2020-03-13T12", "ns"))
    entry = float(rows.loc[rows["timestamp"] == "2020-03-12T11:00Z", "close"].iloc[0])
    assert found.long[-1] == pytest.approx(1 - 3801.83 / entry)
    assert found.long[-1] == found.long.max()


@given(arrays(float, st.integers(12, 40), elements=st.floats(0.01, 0.5)), st.floats(0.6, 0.999))
def test_measures_are_what_they_say(margin: np.ndarray, level: float) -> None:
    losses = np.random.default_rng(len(margin)).random(len(margin)) * 0.5
    found = measure(margin, losses, level, 1)
    assert found.violations == (losses > margin).sum()
    assert found.coverage == pytest.approx((losses <= margin).mean())
    assert found.rise_5d == pytest.approx(max(margin[t + 5] / margin[t] - 1 for t in range(len(margin) - 5)))
    assert found.peak_to_trough == pytest.approx(margin.max() / margin.min() - 1)
    assert found.pinball == pytest.approx(pinball(losses, margin, level).mean())
    assert found.es95_rise_5d <= found.rise_5d + 1e-12


def test_days_are_counted_in_periods() -> None:
    margin = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    found = measure(margin, np.zeros(6), 0.99, 3)
    assert found.rise_1d == 1.0
    assert np.isnan(found.rise_5d)


def test_both_sides_count_each() -> None:
    losses = np.array([[0.3, 0.1], [0.1, np.nan], [0.1, 0.3]])
    found = measure(np.full(3, 0.2), losses, 0.9, 1)
    assert (found.n_test, found.violations) == (5, 2)


def test_pooled_counts_add_and_means_average() -> None:
    first = measure(np.array([0.1, 0.2]), np.array([0.0, 0.3]), 0.9, 1)
    second = measure(np.full(8, 0.4), np.zeros(8), 0.9, 1)
    found = pooled([first, second], 0.9)
    assert (found.n_test, found.violations, found.coverage) == (10, 1, 0.9)
    assert found.mean_margin == pytest.approx((0.15 + 0.4) / 2)
    assert found.rise_1d == pytest.approx(0.5)
    assert found.rise_5d == pytest.approx(0.0)
    assert found.least_coverage == 0.5


def test_a_margin_without_any_loss_is_refused() -> None:
    with pytest.raises(InputError, match="both"):
        measure(np.array([np.nan, 0.1]), np.array([0.1, np.nan]), 0.99, 1)


def test_methods_are_compared_where_both_have_a_forecast() -> None:
    periods = walked(8 * 60 + 1)
    tested = np.arange(60) >= 10
    walk = SideWalk(periods, "long", tested, 0.9, 3)
    tight, wide = walk.judged(np.full(61, 0.02)), walk.judged(np.full(61, 0.2))
    late = walk.judged(np.concatenate((np.full(40, np.nan), np.full(21, 0.2))))
    assert tight is not None
    assert wide is not None
    assert late is not None
    losses = periods.long
    gap = [pinball(losses[s], np.full(60, m)[s], 0.9) for m, s in ((0.02, slice(10, None)), (0.2, slice(10, None)))]
    relative, test = compared([tight], [wide])
    assert relative == pytest.approx(gap[0].mean() / gap[1].mean() - 1)
    assert test.p_value == pytest.approx(diebold_mariano(*gap).p_value)
    gap = [pinball(losses[40:], np.full(20, m), 0.9) for m in (0.02, 0.2)]
    assert compared([tight], [late])[0] == pytest.approx(gap[0].mean() / gap[1].mean() - 1)
    assert np.isnan(compared([tight], [None])[0])
    assert walk.judged(np.full(61, np.nan)) is None


def test_regimes_are_told_apart() -> None:
    """Calm and wild months in turn: the stressed rate is far above the calm one, and each covers as asked."""
    count = 8 * 3000 + 1
    volatility = np.where((np.arange(count) // 1200) % 5 == 4, 0.02, 0.004)
    times = hours(count)
    periods = period_losses(times, *bars(count, 6, volatility), 8, times[-1] + HOUR)
    tested = np.arange(3000) >= 1500
    calm, stressed = regime_rates(periods, tested, 0.95).values()
    assert stressed.rate > 3 * calm.rate
    assert calm.n_test + stressed.n_test == 2 * tested.sum()
    for rate in (calm, stressed):
        assert rate.coverage == pytest.approx(0.96, abs=0.03)
    wild = volatility[1::8][:3000] == 0.02
    flags = regime_flags(periods)[:-1]
    assert (flags == wild)[1500:].mean() > 0.9


def test_a_regime_without_history_has_no_rate() -> None:
    periods = walked(8 * 60 + 1)
    found = regime_rates(periods, np.ones(60, bool), 0.99)["stressed"]
    assert np.isnan(found.rate)
    assert found.n_test == 0
