"""The largest order a pool's initial margin allows, exact over tiers, haircut slices and positions that are closed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .accounts import AccountBook
from .arrays import FloatArray, require
from .errors import InputError
from .instruments import INVERSE
from .market import MarketState
from .pre_trade import Orders, Refusal, net_quantity, preview_orders
from .rulebook import RuleBook

Preview = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""Available margin after an order of each size, and its `Refusal`."""
SHRINK = 1e-12
"""By what fraction the root is first taken back (or by one lot), then four times as much, until its own evaluation
accepts it: the rounding of the root is that of the pool's equity, which may be much larger than the order."""


def largest_order(
    book: AccountBook,
    market: MarketState,
    rules: RuleBook,
    pool: int,
    symbol: str,
    side: int,
    price: float,
    *,
    fee_rate: float = 0.0,
    leverage: float = math.nan,
    reserve: float = 0.0,
    lot: float = 0.0,
) -> float:
    """Largest number of contracts that `preview_orders` takes as one order, signed as `side`.

    Parameters
    ----------
    book, market, rules, pool
        The pools, the prices, the rules, and which pool asks.
    symbol, side, price, fee_rate, leverage
        Instrument, 1 to buy or -1 to sell, fill price, fee, and leverage of the order.
    reserve
        Base asset set aside for resting orders.
    lot
        Contracts come in multiples of it; 0 for any size.

    Returns
    -------
    float
        0 if none is taken; inf if margin falls with size for ever and the tier table has no limit.

    Raises
    ------
    InputError
        What `preview_orders` refuses, a side other than 1 or -1, a negative lot, an instrument without a mark.

    Notes
    -----
    Available margin is a broken line in the size: it bends and jumps only where a leg is closed, where a position
    enters another tier and where the settlement balance enters another haircut slice. The line is evaluated by
    `evaluate` itself at two points inside each piece, and its last crossing of 0 is taken.

    Examples
    --------
    1,000 at 20x up to a notional of 10,000, above at 5x: the first tier ends the order, not the margin.

    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [1000.0], [0, 0], [], [], [], [])
    >>> tiers = RateSchedule.marginal([0.0, 10_000.0], [0.02, 0.1], [20.0, 5.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": tiers})
    >>> market = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0])
    >>> round(largest_order(book, market, rules, 0, "BTC", 1, 100.0), 6)
    100.0
    >>> largest_order(book, market, rules, 0, "BTC", -1, 100.0, lot=7.0)
    -98.0
    """
    if side not in (1, -1):
        raise InputError("must be 1 or -1", column="side", value=side)
    if not (lot >= 0 and math.isfinite(lot)):
        raise InputError("must be a number not below 0", column="lot", value=lot)
    if not 0 <= pool < len(book):
        raise InputError("is not there", column="pool", value=pool)
    one = book.take(np.array([pool]))
    instrument = int(book.instruments.index_of([symbol])[0])
    require(~np.isnan(market.mark[[instrument]]), market.mark[[instrument]], f"{symbol} has no mark price", "mark")

    def preview(sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
        copies = one.take(np.zeros(len(sizes), np.int64))
        orders = Orders(instrument, side * sizes, price, fee_rate, leverage)
        found = preview_orders(copies, market, rules, orders, reserve=reserve)
        return found.available, found.refusal.astype(np.float64)

    net = float(net_quantity(one, instrument)[0])
    reducing = abs(net) if net * side < 0 else 0.0
    breaks, limit = _breaks(one, market, rules, instrument, side, price, fee_rate)
    beyond = float(preview(np.array([min(limit, reducing * 2 + breaks[-1] + 1.0)]))[1][0])
    if beyond in (Refusal.POOL_MAY_ONLY_REDUCE, Refusal.NOT_REDUCING):
        size = reducing
    else:
        size = max(_last_crossing(preview, breaks, limit), reducing)
    return side * _taken(size, reducing, lot, preview)


def _breaks(
    one: AccountBook,
    market: MarketState,
    rules: RuleBook,
    instrument: int,
    side: int,
    price: float,
    fee_rate: float,
) -> tuple[FloatArray, float]:
    """Sizes, rising from 0, between which available margin is a straight line, and the size at the position limit."""
    table = one.instruments
    mark, multiplier = float(market.mark[instrument]), float(table.multiplier[instrument])
    inverse = bool(table.kind[instrument] == INVERSE)
    unit = multiplier * (1 / mark if inverse else mark)
    schedule = rules.schedule_of(table.symbols[instrument])
    floors = schedule.floors[1:] / unit
    mine = one.quantity[one.position_instrument == instrument]
    closing, grown = 0.0, 0.0
    breaks = [np.zeros(1)]
    for size in mine:
        if size * side < 0:
            breaks.append(closing + abs(size) - floors[floors < abs(size)])
            closing += abs(float(size))
            breaks.append(np.array([closing]))
        elif grown == 0.0:
            grown = abs(float(size))
    breaks.append(closing + floors - grown)
    breaks.append(_haircut_breaks(one, market, rules, instrument, side, price, fee_rate))
    limit = closing + schedule.limit / unit - grown
    points = np.unique(np.concatenate(breaks))
    return points[(points >= 0) & (points < max(limit, np.finfo(float).tiny))], max(limit, 0.0)


def _haircut_breaks(
    one: AccountBook,
    market: MarketState,
    rules: RuleBook,
    instrument: int,
    side: int,
    price: float,
    fee_rate: float,
) -> FloatArray:
    """Sizes at which the value of the settlement asset enters another haircut slice, or debt."""
    table, mark = one.instruments, market.mark
    asset = int(table.settlement[instrument])
    total = float(one.balance[one.balance_asset == asset].sum())
    for place, quantity, entry in zip(one.position_instrument, one.quantity, one.entry_price, strict=True):
        if table.settlement[place] == asset:
            now, then = float(mark[place]), float(entry)
            gained = 1 / then - 1 / now if table.kind[place] == INVERSE else now - then
            total += float(quantity) * float(table.multiplier[place]) * gained
    now, multiplier = float(mark[instrument]), float(table.multiplier[instrument])
    if table.kind[instrument] == INVERSE:
        slope = multiplier * (side * (1 / price - 1 / now) - fee_rate / price)
    else:
        slope = multiplier * (side * (now - price) - fee_rate * price)
    edges = rules.haircut_of(table.assets[asset], table.base).floors / float(market.index[asset])
    return np.zeros(0) if slope == 0 else np.asarray((edges - total) / slope)


def _last_crossing(preview: Preview, breaks: FloatArray, limit: float) -> float:
    """The largest size at which available margin is not negative; 0 if there is none, inf if it never ends."""
    ends = np.append(breaks[1:], limit)
    width = np.where(np.isinf(ends), np.maximum(breaks, 1.0), ends - breaks)
    first, second = breaks + width / 3, breaks + 2 * width / 3
    margin = preview(np.concatenate((first, second)))[0]
    low, high = margin[: len(first)], margin[len(first) :]
    slope = np.divide(high - low, second - first, out=np.zeros_like(low), where=second > first)
    for piece in range(len(breaks) - 1, -1, -1):
        at_start = low[piece] - slope[piece] * (first[piece] - breaks[piece])
        if slope[piece] >= 0:
            at_end = (
                math.inf
                if math.isinf(ends[piece]) and slope[piece] > 0
                else low[piece] + slope[piece] * (0.0 if math.isinf(ends[piece]) else ends[piece] - first[piece])
            )
            if at_end >= 0:
                return float(ends[piece])
        elif at_start >= 0:
            return float(min(breaks[piece] - at_start / slope[piece], ends[piece]))
    return 0.0


def _taken(size: float, reducing: float, lot: float, preview: Preview) -> float:
    """The size as it is taken: in lots, and a few roundings back from a root."""
    if math.isinf(size) or size <= 0:
        return max(size, 0.0)
    if lot:
        size = math.floor(size / lot * (1 + SHRINK)) * lot
    back = lot if lot else size * SHRINK
    while size > reducing and preview(np.array([size]))[1][0] != Refusal.NONE:
        size, back = size - back, 4 * back
    return max(size, 0.0) if lot else max(size, reducing)
