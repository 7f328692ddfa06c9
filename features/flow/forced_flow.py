"""Forced flow as bars show it: how much was liquidated, on which side, against what is traded and held."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.operations import ewma, rolling
from .censored_feed import arrival_rate


def liquidated(long: FloatArray, short: FloatArray, window: int) -> FloatArray:
    """Notional reported as liquidated over a trailing window, both sides, quote units; NaN as in `rolling`.

    Examples
    --------
    >>> liquidated(np.array([[5.0], [1.0]]), np.array([[0.0], [2.0]]), 2)[:, 0].tolist()
    [nan, 8.0]
    """
    return rolling(long + short, window)


def liquidation_imbalance(long: FloatArray, short: FloatArray, window: int) -> FloatArray:
    """(longs - shorts) / both of what was liquidated over a trailing window, from -1 to 1; NaN where nothing was.

    Examples
    --------
    >>> liquidation_imbalance(np.array([[5.0], [1.0]]), np.array([[0.0], [2.0]]), 2)[-1].tolist()
    [0.5]
    """
    both = rolling(long + short, window)
    return rolling(long - short, window) / np.where(both > 0.0, both, np.nan)


def liquidated_share(long: FloatArray, short: FloatArray, base: FloatArray, window: int) -> FloatArray:
    """What was liquidated over a trailing window as a fraction of what was traded in it, or is held.

    Parameters
    ----------
    long, short
        Reported liquidations of longs and of shorts, quote units, shape (T, n).
    base
        What they are compared with: turnover over the same window or open interest, quote units, shape (T, n).
    window
        Bars.

    Returns
    -------
    FloatArray
        Shape (T, n); NaN where the base is not known or zero, and as in `rolling`.

    Examples
    --------
    >>> liquidated_share(np.array([[5.0]]), np.array([[1.0]]), np.array([[1200.0]]), 1).tolist()
    [[0.005]]
    """
    return rolling(long + short, window) / np.where(base > 0.0, base, np.nan)


def estimated_liquidations(events: FloatArray, bar_hours: float, window: int) -> FloatArray:
    """Liquidations over a trailing window behind a feed that shows at most one a second, estimated.

    The rate is taken as constant over each bar, so a burst that fills a part of a bar is underestimated: with the
    events at hand `liquidation_flow` does better. See `arrival_rate`.

    Parameters
    ----------
    events
        Reported in each bar, count, shape (T, n).
    bar_hours
        Length of a bar.
    window
        Bars.

    Returns
    -------
    FloatArray
        Count, shape (T, n); NaN where a bar of the window showed one in every second, which no count explains.

    Examples
    --------
    1,800 in the 3,600 seconds of an hour: half of the seconds, so ln 2 a second.

    >>> estimated_liquidations(np.array([[1800.0]]), 1.0, 1).round(1).tolist()
    [[2495.3]]
    """
    seconds = 3600.0 * bar_hours
    return rolling(arrival_rate(events, seconds) * seconds, window)


def share_at_cap(events: FloatArray, bar_hours: float, window: int) -> FloatArray:
    """Share of the seconds of a trailing window in which the feed showed an event, and so may have hidden others.

    Examples
    --------
    >>> share_at_cap(np.array([[1800.0]]), 1.0, 1).tolist()
    [[0.5]]
    """
    share = events / (3600.0 * bar_hours)
    return rolling(np.where(share > 1.0, 1.0, share), window) / window


def liquidation_surge(long: FloatArray, short: FloatArray, window: int, half_life: float) -> FloatArray:
    """How far liquidations over a short window exceed their usual amount, on a log scale that bears zeros.

    ln((x + u) / 2u) with x the window's mean a bar and u the exponential mean: 0 at the usual, -ln 2 where nothing was
    liquidated; NaN where nothing ever was.

    Examples
    --------
    >>> one = np.array([[2.0], [2.0], [2.0]])
    >>> liquidation_surge(one, 0.0 * one, 1, 1.0)[-1].tolist()
    [0.0]
    """
    usual = ewma(long + short, half_life)
    usual = np.where(usual > 0.0, usual, np.nan)
    return np.log((rolling(long + short, window) / window + usual) / (2.0 * usual))
