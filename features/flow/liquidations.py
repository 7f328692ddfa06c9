"""Reported liquidations laid out on bars: what a feed showed, and what it hid behind its one event a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...riskcore.arrays import BoolArray, FloatArray, IntArray, TimeArray, group_sums
from ...riskcore.errors import InputError
from .censored_feed import (
    Shown,
    ShownEvents,
    amount_variance,
    arrival_rate,
    count_variance,
    event_weights,
    interval,
    least_count,
)

SIDES = ("long", "short")
BLOCK_SECONDS = 60.0
"""Time over which the arrival rate is taken as constant. A rate that changes within it is underestimated."""
SECOND = np.timedelta64(1, "s")


@dataclass(frozen=True)
class Estimate:
    """A number that was not observed: its estimate and an interval around it; NaN, finite and infinite where unbounded.

    Parameters
    ----------
    value, low, high
        Of one shape. Where a feed was saturated `value` is NaN, `low` a lower bound and `high` infinite.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class LiquidationFlow:
    """Liquidations of each bar and instrument; NaN in bars that are not between the feed's first and last event.

    Parameters
    ----------
    events
        Shown, both sides, shape (T, n).
    notional
        Shown, quote units, of longs and of shorts, shape (T, n, 2).
    share_at_cap
        Share of the bar's seconds that showed an event, and so may have hidden others, shape (T, n).
    saturated
        Whether the feed showed an event in every second of some block of the bar: estimates are lower bounds only.
    count
        True number of events, both sides, arrays of shape (T, n).
    amount
        True notional of longs and of shorts, quote units, arrays of shape (T, n, 2).
    """

    events: FloatArray
    notional: FloatArray
    share_at_cap: FloatArray
    saturated: BoolArray
    count: Estimate
    amount: Estimate

    def imbalance(self) -> FloatArray:
        """(longs - shorts) / both of the shown notional, from -1 to 1, shape (T, n); NaN where none was shown."""
        both = self.notional.sum(axis=2)
        return (self.notional[:, :, 0] - self.notional[:, :, 1]) / np.where(both > 0.0, both, np.nan)


def liquidation_flow(
    events: pd.DataFrame,
    times: TimeArray,
    step: np.timedelta64,
    symbols: tuple[str, ...],
    *,
    shown: Shown = "latest",
    level: float = 0.95,
    block_seconds: float = BLOCK_SECONDS,
) -> LiquidationFlow:
    """Lay a table of liquidations on bars and estimate what a feed of one event a second and symbol did not show.

    Parameters
    ----------
    events
        Columns timestamp (UTC), symbol, side (of the position that was liquidated: long or short), price and quantity;
        notional is their product. Symbols that are not wanted and events outside the bars are left out.
    times, step
        Opens and length of the bars.
    symbols
        Instruments, the columns of the result.
    shown
        Which of a second's events the feed shows, see `Shown`: "latest" is what Binance documents (USD-M futures,
        Liquidation Order Streams: "only the latest one liquidation order within 1000ms").
    level
        Of the intervals.
    block_seconds
        Longest time over which arrivals are taken as Poisson with one rate.

    Raises
    ------
    InputError
        A column that is missing, a side that is neither, or more than one event a second more than there are seconds: a
        feed that is not capped needs no estimate.

    Notes
    -----
    An event without price or quantity makes the notional of its bar NaN, not its count. The seconds are those of the
    venue's clock and may not be those of ours: an event may fall into its neighbour's second, which the count does not
    mind. Intervals are normal: where fewer than about five events of a side are hidden, or sizes have a very heavy
    tail, those of 95% cover some 88% (measured on simulations, tests/test_flow_censored_feed.py).

    Examples
    --------
    Half of the minute's seconds show a long of 100; ln 2 a second were there, 41.6 in all.

    >>> stamps = pd.date_range("2024-01-01", periods=30, freq="2s", tz="UTC")
    >>> table = pd.DataFrame({"timestamp": stamps, "symbol": "BTC", "side": "long", "price": 50.0, "quantity": 2.0})
    >>> bars = np.array(["2024-01-01"], "datetime64[ns]")
    >>> flow = liquidation_flow(table, bars, np.timedelta64(1, "m"), ("BTC",))
    >>> flow.notional.tolist(), flow.share_at_cap.tolist(), flow.saturated.tolist()
    ([[[3000.0, 0.0]]], [[0.5]], [[False]])
    >>> flow.count.value.round(1).tolist(), flow.amount.value.round(0).tolist()
    ([[41.6]], [[[4159.0, 0.0]]])
    """
    grid = _Grid.of(times, step, symbols, block_seconds)
    placed = _placed(events, grid)
    _require_capped(placed, grid)
    blocks = ShownEvents(placed.block, placed.size, len(placed.cell), grid.seconds)
    count, saturated = _count(blocks, placed, grid, level)
    sides = [_amount(blocks, placed, side, grid, shown, level) for side in range(2)]
    number = grid.to_bars(blocks.shown, placed.cell)
    known = grid.between(placed.stamps)[:, None]
    notional, *ends = (np.stack(parts, axis=2) for parts in zip(*sides, strict=True))
    return LiquidationFlow(
        events=np.where(known, number, np.nan),
        notional=np.where(known[:, :, None], notional, np.nan),
        share_at_cap=np.where(known, np.minimum(number / (grid.seconds * grid.blocks), 1.0), np.nan),
        saturated=saturated,
        count=Estimate(*(np.where(known, one, np.nan) for one in count)),
        amount=Estimate(*(np.where(known[:, :, None], one, np.nan) for one in ends)),
    )


