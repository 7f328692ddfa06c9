"""Hours to scheduled releases: the calendar against New York's clock and real prices, and what lies beyond it."""

import datetime as dt
import os
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import step_parity
from test_features_engine import draw_table

from margincast.features.releases import MOST_HOURS, Releases, calendar_end, hours_to_release, release_times

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
NEW_YORK = ZoneInfo("America/New_York")
HOUR = np.timedelta64(1, "h")


def in_new_york(name: str) -> list[dt.datetime]:
    return [moment.astimezone(NEW_YORK) for moment in pd.DatetimeIndex(release_times()[name], tz="UTC")]


@pytest.mark.parametrize(
    ("name", "told_at", "weekdays"),
    [("fomc", dt.time(14), {2, 3}), ("cpi", dt.time(8, 30), {1, 2, 3, 4}), ("payrolls", dt.time(8, 30), {1, 2, 3, 4})],
)
def test_each_is_told_at_its_hour_of_new_york(name, told_at, weekdays):
    moments = in_new_york(name)
    assert {moment.time() for moment in moments} == {told_at}
    assert {moment.weekday() for moment in moments} <= weekdays
    assert moments == sorted(set(moments))


def test_as_many_a_year_as_are_scheduled():
    """Eight decisions, of which the one of March 2020 was dropped; twelve figures, but in 2025 fewer were published."""
    years = {name: pd.DatetimeIndex(times).year.value_counts().to_dict() for name, times in release_times().items()}
    assert years["fomc"] == {year: 7 if year == 2020 else 8 for year in range(2018, 2027)}
    for name in ("cpi", "payrolls"):
        assert years[name] == {year: 11 if year == 2025 else 12 for year in range(2018, 2027)}


def test_payrolls_come_on_a_friday_but_for_holidays_and_the_lapse_of_2025():
    other = [f"{moment:%Y-%m-%d}" for moment in in_new_york("payrolls") if moment.weekday() != 4]
    assert other == ["2020-07-02", "2025-07-03", "2025-11-20", "2025-12-16", "2026-02-11", "2026-07-02"]


def test_hours_count_down_to_the_nearest_of_any_kind():
    times = np.array(["2024-06-11T12", "2024-06-12T12", "2024-06-12T12:30", "2024-06-12T12:31"], "datetime64[ns]")
    assert hours_to_release(times).tolist() == [24.0, 0.5, 0.0, pytest.approx(5.0 + 29 / 60)]
    assert hours_to_release(np.array(["2010-01-01", "2031-01-01"], "datetime64[ns]")).tolist() == [MOST_HOURS] * 2


def test_the_calendar_ends_with_the_kind_that_ends_first():
    beyond = {name: (times > calendar_end() + np.timedelta64(1, "D")).any() for name, times in release_times().items()}
    assert not all(beyond.values())
    assert all((times >= calendar_end()).any() for times in release_times().values())


def test_releases_keep_the_contract_of_a_step():
    step_parity.hold(Releases(), draw_table(1, bars=200, start="2024-06-10"), 100)


@pytest.mark.skipif(not (SHARED / "data/binance_1h").is_dir(), reason="no shared market data")
@pytest.mark.parametrize(("name", "least"), [("fomc", 0.85), ("cpi", 0.85), ("payrolls", 0.65)])
def test_real_bars_move_more_in_the_hour_of_a_release(name, least):
    """From 2022 on, the bar of the release against those of the same hour ten days either way: a wrong day shows."""
    bars = pd.read_parquet(SHARED / "data/binance_1h/perp.parquet")
    bars = bars[bars["symbol"] == "BTC"].set_index("timestamp").sort_index()
    spread = np.log(bars["high"] / bars["low"]).to_numpy()
    times = bars.index.tz_localize(None).to_numpy().astype("datetime64[ns]")
    moments = release_times()[name]
    moments = moments[(moments >= np.datetime64("2022-01-01")) & (moments < times[-1] - np.timedelta64(11, "D"))]
    place = np.searchsorted(times, moments, side="right") - 1
    others = [np.delete(spread[one + 24 * np.arange(-10, 11)], 10) for one in place]
    ranks = [(row < spread[one]).mean() for one, row in zip(place, others, strict=True)]
    assert np.median(ranks) >= least
