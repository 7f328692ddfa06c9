"""Volatility estimators over bars: per-bar standard deviations, shape (T, n), each row known at that bar's close."""

from __future__ import annotations

import math

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.operations import ewma, lagged, rolling_mean

FOUR_LOG_2 = 4.0 * math.log(2.0)
CLOSE_WEIGHT = 2.0 * math.log(2.0) - 1.0


def log_returns(close: FloatArray) -> FloatArray:
    """Log return from the close of the bar before; NaN in the first row and where one of the two is NaN.

    Examples
    --------
    >>> log_returns(np.array([[100.0], [110.0], [np.nan], [100.0]]))[:, 0].round(5).tolist()
    [nan, 0.09531, nan, nan]
    """
    with np.errstate(invalid="ignore"):
        logs = np.log(close)
    return logs - lagged(logs, 1)


def ewma_volatility(returns: FloatArray, half_life: float) -> FloatArray:
    """Root of the exponentially weighted mean square return (mean zero), per bar.

    Parameters
    ----------
    returns
        Log returns, shape (T, n).
    half_life
        In bars.

    Returns
    -------
    FloatArray
        Shape (T, n). NaN until a half-life of bars has been seen since the last gap, see `ewma`.

    Examples
    --------
    >>> ewma_volatility(np.array([[0.03], [-0.03]]), 2.0)[:, 0].round(6).tolist()
    [nan, 0.03]
    """
    return np.sqrt(ewma(returns * returns, half_life))


def realised_volatility(returns: FloatArray, window: int) -> FloatArray:
    """Root mean square return over a trailing window of bars, per bar; NaN where the window has a gap.

    Examples
    --------
    >>> realised_volatility(np.array([[0.03], [0.04]]), 2)[-1].round(6).tolist()
    [0.035355]
    """
    return np.sqrt(rolling_mean(returns * returns, window))


def parkinson(high: FloatArray, low: FloatArray, window: int) -> FloatArray:
    """Range volatility, per bar: sqrt(mean(ln(high / low)^2) / (4 ln 2)) over a trailing window.

    Source: M. Parkinson, The extreme value method for estimating the variance of the rate of return, J. Business 53
    (1980).

    Examples
    --------
    A range of sqrt(4 ln 2) per cent is a volatility of one per cent.

    >>> high = np.array([[100.0 * np.exp(0.01 * np.sqrt(4 * np.log(2)))]])
    >>> parkinson(high, np.array([[100.0]]), 1).round(6).tolist()
    [[0.01]]
    """
    span = np.log(high / low)
    mean = rolling_mean(span * span, window)
    return np.sqrt(mean / FOUR_LOG_2)


def garman_klass(open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray, window: int) -> FloatArray:
    """Volatility from open, high, low and close, per bar.

    sqrt(mean(ln(high / low)^2 / 2 - (2 ln 2 - 1) ln(close / open)^2)) over a trailing window; NaN where that mean is
    negative, which bars with an open outside their range can make it. Source: M. Garman and M. Klass, On the estimation
    of security price volatilities from historical data, J. Business 53 (1980).

    Examples
    --------
    >>> one = np.array([[100.0]])
    >>> garman_klass(one, one * np.exp(0.02), one, one, 1).round(6).tolist()
    [[0.014142]]
    """
    span, move = np.log(high / low), np.log(close / open_)
    mean = rolling_mean(0.5 * span * span - CLOSE_WEIGHT * move * move, window)
    return np.sqrt(np.where(mean >= 0.0, mean, np.nan))


def semivariances(returns: FloatArray, window: int) -> tuple[FloatArray, FloatArray]:
    """Mean square of the falls and of the rises over a trailing window, per bar; together the realised variance.

    Examples
    --------
    >>> down, up = semivariances(np.array([[0.02], [-0.04]]), 2)
    >>> down[-1].round(6).tolist(), up[-1].round(6).tolist()
    ([0.0008], [0.0002])
    """
    squares = returns * returns
    known = np.where(np.isnan(returns), np.nan, 0.0)
    down = rolling_mean(np.where(returns < 0.0, squares, known), window)
    up = rolling_mean(np.where(returns > 0.0, squares, known), window)
    return down, up


def jump_share(returns: FloatArray, window: int) -> FloatArray:
    """Share of the realised variance that came in jumps: max(0, 1 - bipower variation / realised variance).

    Bipower variation is pi / 2 times the mean of |r_k| |r_(k-1)| over the window. Source: O. Barndorff-Nielsen and
    N. Shephard, Power and bipower variation with stochastic volatility and jumps, J. Financial Econometrics 2 (2004).

    Returns
    -------
    FloatArray
        Shape (T, n), between 0 and 1. NaN where the window or the return before it has a gap, or nothing moved.

    Examples
    --------
    >>> jump_share(np.array([[0.01], [0.01], [0.09], [0.01]]), 3)[-1].round(4).tolist()
    [0.6404]
    """
    sizes = np.abs(returns)
    bipower = 0.5 * np.pi * rolling_mean(sizes * lagged(sizes, 1), window)
    realised = rolling_mean(returns * returns, window)
    share = 1.0 - bipower / np.where(realised > 0.0, realised, np.nan)
    return np.maximum(share, 0.0)


def volatility_of_volatility(log_volatility: FloatArray, window: int) -> FloatArray:
    """Root mean square change, from bar to bar, of a log volatility over a trailing window.

    Examples
    --------
    >>> volatility_of_volatility(np.array([[0.0], [0.3], [-0.1]]), 2)[-1].round(6).tolist()
    [0.353553]
    """
    change = log_volatility - lagged(log_volatility, 1)
    return np.sqrt(rolling_mean(change * change, window))


def log_per_hour(volatility: FloatArray, bar_hours: float) -> FloatArray:
    """Log of a per-bar volatility brought to one hour by the square root of time; NaN where it is zero.

    Examples
    --------
    >>> np.exp(log_per_hour(np.array([[0.02, 0.0]]), 4.0)).round(6).tolist()
    [[0.01, nan]]
    """
    return np.log(np.where(volatility > 0.0, volatility, np.nan)) - 0.5 * math.log(bar_hours)
