"""How lively the coming bars usually are on such a day: working days, Saturdays and Sundays apart."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray, TimeArray
from ...riskcore.errors import InputError
from ..clock import hour_of_week
from .season_ahead import DAY

DAYS_A_WEEK = (5, 1, 1)
"""Of each type of day: working days, Saturdays, Sundays (UTC)."""


def day_type(times: TimeArray) -> IntArray:
    """0 on Monday to Friday, 1 on Saturday, 2 on Sunday, UTC.

    Examples
    --------
    >>> day_type(np.array(["2024-01-05T23", "2024-01-06T00", "2024-01-07T00"], "datetime64[ns]")).tolist()
    [0, 1, 2]
    """
    return np.maximum(hour_of_week(times) // 24 - 4, 0)


def day_type_ahead(
    deviation: FloatArray, start: np.datetime64, step: np.timedelta64, horizon: int, weeks: int
) -> FloatArray:
    """Mean of a series over the coming bars, each taken from the same time on earlier days of its type.

    Parameters
    ----------
    deviation
        Any quantity by bar, shape (T, n): its row k is known once bar k has closed.
    start, step
        Open of the first bar, and the length of a bar, a part of a day.
    horizon
        Bars ahead, less than a day of them.
    weeks
        How far back, in days of a type: 5 working days, a Saturday and a Sunday for each; those with data.

    Returns
    -------
    FloatArray
        Shape (T + 1, n): row i averages what bars i .. i + horizon - 1 usually are, from days before their own, so from
        bars closed by the open of bar i. NaN where no earlier day of these types is there.

    Raises
    ------
    InputError
        A horizon of a day or more, or a bar that does not divide a day.

    Examples
    --------
    Bars of 12 h from Thursday 2024-01-04 on, 1 on working days and 5 on weekends; the second weekend is expected so:

    >>> series = np.array([1.0, 1, 1, 1, 5, 5, 5, 5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])[:, None]
    >>> day_type_ahead(series, np.datetime64("2024-01-04"), np.timedelta64(12, "h"), 1, 4)[[8, 17, 18], 0].tolist()
    [1.0, 1.0, 5.0]
    """
    a_day = int(DAY / step)
    if a_day * step != DAY or not 0 < horizon < a_day:
        raise InputError("must be bars of a part of a day, fewer than a day of them", column="horizon", value=horizon)
    rows, columns = deviation.shape
    opens = start + np.arange(rows + horizon) * step
    kinds, of_day = day_type(opens), ((opens - opens.astype("datetime64[D]")) // step).astype(np.int64)
    known = np.vstack((deviation, np.full((horizon, columns), np.nan)))
    usual = np.full_like(known, np.nan)
    for kind, days in enumerate(DAYS_A_WEEK):
        for time in range(a_day):
            bars = np.flatnonzero((kinds == kind) & (of_day == time))
            end = np.arange(len(bars))
            usual[bars] = _means(known[bars], np.maximum(end - weeks * days, 0), end)
    now = np.arange(rows + 1)
    return _means(usual, now, now + horizon)


def _means(values: FloatArray, first: IntArray, end: IntArray) -> FloatArray:
    """Mean of rows first .. end - 1 that are known, for each pair of them; NaN where none is."""
    none = np.zeros((1, values.shape[1]))
    sums = np.vstack((none, np.cumsum(np.nan_to_num(values), axis=0)))
    counts = np.vstack((none, np.cumsum(np.isfinite(values), axis=0)))
    weight = counts[end] - counts[first]
    return np.where(weight > 0, (sums[end] - sums[first]) / np.maximum(weight, 1), np.nan)
