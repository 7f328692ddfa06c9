"""The cost of liquidating a size, from the order-book depth of a market folder."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..models.liquidation_cost import execution_cost
from ..riskcore.rulebook import RateSchedule

DEPTH_DAYS = 30
BOOK_SIDE = {"long": "bid", "short": "ask"}


def size_to_liquidate(schedule: RateSchedule, notional: float | None) -> float | None:
    """The notional asked for, else the largest position of the first tier; None where that has no bound."""
    if notional is not None:
        return notional
    bound = float(schedule.floors[1]) if len(schedule.floors) > 1 else float(schedule.limit)
    return bound if np.isfinite(bound) else None


def liquidation_cost(
    depth: pd.DataFrame | None, symbol: str, side: str, size: float | None, end: np.datetime64
) -> float | None:
    """Median cost over the depth snapshots of the last 30 days before `end`, fraction of notional.

    None without a depth table, without snapshots then, or where the book is usually not deep enough for the size.

    Parameters
    ----------
    depth
        Columns timestamp, symbol, side, level_bps, notional: what rests within that distance of the mid.
    symbol, side
        Instrument, and whether its longs are liquidated into the bids or its shorts into the asks.
    size
        Quote units to be liquidated.
    end
        As-of time: later snapshots are not looked at.
    """
    if depth is None or size is None:
        return None
    last = pd.Timestamp(end, tz="UTC")
    seen = (depth["timestamp"] <= last) & (depth["timestamp"] > last - pd.Timedelta(days=DEPTH_DAYS))
    book = depth[seen & (depth["symbol"] == symbol) & (depth["side"] == BOOK_SIDE[side])]
    if book.empty:
        return None
    table = book.pivot(index="timestamp", columns="level_bps", values="notional").sort_index(axis="columns")
    costs = execution_cost(table.columns.to_numpy(np.float64), table.to_numpy(np.float64), size)
    deep_enough = np.isfinite(costs)
    # Too shallow counts as costlier than any cost found, so the median stands while that is the rarer case.
    return float(np.sort(np.where(deep_enough, costs, np.inf))[len(costs) // 2]) if deep_enough.mean() > 0.5 else None
