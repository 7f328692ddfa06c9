"""The compiled core of the GARCH Monte Carlo: paths from today's variances, and how often a pool's headroom goes."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import FloatArray, IntArray

Float32Array = NDArray[np.float32]

BLOCK = 128
"""Paths looked at together."""
REACH = np.float32(3.0)
"""Deviations between two closes that a path may stray beyond both before the chance of it, below 2e-8, is cut."""


@numba.njit(cache=True, nogil=True, inline="always")
def _gain(x: np.float32) -> np.float32:
    """Relative move of a log move: exp(x) - 1 to third order, rising in x (error: 0.2% of a 30% move, 6% at x = -1)."""
    return x * (np.float32(1.0) + x * (np.float32(0.5) + x * np.float32(1.0 / 6.0)))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def simulate_series(
    variance: np.float32,
    parameters: Float32Array,
    shocks: Float32Array,
    spread: Float32Array,
    watched: IntArray,
    gain: Float32Array,
    width: Float32Array,
    extremes: Float32Array,
) -> None:
    """Write the paths of one series from its variance at the open.

    Parameters
    ----------
    variance
        Of the first bar.
    parameters
        omega, alpha, beta.
    shocks, spread
        Standardised innovations, and the standard deviation of the motion within each bar over the conditional one,
        shape (bars, paths).
    watched
        Bars after whose close the path is looked at, counted from 1, rising, shape (m,).
    gain
        Gets the relative price move since the open at each watched close, shape (m, paths).
    width
        Gets the standard deviation of the relative move since the watched close before, shape (m, paths).
    extremes
        Gets the lowest and highest relative move within reach of each path, shape (2, paths).
    """
    paths, bar = shocks.shape[1], 0
    omega, alpha, beta = parameters[0], parameters[1], parameters[2]
    now, within = np.full(paths, variance), np.zeros(paths, dtype=np.float32)
    before, after = np.zeros(paths, dtype=np.float32), np.zeros(paths, dtype=np.float32)
    low, high = np.zeros(paths, dtype=np.float32), np.zeros(paths, dtype=np.float32)
    for k in range(len(watched)):
        within[:] = 0.0
        while bar < watched[k]:
            for p in range(paths):
                shock = shocks[bar, p]
                after[p] += np.sqrt(now[p]) * shock
                within[p] += now[p] * spread[bar, p] * spread[bar, p]
                now[p] = omega + (alpha * shock * shock + beta) * now[p]
            bar += 1
        for p in range(paths):
            deviation = np.sqrt(within[p])
            gain[k, p] = _gain(after[p])
            width[k, p] = deviation * (np.float32(1.0) + np.float32(0.5) * (_gain(before[p]) + gain[k, p]))
            low[p] = min(low[p], min(before[p], after[p]) - REACH * deviation)
            high[p] = max(high[p], max(before[p], after[p]) + REACH * deviation)
            before[p] = after[p]
    for p in range(paths):
        extremes[0, p], extremes[1, p] = _gain(low[p]), _gain(high[p])


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _decay(x: np.float32) -> np.float32:
    """exp(-x), falling in x, within 1e-6; 1 where x is negative or NaN. Made of products, which run on many at once."""
    one = np.float32(1.0)
    y = x * np.float32(1.0 / 32.0) if x > np.float32(0.0) else np.float32(0.0)
    root = one / (one + y * (one + y * (np.float32(0.5) + y * np.float32(1.0 / 6.0))))
    root = root * root
    root = root * root
    root = root * root
    root = root * root
    return root * root


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_legs(
    series: IntArray,
    weight: Float32Array,
    correlation: Float32Array,
    gain: Float32Array,
    width: Float32Array,
    k: int,
    first: int,
    value: Float32Array,
    variance: Float32Array,
) -> None:
    """Add the legs' gains at watched close k to a pool's value on the paths from `first`; write its variance before."""
    paths = len(value)
    variance[:] = 0.0
    for i in range(len(series)):
        own, earned, mine = weight[i], gain[series[i], k], width[series[i], k]
        for p in range(paths):
            value[p] += own * earned[first + p]
            variance[p] += own * own * mine[first + p] * mine[first + p]
        for j in range(i):
            both = np.float32(2.0) * correlation[series[i], series[j]] * own * weight[j]
            other = width[series[j], k]
            for p in range(paths):
                variance[p] += both * mine[first + p] * other[first + p]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _touches(
    series: IntArray,
    weight: Float32Array,
    headroom: np.float32,
    correlation: Float32Array,
    gain: Float32Array,
    width: Float32Array,
    extremes: Float32Array,
    watched: IntArray,
    horizons: IntArray,
    first: int,
    hits: FloatArray,
) -> None:
    """Add up, over a block of paths from `first`, each one's probability of using up the headroom by each horizon."""
    paths = min(BLOCK, extremes.shape[2] - first)
    after, variance = np.full(paths, headroom), np.empty(paths, dtype=np.float32)
    for i in range(len(series)):
        farthest = extremes[series[i], 0 if weight[i] > 0.0 else 1]
        for p in range(paths):
            after[p] += weight[i] * farthest[first + p]
    if after.min() > 0.0:
        return
    before, survival = np.full(paths, headroom), np.ones(paths, dtype=np.float32)
    which, one, two = 0, np.float32(1.0), np.float32(2.0)
    for k in range(len(watched)):
        after[:] = headroom
        _add_legs(series, weight, correlation, gain, width, k, first, after, variance)
        for p in range(paths):
            # legs that hedge each other may leave a variance just below zero by rounding
            survival[p] *= one - _decay(two * before[p] * after[p] / max(variance[p], np.float32(0.0)))
            before[p] = after[p]
        if watched[k] == horizons[which]:
            for p in range(paths):
                hits[which] += 1.0 - survival[p]
            which += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def touch_pass(
    first: int,
    last: int,
    order: IntArray,
    bar: IntArray,
    pointer: IntArray,
    series: IntArray,
    weight: FloatArray,
    headroom: FloatArray,
    variance: FloatArray,
    parameters: Float32Array,
    correlation: Float32Array,
    shocks: Float32Array,
    spread: Float32Array,
    watched: IntArray,
    horizons: IntArray,
    probability: FloatArray,
) -> None:
    """Write the probabilities of rows order[first : last], which stand in rising order of bar.

    The paths of a series are simulated once a bar, from `variance` (n_bars + 1, n_series) there, and shared by the rows
    of that bar. Between two watched closes a pool's value is taken for a Brownian bridge, whose chance of touching zero
    headroom is exp(-2 * before * after / variance in between). `horizons` are among `watched`. NaN where a variance or
    the headroom is.
    """
    n_series, paths, points = len(shocks), shocks.shape[2], len(watched)
    gain = np.empty((n_series, points, paths), dtype=np.float32)
    width = np.empty((n_series, points, paths), dtype=np.float32)
    extremes = np.empty((n_series, 2, paths), dtype=np.float32)
    simulated = np.full(n_series, -1, dtype=np.int64)
    hits = np.empty(len(horizons))
    for place in range(first, last):
        row = order[place]
        now, known = bar[row], not np.isnan(headroom[row])
        begin, end = pointer[row], pointer[row + 1]
        for entry in range(begin, end):
            known = known and not np.isnan(variance[now, series[entry]])
        if not known:
            probability[row] = np.nan
            continue
        for entry in range(begin, end):
            s = series[entry]
            if simulated[s] != now:
                own = np.float32(variance[now, s])
                simulate_series(own, parameters[s], shocks[s], spread[s], watched, gain[s], width[s], extremes[s])
                simulated[s] = now
        gross = np.abs(weight[begin:end]).sum()
        gross = gross if gross > 0.0 else 1.0
        share, room = (weight[begin:end] / gross).astype(np.float32), np.float32(headroom[row] / gross)
        hits[:] = 0.0
        for start in range(0, paths, BLOCK):
            _touches(series[begin:end], share, room, correlation, gain, width, extremes, watched, horizons, start, hits)
        probability[row] = hits / paths
