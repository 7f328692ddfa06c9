"""Volatility from open, high, low and close that allows for drift and for the gap between bars; (T, n), per bar."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.operations import lagged, rolling, rolling_mean


def rogers_satchell(open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray, window: int) -> FloatArray:
    """Range volatility that a drift does not bias, per bar; the move from one bar's close to the next open is left out.

    sqrt(mean(u (u - c) + d (d - c))) over a trailing window, where u, d and c are the logs of high, low and close over
    the open. Source: L. Rogers and S. Satchell, Estimating variance from high, low and closing prices, Annals of
    Applied Probability 1 (1991).

    Parameters
    ----------
    open_, high, low, close
        Prices, shape (T, n).
    window
        In bars, at least 1.

    Returns
    -------
    FloatArray
        Shape (T, n). NaN where the window has a gap, or where the mean is negative, which bars with an open or a close
        outside their range can make it.

    Examples
    --------
    Up by 0.02 and back: u (u - c) is 0.02 squared. Straight up, all of it is drift.

    >>> one, high = np.array([[100.0]]), np.array([[100.0 * np.exp(0.02)]])
    >>> rogers_satchell(one, high, one, one, 1).round(6).tolist(), rogers_satchell(one, high, one, high, 1).tolist()
    ([[0.02]], [[0.0]])
    """
    mean = rolling_mean(_rogers_satchell_terms(open_, high, low, close), window)
    return np.sqrt(np.where(mean >= 0.0, mean, np.nan))


def yang_zhang(open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray, window: int) -> FloatArray:
    """Range volatility that neither a drift nor gaps between bars bias, per bar, gaps included.

    sqrt(V_o + k V_c + (1 - k) V_rs) over a trailing window of n bars: V_o and V_c are the sample variances of
    ln(open / close before) and ln(close / open), V_rs the mean of Rogers and Satchell, and
    k = 0.34 / (1.34 + (n + 1) / (n - 1)). Source: D. Yang and Q. Zhang, Drift-independent volatility estimation based
    on high, low, open, and close prices, J. Business 73 (2000).

    Parameters
    ----------
    open_, high, low, close
        Prices, shape (T, n).
    window
        In bars, at least 2.

    Returns
    -------
    FloatArray
        Shape (T, n). NaN where the window, or the close before it, has a gap, or where the sum is negative as in
        `rogers_satchell`.

    Examples
    --------
    Bars that only jump between each other, by 0.02 and -0.02 in turn: a sample variance of 2 (0.02)^2.

    >>> price = np.array([[100.0], [100.0 * np.exp(0.02)], [100.0]])
    >>> yang_zhang(price, price, price, price, 2)[:, 0].round(6).tolist()
    [nan, nan, 0.028284]
    """
    between, within = np.log(open_ / lagged(close, 1)), np.log(close / open_)
    share = 0.34 / (1.34 + (window + 1) / (window - 1))
    steady = rolling_mean(_rogers_satchell_terms(open_, high, low, close), window)
    variance = _sample_variance(between, window) + share * _sample_variance(within, window) + (1.0 - share) * steady
    return np.sqrt(np.where(variance >= 0.0, variance, np.nan))


def _rogers_satchell_terms(open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    up, down, move = np.log(high / open_), np.log(low / open_), np.log(close / open_)
    terms: FloatArray = up * (up - move) + down * (down - move)
    return terms


def _sample_variance(values: FloatArray, window: int) -> FloatArray:
    total, squares = rolling(values, window), rolling(values * values, window)
    spread: FloatArray = np.maximum(squares - total * total / window, 0.0)
    return spread / (window - 1)
