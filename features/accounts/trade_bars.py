"""Bars of prices made from accounts' own trades, for coins and hours of which no other price is at hand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray, TimeArray
from ...riskcore.errors import InputError
from .events import NONE, AccountEvents, Kind


class TradeBars(NamedTuple):
    """Bars by instrument, each of shape (T, I): NaN, and zero orders, where no account traded within the bar."""

    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    orders: IntArray


def trade_bars(events: AccountEvents, times: TimeArray, step: np.timedelta64) -> TradeBars:
    """Bars of the prices at which accounts traded of their own will.

    The fills of one account, coin and side at one instant are taken as one order, and its best price as the price: the
    lowest of a buy, the highest of a sell, at which it began to walk through the book. Fills that a liquidation forced
    are left out, as their price is the account's and not the market's.

    Parameters
    ----------
    events
        The trades among them count.
    times
        Opens of the bars, UTC, equally spaced.
    step
        Length of a bar; a trade at a bar's open is in it.

    Raises
    ------
    InputError
        Times that are not `step` apart.

    Examples
    --------
    A buy that walked from 100 to 103, then a sell at 101:

    >>> from ...riskcore.instruments import InstrumentTable
    >>> start = np.datetime64("2024-01-01", "ns")
    >>> seconds = start + np.array([1, 1, 30]) * np.timedelta64(1, "s")
    >>> events = AccountEvents.of(InstrumentTable.linear_perpetuals(["BTC"]), ["a"], seconds, [0] * 3,
    ...     [Kind.TRADE] * 3, instrument=[0] * 3, quantity=[1.0, 1.0, -1.0], price=[100.0, 103.0, 101.0])
    >>> bars = trade_bars(events, start + np.arange(2) * np.timedelta64(1, "h"), np.timedelta64(1, "h"))
    >>> [float(prices[0, 0]) for prices in bars], bars.orders[:, 0].tolist()
    ([100.0, 101.0, 100.0, 101.0, 2.0], [2, 0])
    """
    uneven = np.flatnonzero(np.diff(times) != step)
    if len(uneven):
        raise InputError(f"bars must be {step} apart", row=int(uneven[0]) + 1, column="times")
    row, price = _orders(events)
    bar = (events.time[row] - times[0]) // step
    inside = (bar >= 0) & (bar < len(times))
    row, price, bar = row[inside], price[inside], bar[inside]
    shape = len(times), len(events.instruments)
    cell = bar * shape[1] + events.instrument[row]
    order = np.argsort(cell, kind="stable")
    cells, first = np.unique(cell[order], return_index=True)
    last = np.append(first[1:], len(order)) - 1
    found = {
        "open": price[order][first],
        "high": np.maximum.reduceat(price[order], first) if len(first) else price,
        "low": np.minimum.reduceat(price[order], first) if len(first) else price,
        "close": price[order][last] if len(first) else price,
    }
    bars = {name: np.full(shape, np.nan) for name in found}
    for name, values in found.items():
        bars[name].ravel()[cells] = values
    return TradeBars(**bars, orders=np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).astype(np.int64))


def _orders(events: AccountEvents) -> tuple[IntArray, FloatArray]:
    """First row of each order and its price, in order of time."""
    rows = np.flatnonzero((events.kind == Kind.TRADE) & (events.instrument != NONE) & ~events.forced)
    buys = events.quantity[rows] > 0
    keys = np.stack(
        [buys.astype(np.int64), events.instrument[rows], events.account[rows], events.time[rows].astype(np.int64)]
    )
    order = np.lexsort(keys)
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = (np.diff(keys[:, order], axis=1) != 0).any(axis=0)
    starts = np.flatnonzero(fresh)
    price = events.price[rows[order]]
    best = np.where(
        buys[order][starts],
        np.minimum.reduceat(price, starts) if len(starts) else price,
        np.maximum.reduceat(price, starts) if len(starts) else price,
    )
    first = rows[order][starts]
    in_time = np.argsort(first, kind="stable")
    return first[in_time], best[in_time]
