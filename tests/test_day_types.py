"""The season of a day's type against a plain reading of its definition, and nothing seen of the bars ahead."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margincast.features.volatility.day_types import day_type, day_type_ahead
from margincast.riskcore.errors import InputError

START = datetime(2024, 2, 28, 18, tzinfo=UTC)


def plainly(series, minutes, horizon, weeks):
    """One column, bar by bar, by the calendar of the standard library."""

    def kind(instant):
        return min(max(instant.weekday() - 4, 0), 2)

    opens = [START + timedelta(minutes=minutes) * k for k in range(len(series) + horizon)]
    place = {instant: k for k, instant in enumerate(opens)}

    def usual(bar):
        found, day, wanted = [], opens[bar], weeks * (5 if kind(opens[bar]) == 0 else 1)
        while (day := day - timedelta(days=1)) >= START and wanted:
            if kind(day) == kind(opens[bar]):
                wanted -= 1
                found.append(series[place[day]])
        return np.nanmean(found) if np.isfinite(found).any() else np.nan

    expected = []
    for bar in range(len(series) + 1):
        coming = [usual(k) for k in range(bar, bar + horizon)]
        expected.append(np.nanmean(coming) if np.isfinite(coming).any() else np.nan)
    return expected


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize(("minutes", "horizon"), [(60, 1), (60, 23), (240, 4), (720, 1)])
def test_it_is_what_the_calendar_says(minutes, horizon):
    rng = np.random.default_rng(minutes)
    series = rng.normal(size=(24 * 60 // minutes * 25, 2))
    series[rng.uniform(size=series.shape) < 0.05] = np.nan
    series[: len(series) // 2, 1] = np.nan
    found = day_type_ahead(series, np.datetime64(START.replace(tzinfo=None)), np.timedelta64(minutes, "m"), horizon, 2)
    for column in (0, 1):
        expected = plainly(series[:, column], minutes, horizon, 2)
        np.testing.assert_allclose(found[:, column], expected, rtol=0, atol=1e-12)
    assert np.isfinite(found[:, 0]).mean() > 0.7


@given(st.integers(0, 23 * 24), st.integers(1, 23))
def test_a_row_sees_no_bar_from_its_own_on(bar, horizon):
    series = np.random.default_rng(0).normal(size=(24 * 24, 1))
    changed = np.where(np.arange(len(series))[:, None] >= bar, 9.0, series)
    one, other = (
        day_type_ahead(x, np.datetime64("2024-01-01"), np.timedelta64(1, "h"), horizon, 3) for x in (series, changed)
    )
    assert np.array_equal(one[: bar + 1], other[: bar + 1], equal_nan=True)
    assert bar + 30 >= len(series) or not np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize(("minutes", "horizon"), [(60, 24), (60, 0), (7, 3), (1440, 1)])
def test_bars_that_do_not_make_a_day_and_longer_horizons_are_refused(minutes, horizon):
    with pytest.raises(InputError, match="horizon"):
        day_type_ahead(np.zeros((9, 1)), np.datetime64("2024-01-01"), np.timedelta64(minutes, "m"), horizon, 2)


def test_types_of_day():
    week = np.datetime64("2023-12-31T23:59") + np.arange(8) * np.timedelta64(1, "D")
    assert day_type(week).tolist() == [2, 0, 0, 0, 0, 0, 1, 2]
