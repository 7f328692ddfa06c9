"""Calm, normal or stressed: where the market's volatility stands among that of the past year."""

from __future__ import annotations

import numpy as np

from ..features.market_data import MarketData
from ..features.volatility.estimators import ewma_volatility, log_returns
from ..riskcore.arrays import FloatArray, IntArray

REGIMES = ("calm", "normal", "stressed")
STRESSED_FROM, CALM_UP_TO = 0.8, 0.5
HALF_LIFE_HOURS, YEAR_DAYS, LEAST_DAYS = 24.0, 365, 30


def volatility_rank(data: MarketData) -> FloatArray:
    """Rank of the market's volatility among that of the past year, as known at each bar's open, shape (n_bars + 1,).

    The market's volatility is the median over perpetuals of the exponentially weighted one with a half-life of 24
    hours. Its rank is the share of the past 365 days' bars that were not above it, 1 at the year's highest. NaN until
    30 days are known.
    """
    from pandas import Series

    half_life = max(1.0, HALF_LIFE_HOURS / data.bar_hours)
    volatility = ewma_volatility(log_returns(data.mark("close")), half_life)
    known = np.isfinite(volatility).any(axis=1)
    level = np.full(len(volatility), np.nan)
    level[known] = np.nanmedian(volatility[known], axis=1)
    year, least = (round(days * 24 / data.bar_hours) for days in (YEAR_DAYS, LEAST_DAYS))
    ranks = Series(level).rolling(year, min_periods=min(least, year)).rank(method="max", pct=True)
    return np.append(np.nan, ranks.to_numpy(dtype=np.float64))


def regime_of(rank: FloatArray) -> IntArray:
    """Place in REGIMES of each rank: calm up to a half, stressed above four fifths; -1 where the rank is NaN.

    Examples
    --------
    >>> regime_of(np.array([0.1, 0.5, 0.7, 0.81, np.nan])).tolist()
    [0, 0, 1, 2, -1]
    """
    place = np.searchsorted([CALM_UP_TO, STRESSED_FROM], rank, side="left")
    return np.where(np.isnan(rank), -1, place)
