"""Depth as order books show it: notional resting near the mid, and to which side it leans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...riskcore.arrays import BoolArray, FloatArray, IntArray, TimeArray


@dataclass(frozen=True)
class BookDepth:
    """The last order-book snapshot of each bar: the rows of the latest instant at which the bar saw the symbol's book.

    Parameters
    ----------
    levels
        Distances from the mid, basis points, rising, shape (h,).
    bid, ask
        Quote units resting within each distance, shape (T, n, h); NaN where the last snapshot has no such row.
    """

    levels: FloatArray
    bid: FloatArray
    ask: FloatArray

    def resting(self) -> FloatArray:
        """Both sides together, shape (T, n, h)."""
        return self.bid + self.ask

    def imbalance(self) -> FloatArray:
        """(bid - ask) / (bid + ask), between -1 and 1, shape (T, n, h); NaN where nothing rests."""
        whole = self.resting()
        return (self.bid - self.ask) / np.where(whole > 0.0, whole, np.nan)


def book_depth(depth: pd.DataFrame, times: TimeArray, step: np.timedelta64, symbols: tuple[str, ...]) -> BookDepth:
    """Lay a depth table out on bars: of each bar the rows of the symbol's last timestamp in it.

    What an earlier snapshot of the bar had and the last one lacks is NaN: a bid and an ask of different instants are no
    book. So a table that stamps the two sides apart gives the later side alone.

    Parameters
    ----------
    depth
        Columns timestamp (UTC), symbol, side, level_bps, notional, as in `MarketData.depth`; rows of a symbol rise in
        time. What lies outside the bars or is none of `symbols` is left out.
    times, step
        Opens and length of the bars.
    symbols
        Columns of the result.

    Examples
    --------
    >>> stamps = pd.to_datetime(["2024-01-01T00:10Z"] * 2 + ["2024-01-01T00:50Z"] * 2)
    >>> table = {"symbol": "BTC", "side": ["bid", "ask"] * 2, "level_bps": 10.0, "notional": [1e6, 1e6, 3e6, 1e6]}
    >>> table = pd.DataFrame({"timestamp": stamps, **table})
    >>> start = np.array(["2024-01-01"], "datetime64[ns]")
    >>> book_depth(table, start, np.timedelta64(1, "h"), ("BTC",)).imbalance().tolist()
    [[[0.5]]]
    >>> book_depth(table[:3], start, np.timedelta64(1, "h"), ("BTC",)).ask.tolist()  # no ask at 00:50
    [[[nan]]]
    """
    levels, level = np.unique(depth["level_bps"].to_numpy(np.float64), return_inverse=True)
    stamps = depth["timestamp"].dt.tz_localize(None).to_numpy("datetime64[ns]")
    bars = (stamps - times[0]) // step
    place = {symbol: i for i, symbol in enumerate(symbols)}
    codes, names = pd.factorize(depth["symbol"])
    columns = np.array([place.get(name, -1) for name in names], np.int64)[codes]
    last = _of_last_instant(stamps, bars, columns, (len(times), len(symbols)))
    sides = []
    for side in ("bid", "ask"):
        rows = last & (depth["side"] == side).to_numpy(np.bool_)
        resting = np.full((len(times), len(symbols), len(levels)), np.nan)
        resting[bars[rows], columns[rows], level[rows]] = depth["notional"].to_numpy(np.float64)[rows]
        sides.append(resting)
    return BookDepth(levels, *sides)


def _of_last_instant(stamps: TimeArray, bars: IntArray, columns: IntArray, shape: tuple[int, int]) -> BoolArray:
    """Which rows lie in a bar and a column and bear the last timestamp there."""
    inside: BoolArray = (bars >= 0) & (bars < shape[0]) & (columns >= 0)
    place = bars[inside], columns[inside]
    latest = np.full(shape, np.datetime64("NaT", "ns"))
    latest[place] = stamps[inside]  # rows of a symbol rise in time: the last one stays
    inside[inside] = stamps[inside] == latest[place]
    return inside
