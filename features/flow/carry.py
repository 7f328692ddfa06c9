"""What it costs to hold a position and how crowded it is: funding, basis, open interest."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.operations import lagged, last_known, rolling, rolling_mean


def funding_charged(rate: FloatArray, close: FloatArray, window: int) -> FloatArray:
    """Funding charged over a trailing window of bars, as a fraction of notional.

    Parameters
    ----------
    rate
        Rate charged at each bar's open, NaN where none was, shape (T, n).
    close
        Price of each bar: tells a bar without a charge from one that is missing.
    window
        Bars.

    Returns
    -------
    FloatArray
        Shape (T, n); NaN where a bar of the window is missing, or it saw no charge.

    Examples
    --------
    >>> rate = np.array([[0.0001], [np.nan], [0.0003]])
    >>> funding_charged(rate, np.ones((3, 1)), 3)[-1].round(6).tolist()
    [0.0004]
    """
    charged = ~np.isnan(rate)
    total = rolling(np.where(np.isnan(close), np.nan, np.where(charged, rate, 0.0)), window)
    return np.where(rolling(np.where(charged, 1.0, 0.0), window) > 0.0, total, np.nan)


def basis(price: FloatArray, reference: FloatArray) -> FloatArray:
    """Log of a price over its reference; positive where it trades above.

    Examples
    --------
    >>> basis(np.array([[101.0]]), np.array([[100.0]])).round(6).tolist()
    [[0.00995]]
    """
    return np.log(price / reference)


def mean_basis(price: FloatArray, reference: FloatArray, window: int) -> FloatArray:
    """Mean basis over a trailing window of bars; NaN where one is missing."""
    return rolling_mean(basis(price, reference), window)


def open_interest_change(open_interest: FloatArray, window: int, max_age: int) -> FloatArray:
    """Log change of the last known open interest over a window of bars.

    Parameters
    ----------
    open_interest
        As reported in each bar, NaN where it was not, shape (T, n).
    window
        Bars.
    max_age
        How many bars a report counts as known.

    Returns
    -------
    FloatArray
        Shape (T, n); NaN where one of the two is unknown or zero.

    Examples
    --------
    >>> open_interest_change(np.array([[100.0], [np.nan], [110.0]]), 1, 2)[-1].round(6).tolist()
    [0.09531]
    """
    known = last_known(open_interest, max_age)
    logs = np.log(np.where(known > 0.0, known, np.nan))
    return logs - lagged(logs, window)
