"""Messages of an order book laid out as columns for the kernel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ..readers.book_feed_events import BookUpdate
from .book_kernel import NOWHERE, Messages
from .price_grid import PriceGrid


def prices_of(updates: Sequence[BookUpdate]) -> FloatArray:
    """All prices of some messages, bids before asks, in order."""
    return np.concatenate([side[:, 0] for update in updates for side in (update.bids, update.asks)])


def laid_out(updates: Sequence[BookUpdate], ticks: IntArray) -> Messages:
    """Columns of some messages whose prices (see `prices_of`) are these ticks."""
    lengths = np.array([[len(update.bids), len(update.asks)] for update in updates], np.int64).reshape(-1)
    ends = np.cumsum(lengths).reshape(-1, 2)
    starts = np.concatenate(([0], ends[:-1, 1]))
    signs = np.repeat(np.tile(np.array([1, -1]), len(updates)), lengths)
    return Messages(
        np.array([update.kind == "snapshot" for update in updates], np.bool_),
        np.array([(u.first, u.last, u.previous, u.engine_sequence) for u in updates], np.int64),
        np.array([(u.exchange_time, u.receipt_time, u.seen) for u in updates], np.int64),
        np.column_stack((starts, ends)),
        ticks * signs,
        np.concatenate([side[:, 1] for update in updates for side in (update.bids, update.asks)]),
    )


def no_messages() -> Messages:
    """Columns without a row."""
    ids, times, bounds = (np.zeros((0, width), np.int64) for width in (4, 3, 3))
    return Messages(np.zeros(0, np.bool_), ids, times, bounds, np.zeros(0, np.int64), np.zeros(0))


def joined(parts: Sequence[Messages]) -> Messages:
    """Messages one after the other."""
    if len(parts) == 1:
        return parts[0]
    shifts = np.cumsum([0] + [len(part.keys) for part in parts[:-1]])
    bounds = [part.bounds + shift for part, shift in zip(parts, shifts, strict=True)]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Messages._fields}
    return Messages(**columns | {"bounds": np.concatenate(bounds)})


def tail(messages: Messages, first: int) -> Messages:
    """The messages from a row on, as a copy that holds on to no others."""
    if first >= len(messages.snapshot):
        return no_messages()
    level = messages.bounds[first, 0]
    rows = {name: getattr(messages, name)[first:].copy() for name in ("snapshot", "ids", "times")}
    levels = {name: getattr(messages, name)[level:].copy() for name in ("keys", "sizes")}
    return Messages(bounds=messages.bounds[first:] - level, **rows, **levels)


def finer(keys: IntArray, factor: int) -> None:
    """Bring keys to a grid with `factor` ticks to one of theirs, in place; an edge that is nowhere stays."""
    keys *= np.where(keys == NOWHERE, 1, factor)


def grid_for(grid: PriceGrid | None, prices: FloatArray) -> PriceGrid | None:
    """The grid of a book after some prices: a given one as it is, else the coarsest that holds all so far."""
    if len(prices) == 0 or (grid is not None and (grid.given or grid.holds(prices))):
        return grid
    return PriceGrid.of_prices(prices) if grid is None else grid.refined(prices)
