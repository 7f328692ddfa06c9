"""Depth as bars show it: price impact, spread, share of the turnover."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.operations import market_sum, rolling, rolling_mean

CORWIN_SCHULTZ = 3.0 - 2.0 * np.sqrt(2.0)


def amihud(returns: FloatArray, traded: FloatArray, window: int) -> FloatArray:
    """Mean of |return| over traded value: the move a unit of turnover makes.

    Source: Y. Amihud, Illiquidity and stock returns, J. Financial Markets 5 (2002).

    Parameters
    ----------
    returns
        Log returns, shape (T, n).
    traded
        Traded value of each bar, quote units, shape (T, n).
    window
        Bars.

    Returns
    -------
    FloatArray
        Shape (T, n), per quote unit; NaN where the window has a gap or a bar without trades.

    Examples
    --------
    >>> (amihud(np.array([[0.01], [-0.03]]), np.array([[1e6], [1e6]]), 2)[-1] * 1e6).round(6).tolist()
    [0.02]
    """
    return rolling_mean(np.abs(returns) / np.where(traded > 0.0, traded, np.nan), window)


def corwin_schultz(high: FloatArray, low: FloatArray, window: int) -> FloatArray:
    """Mean bid-ask spread over a trailing window, from the ranges of pairs of bars, as a fraction of the price.

    With beta the sum of two bars' squared log ranges and gamma the squared log range of both together, alpha =
    (sqrt(2 beta) - sqrt(beta)) / (3 - 2 sqrt 2) - sqrt(gamma / (3 - 2 sqrt 2)) and the spread is 2 (e^alpha - 1) /
    (1 + e^alpha), a negative one counting as zero. Source: S. Corwin and P. Schultz, A simple way to estimate bid-ask
    spreads from daily high and low prices, J. Finance 67 (2012), equations 14 and 18.

    Returns
    -------
    FloatArray
        Shape (T, n); the first is known after window + 1 bars, NaN where one of these is missing.

    Examples
    --------
    Bars whose range is the spread alone: buyers at 101, sellers at 99.

    >>> high, low = np.full((3, 1), 101.0), np.full((3, 1), 99.0)
    >>> corwin_schultz(high, low, 2)[-1].round(6).tolist()
    [0.02]
    """
    beta = rolling(np.log(high / low) ** 2, 2)
    gamma = np.log(rolling(high, 2, np.maximum) / rolling(low, 2, np.minimum)) ** 2
    alpha = (np.sqrt(2.0 * beta) - np.sqrt(beta)) / CORWIN_SCHULTZ - np.sqrt(gamma / CORWIN_SCHULTZ)
    return rolling_mean(np.maximum(2.0 * np.tanh(0.5 * alpha), 0.0), window)


def market_share(traded: FloatArray, window: int) -> FloatArray:
    """Share of each column in the value all known columns traded over a trailing window.

    Examples
    --------
    >>> market_share(np.array([[1.0, 3.0, np.nan]]), 1).tolist()
    [[0.25, 0.75, nan]]
    """
    own = rolling(traded, window)
    whole = market_sum(own)
    return own / np.where(whole > 0.0, whole, np.nan)


def activity_ratio(traded: FloatArray, window: int, reference: int) -> FloatArray:
    """Log of the mean traded value over a short window against that over a long one; NaN where nothing was traded.

    Examples
    --------
    >>> activity_ratio(np.array([[1.0], [1.0], [4.0]]), 1, 3)[-1].round(6).tolist()
    [0.693147]
    """
    short, long = rolling_mean(traded, window), rolling_mean(traded, reference)
    return np.log(np.where(short > 0.0, short, np.nan)) - np.log(np.where(long > 0.0, long, np.nan))
