"""What regimes are told from: the market's volatility, correlation and depth over whole periods of a few hours."""

from __future__ import annotations

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..correlation.pair_moments import correlation_of, known_coins
from ..engine.logarithm import log_one

NANOSECONDS_AN_HOUR = 3_600_000_000_000
FOUR_LOG_2 = float(4.0 * np.log(2.0))
PERIODS = (6.0, 8.0, 12.0, 24.0)
LARGEST = 0.999
"""Correlations are held within this before Fisher's transformation."""


def bars_a_period(period_hours: float, bar_hours: float) -> int:
    """Whole bars in a period.

    Raises
    ------
    InputError
        A period that is not a whole number of bars, or that does not divide a day.

    Examples
    --------
    >>> bars_a_period(6.0, 0.5)
    12
    """
    bars = period_hours / bar_hours if bar_hours > 0.0 else 0.0
    if not _is_whole(bars):
        raise InputError(
            f"must be a whole number of bars of {bar_hours:g} h", column="period_hours", value=period_hours
        )
    if 24.0 % period_hours != 0.0:
        raise InputError("must divide a day", column="period_hours", value=period_hours)
    return round(bars)


def _is_whole(bars: float) -> bool:
    """Whether this is a whole number, at least one, to within the rounding of a bar of so many minutes in hours."""
    return bars >= 0.5 and abs(bars - round(bars)) < 1e-9 * bars


def usual_period(bar_hours: float) -> float:
    """The shortest of 6, 8, 12 and 24 hours that is a whole number of bars.

    Raises
    ------
    InputError
        Bars of which no day is a whole number.

    Examples
    --------
    >>> usual_period(0.5), usual_period(4.0)
    (6.0, 8.0)
    """
    for hours in PERIODS:
        if bar_hours > 0.0 and _is_whole(hours / bar_hours):
            return hours
    raise InputError("must divide a day", column="bar_hours", value=bar_hours)


def period_ends(closed: IntArray, bar_hours: float, period_hours: float) -> IntArray:
    """Rows of bars that are the last to close within their period, periods counted from midnight UTC.

    Examples
    --------
    >>> hours = np.arange(1, 9) * NANOSECONDS_AN_HOUR
    >>> period_ends(hours, 1.0, 4.0).tolist()
    [3, 7]
    """
    bar, period = round(bar_hours * NANOSECONDS_AN_HOUR), round(period_hours * NANOSECONDS_AN_HOUR)
    ends: IntArray = np.flatnonzero((closed + bar - 1) // period != (closed - 1) // period).astype(np.int64)
    return ends


@numba.njit(cache=True, nogil=True)
def gather_ranges(high: FloatArray, low: FloatArray, ranges: FloatArray) -> None:
    """Add squared log ranges of bars to (2, n): their sum, and how many there were."""
    for row in range(len(high)):
        for i in range(high.shape[1]):
            span = log_one(high[row, i]) - log_one(low[row, i])
            if not np.isnan(span):
                ranges[0, i] += span * span
                ranges[1, i] += 1.0


@numba.njit(cache=True, nogil=True)
def market_log_volatility(ranges: FloatArray, bars: int, bar_hours: float) -> float:
    """Log of the median coin's Parkinson volatility per hour over a period, and the gathered ranges set to zero.

    NaN where no coin moved; coins with fewer than half the period's bars are left out.
    """
    known = np.empty(ranges.shape[1])
    count = 0
    for i in range(ranges.shape[1]):
        if 2.0 * ranges[1, i] >= bars and ranges[0, i] > 0.0:
            known[count] = ranges[0, i] / ranges[1, i]
            count += 1
    ranges[:] = 0.0
    if count == 0:
        return np.nan
    return 0.5 * log_one(np.median(known[:count]) / (FOUR_LOG_2 * bar_hours))


@numba.njit(cache=True, nogil=True)
def gather_depth(bid: FloatArray, ask: FloatArray, resting: FloatArray) -> None:
    """Keep the last known sum of both sides of each coin's book."""
    for row in range(len(bid)):
        for i in range(bid.shape[1]):
            both = bid[row, i] + ask[row, i]
            if not np.isnan(both):
                resting[i] = both


@numba.njit(cache=True, nogil=True)
def market_log_depth(resting: FloatArray) -> float:
    """Log of the median coin's resting notional, and the gathered books forgotten; NaN where none was seen."""
    known = resting[resting > 0.0]
    resting[:] = np.nan
    return log_one(np.median(known)) if len(known) else np.nan


@numba.njit(cache=True, nogil=True)
def market_correlation(pairs: FloatArray, least: int) -> float:
    """Fisher's z of the mean correlation off the diagonal; NaN for fewer than two known coins."""
    correlation = correlation_of(pairs, known_coins(pairs, least))
    total, count = 0.0, 0
    for a in range(len(correlation)):
        for b in range(a):
            if not np.isnan(correlation[a, b]):
                total += correlation[a, b]
                count += 1
    return np.arctanh(min(max(total / count, -LARGEST), LARGEST)) if count else np.nan


@numba.njit(cache=True, nogil=True)
def about_level(values: FloatArray, decay: float, level: FloatArray) -> None:
    """Take from each value the weighted mean of those before it, in place; NaN for the first known one.

    `level` holds sums and weights, shape (2, n); a value that is not known changes nothing.
    """
    for i in range(len(values)):
        value = values[i]
        values[i] = value - level[0, i] / level[1, i] if level[1, i] > 0.0 else np.nan
        if not np.isnan(value):
            level[0, i] = value + decay * level[0, i]
            level[1, i] = 1.0 + decay * level[1, i]
