"""Who presses: taker volume by side, and the size of trades."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.operations import rolling, rolling_mean


def taker_buy_ratio(bought: FloatArray, volume: FloatArray, window: int) -> FloatArray:
    """Share of the volume of a trailing window that takers bought, 0 to 1; NaN where nothing was traded.

    Examples
    --------
    >>> taker_buy_ratio(np.array([[3.0], [1.0]]), np.array([[4.0], [4.0]]), 2)[-1].tolist()
    [0.5]
    """
    traded = rolling(volume, window)
    return rolling(bought, window) / np.where(traded > 0.0, traded, np.nan)


def taker_imbalance(bought: FloatArray, volume: FloatArray, window: int) -> FloatArray:
    """(bought - sold) / traded by takers over a trailing window, from -1 to 1; NaN where nothing was traded.

    Examples
    --------
    >>> taker_imbalance(np.array([[3.0]]), np.array([[4.0]]), 1).tolist()
    [[0.5]]
    """
    return 2.0 * taker_buy_ratio(bought, volume, window) - 1.0


def one_sidedness(bought: FloatArray, volume: FloatArray, window: int) -> FloatArray:
    """Mean over a trailing window of each bar's |bought - sold| / traded: flow toxicity on the clock of bars.

    The measure of VPIN with bars for buckets, where the taker side is reported; `VpinStep` has buckets of equal volume
    and needs no sides. NaN where a bar was without trades.

    Examples
    --------
    >>> one_sidedness(np.array([[3.0], [1.0]]), np.array([[4.0], [4.0]]), 2)[-1].tolist()
    [0.5]
    """
    return rolling_mean(np.abs(taker_imbalance(bought, volume, 1)), window)


def trade_size(volume: FloatArray, trades: FloatArray, price: FloatArray, window: int) -> FloatArray:
    """Mean value of a trade over a trailing window, quote units; NaN where there was none.

    Examples
    --------
    >>> trade_size(np.array([[6.0]]), np.array([[3.0]]), np.array([[50.0]]), 1).tolist()
    [[100.0]]
    """
    number = rolling(trades, window)
    return rolling(volume * price, window) / np.where(number > 0.0, number, np.nan)


def trade_size_ratio(
    volume: FloatArray, trades: FloatArray, price: FloatArray, window: int, reference: int
) -> FloatArray:
    """Log of the mean trade size of a short window over that of a long one.

    Examples
    --------
    >>> volume, trades = np.array([[2.0], [6.0]]), np.array([[2.0], [2.0]])
    >>> trade_size_ratio(volume, trades, np.ones((2, 1)), 1, 2)[-1].round(6).tolist()
    [0.405465]
    """
    short, long = trade_size(volume, trades, price, window), trade_size(volume, trades, price, reference)
    return np.log(np.where(short > 0.0, short, np.nan)) - np.log(np.where(long > 0.0, long, np.nan))
