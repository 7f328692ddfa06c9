"""Contingencies of Deribit's first portfolio margin as functions of positions, each in the coin of the risk unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray


def short_option_contingency(calls: ArrayLike, puts: ArrayLike, rate: float = 0.01) -> float:
    """Charge on net short options: `rate` coins for each contract net short at a strike, calls and puts netted there.

    Parameters
    ----------
    calls, puts
        Signed contracts of each strike; shape (n_strikes,), or one number each.
    rate
        Coins a contract.

    Notes
    -----
    Source: https://www.deribit.com/pages/docs/portfoliomargin, contingency example.

    Examples
    --------
    10 calls long and 20 puts short of one strike are 10 short.

    >>> short_option_contingency([10, 0, 5], [-20, -3, 4])
    0.13
    """
    net = np.asarray(calls, np.float64) + np.asarray(puts, np.float64)
    return float(rate * np.sum(np.maximum(-net, 0.0)))


def offset_contingency(long: ArrayLike, short: ArrayLike, rate: float = 0.01) -> FloatArray:
    """Charge on long and short futures that offset each other: `rate` of the lesser of the two sizes.

    Source: https://www.deribit.com/pages/docs/portfoliomargin, contingency example.

    Examples
    --------
    >>> float(offset_contingency(100.0, 100.0)), float(offset_contingency(100.0, -40.0))
    (1.0, 0.4)
    """
    return np.asarray(rate * np.minimum(np.abs(np.asarray(long, np.float64)), np.abs(np.asarray(short, np.float64))))


def volatility_change(
    days: ArrayLike,
    base: float = 0.38,
    power: float = 0.3,
    long_power: float | None = None,
    floor_days: float = 0.0,
) -> FloatArray:
    """Largest change of implied volatility at an expiry, fraction: base * (30 / days) ** power.

    Parameters
    ----------
    days
        Days to expiry; positive.
    base
        Change at 30 days.
    power, long_power
        Exponents up to 30 days and beyond; None: the same.
    floor_days
        Days below which the change grows no more.

    Notes
    -----
    Source: https://www.deribit.com/pages/docs/portfoliomargin, change of implied volatility. `VolatilityShock`
    gives the factor 1 + change that the scenario grid uses.

    Examples
    --------
    >>> volatility_change(30.0).tolist(), volatility_change(7.5, power=0.5).tolist()
    (0.38, 0.76)
    """
    left = np.maximum(np.asarray(days, np.float64), floor_days)
    exponent = np.where(left <= 30.0, power, power if long_power is None else long_power)
    return np.asarray(base * (30.0 / left) ** exponent)
