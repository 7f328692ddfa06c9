"""Trailing medians and the distribution of forecast errors, kept up bar by bar."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from .har_kernel import ERROR, FORECAST, REALISED

EDGE, BINS = 8.0, 320
"""Errors are counted in this many bins from -EDGE to EDGE standard deviations."""
PRIOR = 100.0
LEAST_KNOWN = 0.9


class SpikeState(NamedTuple):
    """What is remembered of n instruments, over m horizons of up to H bars, with medians over M bars.

    Parameters
    ----------
    spike_bar
        Bars so far, shape (1,).
    spike_recent, spike_sorted, spike_count
        Realised log volatilities of the last M bars as a ring and in order, (m, n, M), and how many there are, (m, n).
    spike_waiting
        Forecast and error of the last H bars, (H, m, n, 2).
    spike_errors
        Standardised errors counted by bin, (m, n, BINS), on top of a normal distribution worth PRIOR of them.
    spike_usual
        Median as of the last bar, (m, n).
    """

    spike_bar: IntArray
    spike_recent: FloatArray
    spike_sorted: FloatArray
    spike_count: IntArray
    spike_waiting: FloatArray
    spike_errors: FloatArray
    spike_usual: FloatArray


def spike_start(horizons: IntArray, symbols: int, median_bars: int) -> SpikeState:
    """State before the first bar."""
    m, n = len(horizons), symbols
    edges = np.array([0.5 * math.erfc(-edge / math.sqrt(2.0)) for edge in np.linspace(-EDGE, EDGE, BINS + 1)])
    return SpikeState(
        np.zeros(1, np.int64),
        np.full((m, n, median_bars), np.nan),
        np.full((m, n, median_bars), np.nan),
        np.zeros((m, n), np.int64),
        np.full((horizons.max(), m, n, 2), np.nan),
        np.tile(PRIOR * np.diff(edges), (m, n, 1)),
        np.full((m, n), np.nan),
    )


@numba.njit(cache=True, nogil=True)
def spike_bar(state: SpikeState, horizons: IntArray, known: FloatArray) -> None:
    """Take in what the regressions know as of one more bar, (m, n, 3)."""
    bar = state.spike_bar[0]
    for which in range(len(horizons)):
        for column in range(known.shape[1]):
            now = known[which, column]
            made = state.spike_waiting[(bar - horizons[which]) % len(state.spike_waiting), which, column]
            error = (now[REALISED] - made[0]) / made[1]
            if abs(error) < np.inf:
                place = int(math.floor((error + EDGE) / (2.0 * EDGE) * BINS))
                state.spike_errors[which, column, min(max(place, 0), BINS - 1)] += 1.0
            state.spike_waiting[bar % len(state.spike_waiting), which, column, 0] = now[FORECAST]
            state.spike_waiting[bar % len(state.spike_waiting), which, column, 1] = now[ERROR]
            _median(state, which, column, bar, now[REALISED])
    state.spike_bar[0] = bar + 1


@numba.njit(cache=True, nogil=True)
def _median(state: SpikeState, which: int, column: int, bar: int, value: float) -> None:
    recent, ordered = state.spike_recent[which, column], state.spike_sorted[which, column]
    size, count = len(recent), state.spike_count[which, column]
    leaving = recent[bar % size]
    if not np.isnan(leaving):
        _remove(ordered, count, leaving)
        count -= 1
    recent[bar % size] = value
    if not np.isnan(value):
        _insert(ordered, count, value)
        count += 1
    state.spike_count[which, column] = count
    enough = count > 0 and count >= LEAST_KNOWN * size
    middle = 0.5 * (ordered[(count - 1) // 2] + ordered[count // 2])
    state.spike_usual[which, column] = middle if enough else np.nan


@numba.njit(cache=True, nogil=True)
def _insert(ordered: FloatArray, count: int, value: float) -> None:
    place = np.searchsorted(ordered[:count], value)
    for k in range(count, place, -1):
        ordered[k] = ordered[k - 1]
    ordered[place] = value


@numba.njit(cache=True, nogil=True)
def _remove(ordered: FloatArray, count: int, value: float) -> None:
    place = np.searchsorted(ordered[:count], value)
    for k in range(place, count - 1):
        ordered[k] = ordered[k + 1]
    ordered[count - 1] = np.nan


@numba.njit(cache=True, nogil=True)
def share_above(counts: FloatArray, value: float) -> float:
    """Share of the counted errors above a value, spread evenly within their bins; NaN for NaN.

    Examples
    --------
    >>> counts = np.zeros(BINS)
    >>> counts[160], counts[200] = 3.0, 1.0
    >>> share_above(counts, -9.0), share_above(counts, 0.025), share_above(counts, 9.0)
    (1.0, 0.625, 0.0)
    """
    if np.isnan(value):
        return np.nan
    place = min(max((value + EDGE) / (2.0 * EDGE) * BINS, 0.0), float(BINS))
    whole = min(int(place), BINS - 1)
    above = counts[whole] * (whole + 1 - place)
    total = counts[whole]
    for k in range(whole + 1, BINS):
        above += counts[k]
        total += counts[k]
    for k in range(whole):
        total += counts[k]
    return float(above / total)
