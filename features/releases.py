"""Hours until scheduled releases of US figures: they move prices, and when they come is known long before."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import numpy as np

from ..riskcore.arrays import FloatArray, TimeArray
from .engine.of_time import TimeStep
from .engine.step import Declaration

CALENDAR = Path(__file__).with_name("us_releases.toml")
MOST_HOURS = 24.0
"""Releases further away than this are all as far: the day before one is like any other."""


@cache
def release_times() -> dict[str, TimeArray]:
    """Instants (UTC) of scheduled releases by name, rising: fomc, cpi and payrolls, 2018 to 2026.

    Examples
    --------
    >>> release_times()["cpi"][54]
    np.datetime64('2022-07-13T12:30:00.000000000')
    """
    kinds = tomllib.loads(CALENDAR.read_text(encoding="utf-8"))
    return {name: np.array(kind["times"], "datetime64[ns]") for name, kind in kinds.items()}


def calendar_end() -> np.datetime64:
    """Last day on which the calendar knows the next release of every kind.

    Examples
    --------
    >>> calendar_end()
    np.datetime64('2026-12-04')
    """
    end: np.datetime64 = min(times[-1] for times in release_times().values()).astype("datetime64[D]")
    return end


def outside_calendar(times: TimeArray) -> str:
    """What to say of times that the calendar does not cover; "" if it covers them all.

    Examples
    --------
    >>> outside_calendar(np.array(["2017-06-01", "2018-06-01"], "datetime64[ns]"))
    'scheduled releases are known from 2018 to 2026-12-04 only: at other times none is foreseen'
    """
    first = min(times[0] for times in release_times().values()).astype("datetime64[Y]")
    if len(times) == 0 or (times[0] >= first and times[-1] <= calendar_end()):
        return ""
    return f"scheduled releases are known from {first} to {calendar_end()} only: at other times none is foreseen"


def hours_to_release(times: TimeArray) -> FloatArray:
    """Hours from each instant to the next release of any kind, 24 at most, shape (m,); 24 beyond the calendar.

    A release at the very instant is still to come.

    Examples
    --------
    >>> hours_to_release(np.array(["2022-07-13T12:00", "2022-07-13T13:00"], "datetime64[ns]")).tolist()
    [0.5, 24.0]
    """
    releases = _all_releases()
    place = np.searchsorted(releases, times)
    known = place < len(releases)
    wait = (releases[np.minimum(place, len(releases) - 1)] - times) / np.timedelta64(1, "h")
    return np.where(known, np.minimum(wait, MOST_HOURS), MOST_HOURS)


@cache
def _all_releases() -> TimeArray:
    """Instants of releases of every kind, rising; sorted once, since a stream asks at every bar."""
    return np.sort(np.concatenate(list(release_times().values())))


class Releases(TimeStep):
    """Hours until the next scheduled release at the close of each bar, the same for every symbol.

    Examples
    --------
    >>> [one.name for one in Releases().declarations]
    ['hours_to_release']
    """

    declarations = (
        Declaration(
            "hours_to_release",
            "Hours to the next Federal Reserve decision, US consumer price index or US payrolls, as scheduled",
            "hours, 24 at most",
            (),
            0.0,
            "always known; 24 beyond the calendar",
            "federalreserve.gov and bls.gov, release calendars",
        ),
    )

    @staticmethod
    def values(times: TimeArray) -> dict[str, FloatArray]:
        """See `hours_to_release`."""
        return {"hours_to_release": hours_to_release(times)}
