"""Bars from single trades."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...riskcore.arrays import BoolArray, FloatArray, IntArray
from .archive_cells import MINUTE, timestamp_column


def bars_of_trades(
    stamps: IntArray, price: FloatArray, quantity: FloatArray, bought: BoolArray, trades: IntArray, step: int = MINUTE
) -> pd.DataFrame:
    """Open, high, low, close, volume, volume bought by takers and number of trades of each bar that has a trade.

    A bar without a trade is not there: no price is carried on.

    Parameters
    ----------
    stamps
        Times of the trades, nanoseconds since 1970, in any order; trades of one instant keep their order.
    price, quantity
        Quote units and coins.
    bought
        Whether the taker bought.
    trades
        How many trades a row stands for.
    step
        Length of a bar, nanoseconds.

    Examples
    --------
    >>> one = np.array([1, 1, 1])
    >>> bars = bars_of_trades(
    ...     np.array([0, 5, 70]) * 10**9, np.array([9.0, 8.0, 7.0]), np.ones(3), np.array([True, False, True]), one
    ... )
    >>> bars[["open", "close", "volume", "taker_buy_volume", "trades"]].to_numpy().tolist()
    [[9.0, 8.0, 2.0, 1.0, 2.0], [7.0, 7.0, 1.0, 1.0, 1.0]]
    """
    order = np.argsort(stamps, kind="stable")
    bars = stamps[order] // step
    first = np.flatnonzero(np.diff(bars, prepend=bars[0] - 1))
    last = np.append(first[1:], len(bars)) - 1
    price, quantity = price[order], quantity[order]
    return pd.DataFrame(
        {
            "timestamp": timestamp_column(bars[first] * step),
            "open": price[first],
            "high": np.maximum.reduceat(price, first),
            "low": np.minimum.reduceat(price, first),
            "close": price[last],
            "volume": np.add.reduceat(quantity, first),
            "taker_buy_volume": np.add.reduceat(np.where(bought[order], quantity, 0.0), first),
            "trades": np.add.reduceat(trades[order], first).astype(np.float64),
        }
    )
