"""Funding brought to one scale, whatever the hours between charges: annualised, and how far coins stand apart."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.operations import market_sum
from .carry import funding_charged

YEAR_HOURS = 8760.0


def annualised_funding(rate: FloatArray, close: FloatArray, window: int, bar_hours: float) -> FloatArray:
    """Funding charged over a trailing window, as a fraction of notional a year of 365 days.

    What was charged is divided by the time it was charged for, so venues that charge every hour, four or eight hours
    compare without anything being known of their interval, if the window is a multiple of it.

    Parameters
    ----------
    rate
        Charged within each bar, fraction of notional, NaN where none was, shape (T, n).
    close
        Price of each bar, NaN where the bar is missing.
    window
        Bars.
    bar_hours
        Length of a bar.

    Returns
    -------
    FloatArray
        Shape (T, n); NaN as in `funding_charged`.

    Examples
    --------
    0.01% every eight hours is 10.95% a year, and so is an eighth of it every hour.

    >>> eight = np.full((8, 1), np.nan)
    >>> eight[3] = 0.0001
    >>> hourly = np.full((8, 1), 0.0001 / 8)
    >>> [annualised_funding(rate, np.ones((8, 1)), 8, 1.0)[-1].round(6).tolist() for rate in (eight, hourly)]
    [[0.1095], [0.1095]]
    """
    return funding_charged(rate, close, window) * (YEAR_HOURS / (window * bar_hours))


def dispersion(values: FloatArray) -> FloatArray:
    """Standard deviation of each row over the symbols that are known, in every column; NaN where fewer than two are.

    Examples
    --------
    >>> dispersion(np.array([[1.0, 3.0, np.nan], [1.0, np.nan, np.nan]])).tolist()
    [[1.0, 1.0, 1.0], [nan, nan, nan]]
    """
    number = market_sum(np.where(np.isnan(values), 0.0, 1.0))
    mean = market_sum(values) / np.where(number > 1.0, number, np.nan)
    return np.sqrt(market_sum((values - mean) * (values - mean)) / number)
