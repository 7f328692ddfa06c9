"""Bars of a one-factor market whose volatility and correlation change, drawn from a seed; not a test itself."""

import numpy as np

from margincast.features.engine.bars import BarTable

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2022-01-01", "ns")


def factor_bars(rows, symbols=("A", "B", "C", "D"), seed=0, *, gaps=0.0, step=HOUR, start=START, calm=150, shift=0):
    """Bars with calm and wild spells of about `calm` rows; `gaps` is the share of bars that are missing."""
    rng, n = np.random.default_rng(seed), len(symbols)
    wild = np.cumsum(rng.random(rows) < 1.0 / calm) % 2 == 1
    size = np.where(wild, 0.03, 0.006)[:, None]
    share = np.where(wild, 0.9, 0.3)[:, None]
    common = rng.standard_t(4, (rows + shift, 1)) * 0.7
    own = rng.standard_t(4, (rows, n)) * 0.7
    own[:, -1:] += common[:rows]
    returns = size * (np.sqrt(share) * common[shift:] + np.sqrt(1.0 - share) * own)
    close = 100.0 * np.exp(np.cumsum(returns, axis=0))
    reach = np.exp(np.abs(rng.normal(0, 1, (2, rows, n))) * size)
    columns = {
        "close": close,
        "high": close * reach[0],
        "low": close / reach[1],
        "last_close": close * np.exp(rng.normal(0, 1e-4, close.shape)),
        "volume": np.exp(rng.normal(0, 1, close.shape)) * 1e3 / close,
        "bid_50bps": np.exp(rng.normal(0, 0.1, close.shape)) * 1e4 / size,
        "ask_50bps": np.exp(rng.normal(0, 0.1, close.shape)) * 1e4 / size,
    }
    missing = rng.random(close.shape) < gaps
    columns = {name: np.where(missing, np.nan, values) for name, values in columns.items()}
    return BarTable(start + np.arange(rows) * step, step, symbols, columns)
