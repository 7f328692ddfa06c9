"""Running lows and highs of price and funding over blocks of bars: what bounds an account over a block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray
from .instruments import INVERSE
from .market import UNIT_INDEX, MarketHistory

LEAF_BARS = 32
GROWTH = 8


@dataclass(frozen=True)
class PricePyramid:
    """Lows and highs of every price series and of accrued funding, over bars and over aligned blocks of bars.

    Level 0 holds the bars themselves, level 1 blocks of 32 bars, each further level blocks of 8 of the one below. The
    levels lie behind each other in one array: block b of level l is row `level_start[l] + b`. A NaN bar makes every
    block over it NaN, so that no bound can hide a gap.

    Parameters
    ----------
    level_start, level_bars
        First row and block length of each level.
    low, high
        Prices, shape (n_rows, n_series + 1); the last column is the base asset's constant 1.
    funding_low, funding_high
        Funding paid by one unit of size since the first bar, in the settlement asset, shape (n_rows, n_instruments).
    close
        Closes by bar, shape (n_bars, n_series + 1).
    mark_series, index_series
        Column of each instrument's mark and of each asset's index.
    """

    level_start: IntArray
    level_bars: IntArray
    low: FloatArray
    high: FloatArray
    funding_low: FloatArray
    funding_high: FloatArray
    close: FloatArray
    mark_series: IntArray
    index_series: IntArray

    @property
    def bars(self) -> int:
        """Number of bars of the history."""
        return len(self.close)


def build_pyramid(history: MarketHistory) -> PricePyramid:
    """Pyramid of a history; built once, used for any book and any start times.

    Examples
    --------
    >>> import numpy as np
    >>> from .instruments import InstrumentTable
    >>> prices = np.arange(1.0, 101.0)[:, None]
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(100) * np.timedelta64(1, "h")
    >>> history = MarketHistory(InstrumentTable.linear_perpetuals(["BTC"]), times, prices, prices, prices, prices,
    ...     [0], [-1], np.zeros((100, 1)))
    >>> pyramid = build_pyramid(history)
    >>> pyramid.level_bars.tolist(), pyramid.low[100:104, 0].tolist()
    ([1, 32], [1.0, 33.0, 65.0, 97.0])
    """
    ones = np.ones((len(history), 1))
    low, high = np.hstack((history.low, ones)), np.hstack((history.high, ones))
    funding = accrued_funding(history)
    levels = [(low, high, funding, funding)]
    sizes = [1]
    while len(levels[-1][0]) > 1 and sizes[-1] * GROWTH < len(history):
        factor = LEAF_BARS if len(levels) == 1 else GROWTH
        levels.append(_merge(levels[-1], factor))
        sizes.append(sizes[-1] * factor)
    starts = np.cumsum([0] + [len(level[0]) for level in levels[:-1]])
    columns = [np.ascontiguousarray(np.vstack([level[c] for level in levels])) for c in range(4)]
    index_series = np.where(history.index_series == UNIT_INDEX, history.close.shape[1], history.index_series)
    return PricePyramid(
        starts.astype(np.int64),
        np.array(sizes, dtype=np.int64),
        *columns,
        close=np.ascontiguousarray(np.hstack((history.close, ones))),
        mark_series=history.mark_series,
        index_series=index_series,
    )


def accrued_funding(history: MarketHistory) -> FloatArray:
    """Funding paid by one unit of long size up to and including each bar's open, settlement asset, (n_bars, n_instruments).

    At times[k] the rate is charged on the notional at the close before: mark for a linear contract, 1 / mark for an
    inverse one. A charge where no mark is known is left out (the position could not be valued either).
    """
    inverse: BoolArray = np.asarray(history.instruments.kind == INVERSE)
    marks = history.close[:, history.mark_series]
    before = np.vstack((history.open[:1, history.mark_series], marks[:-1]))
    notional = np.where(inverse, 1.0 / before, before)
    charge = np.where(np.isnan(notional) | (history.funding == 0), 0.0, history.funding * np.where(np.isnan(notional), 0, notional))
    return np.cumsum(charge, axis=0)


Level = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


def _merge(level: Level, factor: int) -> Level:
    starts = np.arange(0, len(level[0]), factor)
    low, high, funding_low, funding_high = level
    return (
        np.minimum.reduceat(low, starts, axis=0),
        np.maximum.reduceat(high, starts, axis=0),
        np.minimum.reduceat(funding_low, starts, axis=0),
        np.maximum.reduceat(funding_high, starts, axis=0),
    )
