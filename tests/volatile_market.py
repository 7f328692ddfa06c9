"""A made-up market for tests of volatility: log volatility that lingers, with hours and days that are livelier."""

import numpy as np

from margincast.features.engine.bars import BarTable

HOUR = np.timedelta64(1, "h")


def volatile_market(bars, symbols=("BTC", "ETH"), seed=0, gaps=0.0, step=HOUR):
    """Bars of open, high, low and close; a share `gaps` of them is missing."""
    rng = np.random.default_rng([seed, 61])
    n, hours = len(symbols), np.arange(bars)[:, None] * (step / HOUR)
    lingering = np.empty((bars, n))
    level = rng.normal(0, 0.5, n)
    for bar in range(bars):
        level = 0.97 * level + rng.normal(0, 0.12, n)
        lingering[bar] = level
    season = 0.35 * np.sin(2 * np.pi * hours / 24) - 0.3 * ((hours % 168) >= 120)
    sigma = 0.006 * np.exp(lingering + season)
    inside = np.cumsum(rng.normal(0, 1 / np.sqrt(40), (bars, n, 40)) * sigma[:, :, None], axis=2)
    close = np.log(100.0) + np.cumsum(inside[:, :, -1], axis=0)
    opened = close - inside[:, :, -1]
    high, low = opened + np.maximum(inside.max(axis=2), 0.0), opened + np.minimum(inside.min(axis=2), 0.0)
    missing = rng.random((bars, n)) < gaps
    columns = {"open": opened, "high": high, "low": low, "close": close}
    columns = {name: np.where(missing, np.nan, np.exp(values)) for name, values in columns.items()}
    times = np.datetime64("2024-01-01", "ns") + np.arange(bars) * step
    return BarTable(times, step, symbols, columns)
