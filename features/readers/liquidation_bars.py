"""Reported liquidations as bars: what was liquidated of longs and of shorts, and how many reports there were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...riskcore.arrays import BoolArray, FloatArray
from .grid import BarGrid
from .time_merge import stamps_of

AMOUNTS = {"liquidated_long": "long", "liquidated_short": "short"}
NEEDED = ("side", "price", "quantity")
"""Columns without which a table of liquidations has no amounts."""


@dataclass(frozen=True)
class LiquidationFeed:
    """What a table of liquidations covers: its symbols, and the instants of its first and last row (nanoseconds)."""

    symbols: frozenset[str]
    first: int
    last: int


def liquidation_feed(rows: pd.DataFrame) -> LiquidationFeed:
    """What the rows of a table cover; there must be some."""
    stamps = stamps_of(rows)
    return LiquidationFeed(frozenset(rows["symbol"].unique()), int(stamps.min()), int(stamps.max()))


def liquidation_bars(
    rows: pd.DataFrame, feed: LiquidationFeed, bars: BarGrid, symbols: tuple[str, ...], close: FloatArray
) -> dict[str, FloatArray]:
    """Add up reports by bar and symbol.

    Parameters
    ----------
    rows
        Columns timestamp, symbol, side, price and quantity. Those outside the bars or of other symbols are left out.
    feed
        What the whole table covers.
    bars
        The bars, b of them.
    symbols
        Columns of the result.
    close
        Last price of each bar, shape (b, n).

    Returns
    -------
    dict of str to FloatArray
        liquidated_long and liquidated_short in quote units, and liquidation_events, each of shape (b, n): 0 where a
        symbol of the feed has a price but no report, NaN where it has neither, before the bar of the feed's first row
        and after that of its last. A report without side, price or quantity counts as an event only.

    Examples
    --------
    >>> at = pd.to_datetime(["1970-01-01T00:30Z"])
    >>> rows = pd.DataFrame({"timestamp": at, "symbol": "BTC", "side": "long", "price": 10.0, "quantity": 3.0})
    >>> hours = BarGrid(0, 3600 * 10**9, 2)
    >>> laid = liquidation_bars(rows, liquidation_feed(rows), hours, ("BTC",), np.ones((2, 1)))
    >>> laid["liquidated_long"].tolist(), laid["liquidated_short"].tolist()
    ([[30.0], [nan]], [[0.0], [nan]])
    """
    bar = bars.bar_of(stamps_of(rows))
    place = rows["symbol"].map({symbol: i for i, symbol in enumerate(symbols)}).fillna(-1).to_numpy(np.int64)
    inside = (bar >= 0) & (bar < bars.bars) & (place >= 0)
    amount = rows["price"].to_numpy(np.float64) * rows["quantity"].to_numpy(np.float64)
    counted = {
        column: (amount, inside & ~np.isnan(amount) & (rows["side"] == side).to_numpy(np.bool_))
        for column, side in AMOUNTS.items()
    } | {"liquidation_events": (np.ones(len(rows)), inside)}
    sums = {column: np.zeros_like(close) for column in counted}
    for column, (values, told) in counted.items():
        np.add.at(sums[column], (bar[told], place[told]), values[told])
    known = _covered(feed, bars, symbols) & ~np.isnan(close) | (sums["liquidation_events"] > 0)
    return {column: np.where(known, values, np.nan) for column, values in sums.items()}


def _covered(feed: LiquidationFeed, bars: BarGrid, symbols: tuple[str, ...]) -> BoolArray:
    """Bars and symbols of which the feed would have told."""
    first, last = bars.bar_of(np.array([feed.first, feed.last]))
    within = (np.arange(bars.bars) >= first) & (np.arange(bars.bars) <= last)
    told: BoolArray = within[:, None] & np.array([symbol in feed.symbols for symbol in symbols], np.bool_)
    return told
