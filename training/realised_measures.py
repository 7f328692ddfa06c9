"""What HARQ is computed from: realised variances, their quarticity and ranges, as known at each bar's open."""

from __future__ import annotations

import numpy as np

from ..features.engine.operations import rolling_mean
from ..features.market_data import MarketData
from ..features.volatility.estimators import log_returns, parkinson, semivariances
from ..models.harq_scale import RealisedMeasures
from ..riskcore.arrays import FloatArray, IntArray

SMALLEST = 1e-7
"""Volatilities are kept above this before logs are taken: bars in which nothing traded have none."""
HARQ_HOURS = (6, 24, 168, 720)
"""Windows of squared returns, whose error of measurement enters; Parkinson's estimator is a regressor beside each."""
FALLS_HOURS = 24
"""Window of the share of the variance that came in falls."""


def realised_measures(data: MarketData, bars: IntArray) -> RealisedMeasures:
    """Measures known at the opens of these bars, one row a bar and symbol (the symbol runs fastest).

    Mean squared returns and a third of mean fourth powers over the windows of HARQ_HOURS; log volatility by Parkinson
    over the last bar and the same windows; the share of the day's variance that came in falls, less a half. A variance
    is kept above the smallest the scales know, where nothing moved.
    """
    returns, high, low = log_returns(data.mark("close")), data.mark("high"), data.mark("low")
    windows = [_bars(data, hours) for hours in HARQ_HOURS]
    variance = [np.maximum(rolling_mean(returns**2, window), SMALLEST**2) for window in windows]
    quarticity = [rolling_mean(returns**4, window) / 3.0 for window in windows]
    ranges = [np.log(np.maximum(parkinson(high, low, window), SMALLEST)) for window in (1, *windows)]
    falls, rises = semivariances(returns, _bars(data, FALLS_HOURS))
    share = falls / np.maximum(falls + rises, SMALLEST**2) - 0.5
    named = [f"{hours}h" for hours in HARQ_HOURS]
    names = (*named, *(f"log_parkinson_{name}" for name in ("bar", *named)), "falls_share")
    return RealisedMeasures(_known(variance, bars), _known(quarticity, bars), _known([*ranges, share], bars), names)


def _known(columns: list[FloatArray], bars: IntArray) -> FloatArray:
    """Columns known at the opens of `bars` (the row before each), (len(bars) * n_symbols, k); NaN at bar 0."""
    values = np.stack(columns, axis=2)
    before = np.full((1, *values.shape[1:]), np.nan)
    return np.concatenate((before, values))[bars].reshape(-1, values.shape[2])


def _bars(data: MarketData, hours: float) -> int:
    return max(2, round(hours / data.bar_hours))
