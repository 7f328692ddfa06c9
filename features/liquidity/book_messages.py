"""Messages of an order book laid out as columns for the kernel."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ..readers.book_feed_events import UNKNOWN, BookUpdate
from .book_kernel import Messages
from .price_grid import PriceGrid

IDS = attrgetter("first", "last", "previous", "engine_sequence")
TIMES = attrgetter("exchange_time", "receipt_time")


def levels_of(updates: Sequence[BookUpdate]) -> FloatArray:
    """Price and size of all levels of some messages, bids before asks, in order."""
    return np.concatenate([side for update in updates for side in (update.bids, update.asks)])


def laid_out(updates: Sequence[BookUpdate], ticks: IntArray, sizes: FloatArray) -> Messages:
    """Columns of some messages whose levels (see `levels_of`) have these ticks and sizes."""
    lengths = np.array([len(side) for update in updates for side in (update.bids, update.asks)], np.int64)
    bounds = np.zeros((len(updates), 3), np.int64)
    bounds[:, 1:] = np.cumsum(lengths).reshape(-1, 2)
    bounds[1:, 0] = bounds[:-1, 2]
    signs = np.ones(len(lengths), np.int64)
    signs[1::2] = -1
    times = np.empty((len(updates), 3), np.int64)
    times[:, :2] = list(map(TIMES, updates))
    times[:, 2] = np.where(times[:, 1] == UNKNOWN, times[:, 0], times[:, 1])
    ids = np.array(list(map(IDS, updates)), np.int64)
    snapshot = np.array([update.kind == "snapshot" for update in updates], np.bool_)
    return Messages(snapshot, ids, times, bounds, ticks * np.repeat(signs, lengths), sizes)


def no_messages() -> Messages:
    """Columns without a row."""
    ids, times, bounds = (np.zeros((0, width), np.int64) for width in (4, 3, 3))
    return Messages(np.zeros(0, np.bool_), ids, times, bounds, np.zeros(0, np.int64), np.zeros(0))


def joined(parts: Collection[Messages]) -> Messages:
    """Messages one after the other."""
    if len(parts) == 1:
        return next(iter(parts))
    shifts = np.cumsum([0, *(len(part.keys) for part in parts)])[:-1]
    bounds = [part.bounds + shift for part, shift in zip(parts, shifts, strict=True)]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Messages._fields}
    return Messages(**columns | {"bounds": np.concatenate(bounds)})


def tail(messages: Messages, first: int) -> Messages:
    """The messages from a row on; a copy that holds on to no others, or all of them as they are."""
    if first == 0:
        return messages
    level = messages.bounds[first, 0]
    rows = {name: getattr(messages, name)[first:].copy() for name in ("snapshot", "ids", "times")}
    levels = {name: getattr(messages, name)[level:].copy() for name in ("keys", "sizes")}
    return Messages(bounds=messages.bounds[first:] - level, **rows, **levels)


def on_grid(grid: PriceGrid | None, prices: FloatArray) -> tuple[PriceGrid | None, IntArray]:
    """Ticks of some prices, and the grid they are on: a given one as it is, else the coarsest that holds all so far.

    Raises
    ------
    InputError
        A price off a given grid, or one that is no decimal.
    """
    if len(prices) == 0:
        return grid, np.zeros(0, np.int64)
    if grid is None:
        grid = PriceGrid.of_prices(prices)
        return grid, grid.ticks(prices)
    ticks, off = grid.nearest(prices)
    if not off.any():
        return grid, ticks
    if not grid.given:
        grid = grid.refined(prices)
    return grid, grid.ticks(prices)
