"""How the rows of each table of a market become columns of a block of bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from ...riskcore.arrays import BoolArray, FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.external import PREFIX
from ..liquidity.book_depth import book_depth
from .grid import BarGrid, placed
from .layout import PRICES, coin_of
from .liquidation_bars import NEEDED, LiquidationFeed, liquidation_bars
from .schemas import SourceTable
from .snapshots import require_cumulative
from .time_merge import stamps_of

Columns = dict[str, FloatArray]
Layer = Callable[[pd.DataFrame, BarGrid, Mapping[str, FloatArray]], Columns]
"""Lays the rows of a block out on its bars; it may look at the columns that were laid before."""
TRADED = ("volume", "taker_buy_volume", "trades")


def last_prices(symbols: tuple[str, ...]) -> Layer:
    """Last prices and what was traded; until there are marks, marks are last prices."""

    def layer(rows: pd.DataFrame, block: BarGrid, before: Mapping[str, FloatArray]) -> Columns:
        laid = _laid(rows, block, symbols, (*PRICES, *(column for column in TRADED if column in rows)))
        return laid | {f"last_{column}": laid[column] for column in PRICES}

    return layer


def marks(symbols: tuple[str, ...], listed: BoolArray, marked: BoolArray) -> Layer:
    """Marks of the symbols that have one on the bars (`marked`); mark_close of all that the table lists (`listed`)."""

    def layer(rows: pd.DataFrame, block: BarGrid, before: Mapping[str, FloatArray]) -> Columns:
        laid = _laid(rows, block, symbols, PRICES)
        out = {column: np.where(marked, laid[column], before[column]) for column in PRICES}
        return out | {"mark_close": np.where(listed, out["close"], np.nan)}

    return layer


def spot_closes(symbols: tuple[str, ...], base: str) -> Layer:
    """Closes of the coins' spot markets against the base asset."""

    def layer(rows: pd.DataFrame, block: BarGrid, before: Mapping[str, FloatArray]) -> Columns:
        coins = {name: coin_of(name, symbols, base) or name for name in rows["symbol"].unique()}
        named = rows.assign(symbol=rows["symbol"].map(coins))
        return {"spot_close": _laid(named, block, symbols, ("close",))["close"]}

    return layer


def events(symbols: tuple[str, ...], column: str, *, add: bool) -> Layer:
    """What happened within each bar: the sum (`add`) or the latest."""

    def layer(rows: pd.DataFrame, block: BarGrid, before: Mapping[str, FloatArray]) -> Columns:
        bars, places, values = block.bar_of(stamps_of(rows)), _places(rows, symbols), rows[column].to_numpy(np.float64)
        laid = placed(values, bars, places, (block.bars, len(symbols)))
        if add:
            inside = (bars >= 0) & (bars < block.bars) & (places >= 0)
            laid[bars[inside], places[inside]] = 0.0
            np.add.at(laid, (bars[inside], places[inside]), values[inside])
        return {column: laid}

    return layer


def depth_bands(symbols: tuple[str, ...], levels: FloatArray, file: str) -> Layer:
    """Last snapshot of each bar (both sides of one instant), at the levels that the whole table has."""

    def layer(rows: pd.DataFrame, block: BarGrid, before: Mapping[str, FloatArray]) -> Columns:
        if len(rows):
            try:
                require_cumulative(SourceTable("depth", file, "", rows.reset_index(drop=True)), stamps_of(rows))
            except InputError as failure:
                raise _at_row(failure, rows) from None
        book = book_depth(rows, block.times, np.timedelta64(block.step, "ns"), symbols)
        sides = {"bid": book.bid, "ask": book.ask}
        missing = np.full((block.bars, len(symbols)), np.nan)
        found = {level: place for place, level in enumerate(book.levels.tolist())}
        return {
            f"{side}_{level:g}bps": values[:, :, found[level]] if level in found else missing
            for side, values in sides.items()
            for level in levels.tolist()
        }

    return layer


def liquidations(symbols: tuple[str, ...], feed: LiquidationFeed) -> Layer:
    """Reported liquidations, where the table has amounts."""

    def layer(rows: pd.DataFrame, block: BarGrid, before: Mapping[str, FloatArray]) -> Columns:
        if not set(NEEDED) <= set(rows):
            return {}
        return liquidation_bars(rows, feed, block, symbols, before["last_close"])

    return layer


def external_series(symbols: tuple[str, ...], name: str) -> Layer:
    """A series as known at the close of each bar; it remembers the last value from block to block."""
    last = np.full(len(symbols), np.nan)

    def layer(rows: pd.DataFrame, block: BarGrid, before: Mapping[str, FloatArray]) -> Columns:
        # A value of the instant a bar closes is known at that close: it counts to the bar before the next one's open.
        bars = block.bar_of(stamps_of(rows) - 1).clip(min=0)
        values = rows["value"].to_numpy(np.float64)
        if "symbol" in rows:
            laid = placed(values, bars, _places(rows, symbols), (block.bars, len(symbols)))
        else:
            laid = np.repeat(placed(values, bars, np.zeros(len(rows), np.int64), (block.bars, 1)), len(symbols), axis=1)
        laid[0] = np.where(np.isnan(laid[0]), last, laid[0])
        latest = np.maximum.accumulate(np.where(np.isnan(laid), 0, np.arange(block.bars)[:, None]), axis=0)
        filled = np.take_along_axis(laid, latest, axis=0)
        last[:] = filled[-1]
        return {PREFIX + name: filled}

    return layer


def _laid(rows: pd.DataFrame, block: BarGrid, symbols: tuple[str, ...], columns: tuple[str, ...]) -> Columns:
    bars, places = block.bar_of(stamps_of(rows)), _places(rows, symbols)
    shape = (block.bars, len(symbols))
    return {column: placed(rows[column].to_numpy(np.float64), bars, places, shape) for column in columns}


def _places(rows: pd.DataFrame, symbols: tuple[str, ...]) -> IntArray:
    place = {symbol: i for i, symbol in enumerate(symbols)}
    return np.asarray(rows["symbol"].map(place).fillna(-1), np.int64)


def _at_row(failure: InputError, frame: pd.DataFrame) -> InputError:
    """The same error with the row position in `frame` replaced by the frame's index there."""
    row = None if failure.row is None else int(frame.index[int(str(failure.row))])
    return InputError(failure.problem, file=failure.file, row=row, column=failure.column, value=failure.value)
