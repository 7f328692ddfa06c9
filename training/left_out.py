"""A market as if nothing had been recorded over a span of time: for models that must not have seen it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ..features.market_data import MarketData
from ..features.readers.series import SeriesTable
from ..riskcore.arrays import BoolArray, FloatArray
from ..riskcore.errors import InputError

OPTIONAL = ("funding_rate", "open_interest", "spot_close")


def market_without(data: MarketData, first: np.datetime64, last: np.datetime64) -> MarketData:
    """The market with a gap from `first` on and before `last`: every bar that overlaps it, every row that falls in it.

    Models fitted on it meet an ordinary gap and cannot know what happened there: no scale, path or account of the gap
    is learned from; labels that would reach into it are not known; windows that reach back into it, up to 30 days
    after it, are not complete. Spot markets have the same gap. Funding of the gap is 0, as nobody holds anything there.

    Raises
    ------
    InputError
        A span that is empty or meets no bar.
    """
    history = data.history
    gap = (history.times + history.step > first) & (history.times < last)
    if not gap.any():
        raise InputError("leaves out no bar of the market", column="span", value=f"{first} to {last}")
    prices: dict[str, Any] = {name: _blank(getattr(history, name), gap) for name in ("open", "high", "low", "close")}
    funding = np.where(gap[:, None], 0.0, history.funding)
    there = {name: getattr(data, name) for name in OPTIONAL}
    optional: dict[str, Any] = {name: _blank(values, gap) for name, values in there.items() if values is not None}
    return replace(
        data,
        history=replace(history, **prices, funding=funding),
        trade={name: _blank(values, gap) for name, values in data.trade.items()},
        depth=_rows_without(data.depth, first, last),
        liquidations=_rows_without(data.liquidations, first, last),
        series={name: _series_without(table, first, last) for name, table in data.series.items()},
        spot_market=_spot_without(data.spot_market, first, last),
        **optional,
    )


def _blank(values: FloatArray, gap: BoolArray) -> FloatArray:
    return np.where(gap[:, None], np.nan, values)


def _rows_without(table: pd.DataFrame | None, first: np.datetime64, last: np.datetime64) -> pd.DataFrame | None:
    if table is None:
        return None
    when = table["timestamp"].dt.tz_localize(None).to_numpy()
    kept: pd.DataFrame = table[(when < first) | (when >= last)].reset_index(drop=True)
    return kept


def _series_without(table: SeriesTable, first: np.datetime64, last: np.datetime64) -> SeriesTable:
    kept = (table.times < first) | (table.times >= last)
    symbols = None if table.symbols is None else table.symbols[kept]
    return SeriesTable(table.name, table.times[kept], table.values[kept], symbols)


def _spot_without(spot: MarketData | None, first: np.datetime64, last: np.datetime64) -> MarketData | None:
    """The spot market with the same gap; as it is where its bars do not reach the gap."""
    if spot is None or spot.times[0] >= last or spot.times[-1] + spot.history.step <= first:
        return spot
    return market_without(spot, first, last)
