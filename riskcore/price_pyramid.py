"""Running lows and highs of price and funding over blocks of bars: what bounds an account over a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .arrays import FloatArray, IntArray, frozen
from .instruments import INVERSE, contract_value
from .market import MarketHistory

LEAF_BARS = 16
GROWTH = 4


class PyramidArrays(NamedTuple):
    """The arrays of a `PricePyramid`, as the kernels walk them.

    Parameters
    ----------
    low, high, close
        Prices by bar: the history's own arrays, shape (n_bars, n_series).
    mark_series, index_series
        Column of each instrument's mark and of each asset's index (-1: worth one).
    paid
        Funding paid by one unit of size, long, since the first bar, settlement asset, shape (n_charges + 1,
        n_instruments): `paid[charge[k]]` is what has fallen due up to and including the open of bar k.
    charge
        Row of `paid` for each bar, shape (n_bars,).
    level_start, level_bars
        First row and block length of each level. Level 0 is the bars themselves and has no rows.
    block_low, block_high, block_paid_low, block_paid_high
        Lows and highs over the blocks of all levels: block b of level l is row level_start[l] + b.
    """

    low: FloatArray
    high: FloatArray
    close: FloatArray
    mark_series: IntArray
    index_series: IntArray
    paid: FloatArray
    charge: IntArray
    level_start: IntArray
    level_bars: IntArray
    block_low: FloatArray
    block_high: FloatArray
    block_paid_low: FloatArray
    block_paid_high: FloatArray


@dataclass(frozen=True)
class PricePyramid:
    """A history with the lows and highs of its prices and of accrued funding over aligned blocks of bars.

    Level 0 is the bars, level 1 blocks of 16 of them, each further level blocks of 4 of the one below; the last block
    of a level may be short. A NaN bar makes every block over it NaN, so that no bound can hide a gap.
    """

    history: MarketHistory
    arrays: PyramidArrays

    @property
    def bars(self) -> int:
        """Number of bars of the history."""
        return len(self.history)


def build_pyramid(history: MarketHistory) -> PricePyramid:
    """Pyramid of a history; built once, used for any book and any start times.

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> prices = np.arange(1.0, 41.0)[:, None]
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(40) * np.timedelta64(1, "h")
    >>> history = MarketHistory(InstrumentTable.linear_perpetuals(["BTC"]), times, prices, prices, prices, prices,
    ...     [0], [-1], np.zeros((40, 1)))
    >>> arrays = build_pyramid(history).arrays
    >>> arrays.level_bars.tolist(), arrays.block_low[:, 0].tolist(), arrays.block_high[:, 0].tolist()
    ([1, 16], [1.0, 17.0, 33.0], [16.0, 32.0, 40.0])
    """
    charge, paid = funding_paid(history)
    sizes = [LEAF_BARS]
    while sizes[-1] < len(history):
        sizes.append(sizes[-1] * GROWTH)
    sizes = sizes[:-1]
    counts = [-(-len(history) // size) for size in sizes]
    return PricePyramid(
        history,
        PyramidArrays(
            history.low,
            history.high,
            history.close,
            history.mark_series,
            history.index_series,
            paid,
            charge,
            frozen(np.cumsum([0, 0, *counts])[: len(sizes) + 1], np.int64),
            frozen([1, *sizes], np.int64),
            _price_blocks(np.minimum, history.low, sizes),
            _price_blocks(np.maximum, history.high, sizes),
            _paid_blocks(np.minimum, paid, charge, sizes),
            _paid_blocks(np.maximum, paid, charge, sizes),
        ),
    )


def funding_paid(history: MarketHistory) -> tuple[IntArray, FloatArray]:
    """Funding paid by one unit of long size since the first bar: row of the second array for each bar, and the sums.

    At times[k], k > 0, the rate is charged on the notional at the close before: mark for a linear contract, 1 / mark
    for an inverse one. A charge where no mark is known is left out (the position could not be valued either).
    """
    due = np.flatnonzero((history.funding != 0).any(axis=1))
    due = due[due > 0]
    mark = history.close[due - 1][:, history.mark_series]
    inverse = np.asarray(history.instruments.kind == INVERSE)
    charged = contract_value(history.funding[due], mark, inverse)
    sums = np.cumsum(np.where(np.isnan(mark), 0.0, charged), axis=0)
    paid = np.vstack((np.zeros((1, len(history.instruments))), sums))
    return frozen(np.searchsorted(due, np.arange(len(history)), side="right"), np.int64), frozen(paid, np.float64)


def _price_blocks(extreme: np.ufunc, bars: FloatArray, sizes: list[int]) -> FloatArray:
    """The extreme over the blocks of every level, each from the level below."""
    levels = [bars]
    for size, below in zip(sizes, [1, *sizes], strict=False):
        levels.append(_by_blocks(extreme, levels[-1], size // below))
    return frozen(np.vstack([np.empty((0, bars.shape[1])), *levels[1:]]), np.float64)


def _by_blocks(extreme: np.ufunc, rows: FloatArray, factor: int) -> FloatArray:
    whole = len(rows) // factor
    out = extreme.reduce(rows[: whole * factor].reshape(whole, factor, -1), axis=1)
    rest = rows[whole * factor :]
    return np.vstack((out, extreme.reduce(rest, axis=0))) if len(rest) else out


def _paid_blocks(extreme: np.ufunc, paid: FloatArray, charge: IntArray, sizes: list[int]) -> FloatArray:
    """The same for `paid`, whose rows from the first to the last bar of a block are what is in force in it."""
    levels = [np.empty((0, paid.shape[1]))]
    padded = np.vstack((paid, paid[-1:]))
    for size in sizes:
        first = np.arange(0, len(charge), size)
        last = np.minimum(first + size, len(charge)) - 1
        levels.append(extreme.reduceat(padded, np.column_stack((charge[first], charge[last] + 1)).ravel(), axis=0)[::2])
    return frozen(np.vstack(levels), np.float64)
