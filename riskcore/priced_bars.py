"""How far ahead every price a pool needs is there: only so far is it known what becomes of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .arrays import IntArray
from .exposure import Exposure
from .first_passage import starts_of
from .market import MarketHistory


def priced_bars(exposure: Exposure, history: MarketHistory, start: ArrayLike) -> IntArray:
    """Bars from its start on until a price of each pool is missing, or the history ends; shape (n_pools,).

    An outcome within so many bars is known, one within more is not, even if the pool was liquidated before the gap:
    were those counted, rows beside a gap would be known only where they ended badly.

    Parameters
    ----------
    exposure
        The pools, with the series each needs.
    history
        NaN where a bar has no price.
    start
        Bar at whose open each pool is seen; its first bar of life. Shape (n_pools,) or a scalar.

    Raises
    ------
    InputError
        A start outside the history, or not one a pool.

    Examples
    --------
    A price is missing in bar 3: a pool seen at the open of bar 1 has two priced bars ahead.

    >>> from .instruments import InstrumentTable
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(5) * np.timedelta64(1, "h")
    >>> p = np.array([[100.0], [95.0], [89.0], [np.nan], [88.0]])
    >>> btc = InstrumentTable.linear_perpetuals(["BTC"])
    >>> history = MarketHistory(btc, times, p, p, p, p, [0], [-1], np.zeros((5, 1)))
    >>> pool = Exposure(np.array([0, 1]), np.array([0]), *(np.array([x]) for x in (90.0, 10.0, 20.0, 10.0)))
    >>> [priced_bars(pool, history, bar).tolist() for bar in (1, 3, 4)]
    [[2], [0], [1]]
    """
    bars, starts = len(history), starts_of(start, len(exposure), len(history))
    own = np.where(np.isnan(history.close), np.arange(bars)[:, None], bars)
    first_unpriced = np.vstack((np.minimum.accumulate(own[::-1], axis=0)[::-1], np.full((1, own.shape[1]), bars)))
    until = np.full(len(exposure), bars)
    pool = exposure.pool
    np.minimum.at(until, pool, first_unpriced[starts[pool], exposure.series])
    return until - starts
