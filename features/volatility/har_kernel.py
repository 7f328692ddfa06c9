"""Heterogeneous autoregressions of realised variance, re-estimated at every bar: the compiled recursion."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ..engine.logarithm import log_one
from .estimators import FOUR_LOG_2
from .trailing_kernel import roll_in

PLAIN, QUARTICITY, SEMIVARIANCE, JUMPS = 0, 1, 2, 3
RANGE, RETURNS = 0, 1
RANGE_FOURTH = 9.0 * 1.2020569031595942  # 9 zeta(3), mean fourth power of a Wiener process' range: Parkinson (1980)
RANGE_QUARTICITY = FOUR_LOG_2**2 / RANGE_FOURTH
LEAST_KNOWN = 0.9
SINGULAR = 1e-10
FORECAST, ERROR, REALISED = 0, 1, 2


class HarSetup(NamedTuple):
    """What does not change.

    Parameters
    ----------
    model
        PLAIN, QUARTICITY, SEMIVARIANCE or JUMPS.
    measure
        RANGE: a bar's variance is its squared log range over 4 ln 2. RETURNS: its squared log return.
    log
        Whether logs of volatility are regressed, or variances.
    windows
        Bars of the regressors' windows, rising, followed by those of the horizons.
    lags
        How many of `windows` are regressors.
    day
        Place of the window whose quarticity, semivariances or jumps are told apart.
    common
        Regressors that all horizons share; with a season each horizon has one more.
    decay
        Weight of an observation relative to the next one.
    least
        Observations before the first forecast.
    """

    model: int
    measure: int
    log: bool
    windows: IntArray
    lags: int
    day: int
    common: int
    seasonal: bool
    decay: float
    least: int


class HarState(NamedTuple):
    """What is remembered of n instruments, over m horizons of up to H bars, with k regressors.

    Parameters
    ----------
    har_bar
        Bars so far, shape (1,).
    har_last
        Log close and size of the return of the last bar, (n, 2).
    har_held, har_head
        Trailing sums of variance, of what the model adds and of the bars known, see `roll_in`.
    har_waiting
        Regressors of the last H bars, (H, m, n, k).
    har_weight
        Sum of weights, number, lowest and highest target of the observations, (m, n, 4).
    har_mean, har_moment
        Weighted means (m, n, k + 1) and centred second moments (m, n, k + 1, k + 1) of regressors and target.
    har_known
        As of the last bar, (m, n, 3): forecast, standard deviation of its error, and what was realised over the horizon
        that ended. Logs of volatility per bar; in levels the error is that of the variance per bar.
    """

    har_bar: IntArray
    har_last: FloatArray
    har_held: FloatArray
    har_head: FloatArray
    har_waiting: FloatArray
    har_weight: FloatArray
    har_mean: FloatArray
    har_moment: FloatArray
    har_known: FloatArray


def har_start(setup: HarSetup, symbols: int) -> HarState:
    """State before the first bar."""
    ahead = setup.windows[setup.lags :]
    m, n, k = len(ahead), symbols, setup.common + setup.seasonal
    weight = np.zeros((m, n, 4))
    weight[:, :, 2], weight[:, :, 3] = np.inf, -np.inf
    return HarState(
        np.zeros(1, np.int64),
        np.full((n, 2), np.nan),
        np.zeros((setup.windows.sum(), 3 * n)),
        np.zeros((len(setup.windows), 3 * n)),
        np.full((ahead.max(), m, n, k), np.nan),
        weight,
        np.zeros((m, n, k + 1)),
        np.zeros((m, n, k + 1, k + 1)),
        np.full((m, n, 3), np.nan),
    )


@numba.njit(cache=True, nogil=True)
def har_bar(
    setup: HarSetup, state: HarState, high: FloatArray, low: FloatArray, close: FloatArray, season: FloatArray
) -> None:
    """Take in one bar: learn from the horizons that ended with it, then forecast those that begin.

    Parameters
    ----------
    setup, state
        The latter is changed.
    high, low, close
        Prices, shape (n,); only those of the measure are read.
    season
        What the coming bars of each horizon usually are like, (m, n); not read unless the setup is seasonal.
    """
    bar, n = state.har_bar[0], len(close)
    pieces, sums = np.empty(3 * n), np.empty((len(setup.windows), 3 * n))
    for column in range(n):
        _measure(setup, state.har_last[column], high[column], low[column], close[column], pieces[3 * column :])
    roll_in(state.har_held, state.har_head, setup.windows, bar, pieces, sums)
    regressors = np.empty(setup.common + setup.seasonal)
    for which in range(len(setup.windows) - setup.lags):
        horizon = setup.windows[setup.lags + which]
        for column in range(n):
            own = sums[:, 3 * column : 3 * column + 3]
            realised = _realised(own[setup.lags + which], horizon)
            slot = state.har_waiting[(bar - horizon) % len(state.har_waiting), which, column]
            _learn(setup, state, which, column, slot, realised)
            _regressors(setup, own, regressors)
            if setup.seasonal:
                regressors[setup.common] = season[which, column]
            state.har_known[which, column, REALISED] = 0.5 * log_one(realised) if realised > 0.0 else np.nan
            _forecast(setup, state, which, column, regressors)
            # The slot of bar - H is read above before this bar takes it when the horizon is the longest.
            state.har_waiting[bar % len(state.har_waiting), which, column] = regressors
    state.har_bar[0] = bar + 1


@numba.njit(cache=True, nogil=True)
def _measure(setup: HarSetup, last: FloatArray, high: float, low: float, close: float, pieces: FloatArray) -> None:
    """Variance of a bar, what the model adds to it, and whether it is known; zeros where it is not."""
    if setup.measure == RANGE:
        span = log_one(high / low)
        variance = span * span / FOUR_LOG_2
        extra = RANGE_QUARTICITY * variance * variance
    else:
        here = log_one(close)
        move = here - last[0]
        size = abs(move)
        variance = move * move
        extra = variance * variance / 3.0
        if setup.model == SEMIVARIANCE:
            extra = variance if move < 0.0 else 0.0
        elif setup.model == JUMPS:
            extra = 0.5 * math.pi * size * last[1]
        last[0], last[1] = here, size
    known = abs(variance) < np.inf and (setup.model == PLAIN or abs(extra) < np.inf)
    pieces[0] = variance if known else 0.0
    pieces[1] = extra if known else 0.0
    pieces[2] = 1.0 if known else 0.0


@numba.njit(cache=True, nogil=True)
def _realised(sums: FloatArray, horizon: int) -> float:
    """Mean variance over a horizon, all of whose bars are known."""
    return sums[0] / horizon if sums[2] == horizon else np.nan


@numba.njit(cache=True, nogil=True)
def _level(setup: HarSetup, variance: float) -> float:
    if not setup.log:
        return variance
    return 0.5 * log_one(variance) if variance > 0.0 else np.nan


@numba.njit(cache=True, nogil=True)
def _regressors(setup: HarSetup, sums: FloatArray, out: FloatArray) -> None:
    """Regressors all horizons share, NaN where a window has too few known bars."""
    place = 0
    for lag in range(setup.lags):
        known = sums[lag, 2] if sums[lag, 2] >= LEAST_KNOWN * setup.windows[lag] else np.nan
        variance, extra = sums[lag, 0] / known, sums[lag, 1] / known
        if setup.model == SEMIVARIANCE and lag == setup.day:
            out[place], out[place + 1] = _level(setup, extra), _level(setup, max(variance - extra, 0.0))
            place += 2
        elif setup.model == JUMPS and lag >= setup.day:
            continuous = min(extra, variance)
            out[place] = _level(setup, continuous)
            out[place + 1] = _level(setup, variance) - out[place]
            place += 2
        else:
            out[place] = _level(setup, variance)
            place += 1
        if setup.model == QUARTICITY and lag == setup.day:
            out[place] = math.sqrt(extra)
            if setup.log:
                out[place] /= variance
            place += 1
    if setup.model == QUARTICITY:
        long = out[setup.lags] if setup.log else 0.0
        out[setup.day + 1] *= out[setup.day] - long


@numba.njit(cache=True, nogil=True)
def _learn(setup: HarSetup, state: HarState, which: int, column: int, regressors: FloatArray, realised: float) -> None:
    """Add one observation to the weighted moments (West's update, with decay); none where something is unknown."""
    target = _level(setup, realised)
    if not abs(regressors.sum() + target) < np.inf:
        return
    weight, mean = state.har_weight[which, column], state.har_mean[which, column]
    moment = state.har_moment[which, column]
    old = setup.decay * weight[0]
    weight[0] = old + 1.0
    weight[1] += 1.0
    weight[2], weight[3] = min(weight[2], target), max(weight[3], target)
    size = len(mean)
    away = np.empty(size)
    for i in range(size):
        away[i] = (regressors[i] if i < size - 1 else target) - mean[i]
        mean[i] += away[i] / weight[0]
    for i in range(size):
        for j in range(i + 1):
            moment[i, j] = setup.decay * moment[i, j] + old / weight[0] * away[i] * away[j]
            moment[j, i] = moment[i, j]


@numba.njit(cache=True, nogil=True)
def _forecast(setup: HarSetup, state: HarState, which: int, column: int, regressors: FloatArray) -> None:
    """Forecast and standard deviation of its error by least squares on all that was learned."""
    weight, mean, out = state.har_weight[which, column], state.har_mean[which, column], state.har_known[which, column]
    out[FORECAST], out[ERROR] = np.nan, np.nan
    k = len(regressors)
    free = weight[0] - k - 1.0
    if weight[1] < setup.least or not free > 0.0 or np.isnan(regressors.sum()):
        return
    moment = state.har_moment[which, column]
    slopes = solved(moment[:k, :k], moment[:k, k])
    value, left = mean[k], moment[k, k]
    for i in range(k):
        value += slopes[i] * (regressors[i] - mean[i])
        left -= slopes[i] * moment[i, k]
    if not setup.log:
        value = value if weight[2] <= value <= weight[3] else mean[k]
        value = 0.5 * log_one(value) if value > 0.0 else np.nan
    out[FORECAST], out[ERROR] = value, math.sqrt(max(left, 0.0) / free)


@numba.njit(cache=True, nogil=True)
def solved(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Solution of a symmetric positive definite system, by Cholesky's method on its correlations.

    All NaN where the matrix is singular: a regressor that never moved, or that the others explain.

    Examples
    --------
    >>> solved(np.array([[4.0, 2.0], [2.0, 3.0]]), np.array([8.0, 8.0])).round(6).tolist()
    [1.0, 2.0]
    """
    k = len(right)
    scale, root, out = np.empty(k), np.zeros((k, k)), np.full(k, np.nan)
    for i in range(k):
        scale[i] = 1.0 / math.sqrt(matrix[i, i]) if matrix[i, i] > 0.0 else np.nan
    for i in range(k):
        for j in range(i + 1):
            left = matrix[i, j] * scale[i] * scale[j]
            for other in range(j):
                left -= root[i, other] * root[j, other]
            if i != j:
                root[i, j] = left / root[j, j]
            elif left > SINGULAR:
                root[i, i] = math.sqrt(left)
            else:
                return out
    forward = np.empty(k)
    for i in range(k):
        left = right[i] * scale[i]
        for other in range(i):
            left -= root[i, other] * forward[other]
        forward[i] = left / root[i, i]
    for i in range(k - 1, -1, -1):
        left = forward[i]
        for other in range(i + 1, k):
            left -= root[other, i] * out[other]
        out[i] = left / root[i, i]
    return out * scale
