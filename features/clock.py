"""Time of day and of week as numbers without a seam at midnight or on Sunday."""

from __future__ import annotations

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray, TimeArray
from .engine.of_time import TimeStep
from .engine.step import Declaration

HOURS_A_WEEK = 168
EPOCH_SINCE_MONDAY = 72
"""Hours from Monday 00:00 to 1970-01-01, a Thursday."""


def hour_of_week(times: TimeArray) -> IntArray:
    """Hours since Monday 00:00 UTC of each instant, 0 .. 167.

    Examples
    --------
    >>> hour_of_week(np.array(["2024-01-01T00:30", "2024-01-07T23:00"], "datetime64[ns]")).tolist()
    [0, 167]
    """
    hours: IntArray = times.astype("datetime64[h]").astype(np.int64)
    return (hours + EPOCH_SINCE_MONDAY) % HOURS_A_WEEK


def clock(times: TimeArray) -> dict[str, FloatArray]:
    """Sine and cosine of the hour of the day and of the hour of the week at each instant, each of shape (m,).

    Examples
    --------
    >>> round(float(clock(np.array(["2024-01-01T06:00"], "datetime64[ns]"))["hour_sin"][0]), 6)
    1.0
    """
    hours = hour_of_week(times)
    return {name: values[hours] for name, values in HANDS.items()}


def _hands() -> dict[str, FloatArray]:
    """Each hand at each hour of the week: looked up, so that one instant and a thousand give the same bits."""
    week = np.arange(HOURS_A_WEEK)
    day, whole = 2.0 * np.pi * (week % 24) / 24.0, 2.0 * np.pi * week / HOURS_A_WEEK
    return {"hour_sin": np.sin(day), "hour_cos": np.cos(day), "week_sin": np.sin(whole), "week_cos": np.cos(whole)}


HANDS = _hands()


class Clock(TimeStep):
    """The hands of the clock at the close of each bar, the same for every symbol.

    Examples
    --------
    >>> [one.name for one in Clock().declarations]
    ['hour_sin', 'hour_cos', 'week_sin', 'week_cos']
    """

    declarations = tuple(
        Declaration(name, f"{said} of the hour of the {period}, UTC", "-1 to 1", (), 0.0, "always known")
        for name, said, period in (
            ("hour_sin", "Sine", "day"),
            ("hour_cos", "Cosine", "day"),
            ("week_sin", "Sine", "week"),
            ("week_cos", "Cosine", "week"),
        )
    )

    @staticmethod
    def values(times: TimeArray) -> dict[str, FloatArray]:
        """See `clock`."""
        return clock(times)
