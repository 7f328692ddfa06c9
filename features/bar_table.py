"""A market as the bar columns that features read."""

from __future__ import annotations

import numpy as np

from ..riskcore.arrays import FloatArray
from .engine.bars import BarTable
from .engine.external import with_series
from .liquidity.book_depth import book_depth
from .market_data import MarketData
from .readers.grid import BarGrid
from .readers.liquidation_bars import NEEDED, liquidation_bars, liquidation_feed

PRICES = ("open", "high", "low", "close")


def bar_table(data: MarketData) -> BarTable:
    """The columns of `engine.bars.COLUMNS` that a market has; what it lacks is not among them.

    Parameters
    ----------
    data
        The market.

    Returns
    -------
    BarTable
        open, high, low, close of the mark (last prices where there is none, `data.history.source` says so); mark_close
        only for symbols that have a mark; last prices and volume; and what other tables there are. Series are joined
        as known at each bar's close, those of symbols without bars left out.
    """
    columns = {name: data.mark(name) for name in PRICES}
    columns |= {f"last_{name}": data.trade[name] for name in PRICES}
    columns |= {name: values for name, values in data.trade.items() if name not in PRICES}
    optional = {"spot_close": data.spot_close, "funding_rate": data.funding_rate, "open_interest": data.open_interest}
    columns |= {name: values for name, values in optional.items() if values is not None}
    columns |= _marked(data) | _depth(data) | _liquidations(data)
    table = BarTable(data.times, data.history.step, data.symbols, columns)
    return with_series(table, [one for series in data.series.values() for one in series.external(data.symbols)])


def _marked(data: MarketData) -> dict[str, FloatArray]:
    table = data.report.table("mark")
    if table is None:
        return {}
    marked = {one.symbol for one in table.symbols}
    has_mark = np.array([symbol in marked for symbol in data.symbols])
    return {"mark_close": np.where(has_mark, data.mark("close"), np.nan)}


def _depth(data: MarketData) -> dict[str, FloatArray]:
    if data.depth is None:
        return {}
    book = book_depth(data.depth, data.times, data.history.step, data.symbols)
    sides = {"bid": book.bid, "ask": book.ask}
    return {
        f"{side}_{level:g}bps": values[:, :, place]
        for side, values in sides.items()
        for place, level in enumerate(book.levels)
    }


def _liquidations(data: MarketData) -> dict[str, FloatArray]:
    rows = data.liquidations
    if rows is None or not set(NEEDED) <= set(rows):
        return {}
    start = int(data.times[0].astype("datetime64[ns]").astype(np.int64))
    step = int(data.history.step.astype("timedelta64[ns]").astype(np.int64))
    bars = BarGrid(start, step, len(data.times))
    return liquidation_bars(rows, liquidation_feed(rows), bars, data.symbols, data.trade["close"])
