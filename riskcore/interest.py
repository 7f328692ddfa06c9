"""Interest on borrowed assets as venues charge it: by begun periods."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .arrays import FloatArray


def hourly_interest(borrowed: ArrayLike, daily_rate: ArrayLike, hours: ArrayLike) -> FloatArray:
    """Interest of a loan charged for every hour begun, at a twenty-fourth of the daily rate.

    borrowed * daily_rate / 24 * ceil(hours), units of what is borrowed. Source: Binance cross margin loans.

    Examples
    --------
    >>> float(hourly_interest(60.0, 0.0005, 10 / 60))
    0.00125
    """
    begun = np.ceil(np.asarray(hours, np.float64))
    return np.asarray(np.multiply(borrowed, daily_rate) / 24.0 * begun)


def rollover_interest(borrowed: ArrayLike, rate: ArrayLike, hours: ArrayLike, period: float = 4.0) -> FloatArray:
    """Interest of a loan charged once at opening and again for every period begun.

    borrowed * rate * (1 + ceil(hours / period)), units of what is borrowed; `rate` is that of one period.
    Source: Kraken margin opening and rollover fees, period 4 hours.

    Examples
    --------
    >>> float(rollover_interest(60.0, 0.00025, 25.0))
    0.12
    """
    periods = np.ceil(np.asarray(hours, np.float64) / period)
    return np.asarray(np.multiply(borrowed, rate) * (1.0 + periods))