class _Grid(NamedTuple):
    """Bars cut into `blocks` blocks of `seconds` each; the cell of bar t and symbol s is t * n + s."""

    times: TimeArray
    step: np.timedelta64
    symbols: tuple[str, ...]
    blocks: int
    seconds: float

    @classmethod
    def of(cls, times: TimeArray, step: np.timedelta64, symbols: tuple[str, ...], block_seconds: float) -> _Grid:
        length = float(step / SECOND)
        if not 1.0 <= block_seconds:
            raise InputError("must be at least one second", column="block_seconds", value=block_seconds)
        blocks = max(int(np.ceil(length / block_seconds - 1e-9)), 1)
        return cls(np.asarray(times, "datetime64[ns]"), step, symbols, blocks, length / blocks)

    def to_bars(self, values: FloatArray, cell: IntArray) -> FloatArray:
        """Sum of the values of each cell, shape (T, n)."""
        shape = len(self.times), len(self.symbols)
        return group_sums(cell, values, shape[0] * shape[1]).reshape(shape)

    def between(self, stamps: TimeArray) -> BoolArray:
        """Bars from that of the first to that of the last event."""
        if not len(stamps):
            return np.zeros(len(self.times), np.bool_)
        return np.asarray((self.times + self.step > stamps.min()) & (self.times <= stamps.max()))


class _Placed(NamedTuple):
    """Events that fall into a bar, the cell of each block that has one, and the time stamps of all events."""

    block: IntArray
    side: IntArray
    size: FloatArray
    cell: IntArray
    stamps: TimeArray


def _placed(events: pd.DataFrame, grid: _Grid) -> _Placed:
    missing = [name for name in ("timestamp", "symbol", "side", "price", "quantity") if name not in events]
    if missing:
        raise InputError("is missing; a flow of liquidations needs it", file="liquidations", column=missing[0])
    stamps = events["timestamp"].dt.tz_localize(None).to_numpy("datetime64[ns]")
    sides, names = events["side"].to_numpy(), events["symbol"].to_numpy()
    strange = np.flatnonzero(~np.isin(sides, SIDES))
    if len(strange):
        problem = "must be long or short: the position that was liquidated"
        raise InputError(problem, row=int(strange[0]), column="side", value=str(sides[strange[0]]))
    column = np.full(len(stamps), -1)
    for place, symbol in enumerate(grid.symbols):
        column[names == symbol] = place
    since = stamps - grid.times[0]
    bar = since // grid.step
    inside = (bar >= 0) & (bar < len(grid.times)) & (column >= 0)
    within = np.minimum((since - bar * grid.step) / SECOND // grid.seconds, grid.blocks - 1).astype(np.int64)
    cell = bar * len(grid.symbols) + column
    used, block = np.unique((cell * grid.blocks + within)[inside], return_inverse=True)
    size = events["price"].to_numpy(np.float64) * events["quantity"].to_numpy(np.float64)
    side = (sides == SIDES[1]).astype(np.int64)
    return _Placed(block, side[inside], size[inside], used // grid.blocks, stamps)


def _require_capped(placed: _Placed, grid: _Grid) -> None:
    shown = np.bincount(placed.block, minlength=1)
    most = int(np.argmax(shown))
    if shown[most] > np.ceil(grid.seconds) + 1:
        bar, column = divmod(int(placed.cell[most]), len(grid.symbols))
        problem = (
            f"{grid.symbols[column]} has more than one event a second at {grid.times[bar]}: the feed is not capped"
        )
        raise InputError(problem, file="liquidations", value=int(shown[most]))


def _count(
    blocks: ShownEvents, placed: _Placed, grid: _Grid, level: float
) -> tuple[tuple[FloatArray, FloatArray, FloatArray], BoolArray]:
    shown, seconds, cell = np.minimum(blocks.shown, blocks.seconds), blocks.seconds, placed.cell
    value = grid.to_bars(arrival_rate(shown, seconds) * seconds, cell)
    variance = grid.to_bars(count_variance(shown, seconds), cell)
    low, high = interval(value, variance, grid.to_bars(shown, cell), level)
    saturated = np.isnan(value)
    bound = grid.to_bars(np.maximum(least_count(shown, seconds, level), shown), cell)
    return (value, np.where(saturated, bound, low), np.where(saturated, np.inf, high)), saturated


def _amount(
    blocks: ShownEvents, placed: _Placed, side: int, grid: _Grid, which: Shown, level: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Notional shown of one side, its estimate, and the interval's ends, each (T, n)."""
    weights, least = event_weights(blocks, which), event_weights(blocks, which, least=level)
    own = blocks._replace(size=np.where(placed.side == side, blocks.size, 0.0))
    cell = placed.cell[blocks.block]
    seen, value, bound = (grid.to_bars(own.size * w, cell) for w in (np.ones(len(weights)), weights, least))
    low, high = interval(value, grid.to_bars(amount_variance(own, weights, which), placed.cell), seen, level)
    full = (np.minimum(blocks.shown, blocks.seconds) >= blocks.seconds).astype(np.float64)
    saturated = grid.to_bars(full, placed.cell) > 0.0
    return seen, value, np.where(saturated, np.maximum(bound, seen), low), np.where(saturated, np.inf, high)
