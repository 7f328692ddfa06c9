"""Laying the tables of a market folder out on its bars, one column a symbol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...riskcore.arrays import FloatArray, IntArray
from .grid import BarGrid, nanoseconds, placed, require_no_long_gap, require_on_grid, require_order, usual_step
from .report import TableReport
from .schemas import SourceTable
from .survey import far_marks, stale_bars, table_report

PRICES = ("open", "high", "low", "close")
SEPARATORS = ("_", "/", "-", "")


@dataclass(frozen=True)
class LaidTable:
    """A table's numbers on the grid, each column of shape (T, n), and its report."""

    columns: Mapping[str, FloatArray]
    report: TableReport


def lay_bars(
    table: SourceTable,
    grid: BarGrid,
    symbols: Sequence[str],
    columns: Sequence[str],
    max_gap: int,
    last: Mapping[str, FloatArray] | None = None,
) -> LaidTable:
    """Bars of perp, mark or spot on the grid.

    Parameters
    ----------
    table
        The table.
    grid
        The folder's bars.
    symbols
        Columns of the result; a symbol of the table that is none of them is left out and said.
    columns
        Numbers to lay out.
    max_gap
        Longest run of missing bars of a symbol.
    last
        The last-price bars, each column (T, n), against which a mark is held: does it stand still, is it far off.

    Raises
    ------
    InputError
        Rows out of order or off the grid, a gap longer than `max_gap`.
    """
    stamps = nanoseconds(table)
    order = require_order(table, stamps)
    require_on_grid(table, stamps, grid)
    require_no_long_gap(table, *order, grid.step, max_gap)
    places, notes = _places(table, symbols)
    bars, shape = grid.bar_of(stamps), (grid.bars, len(symbols))
    laid = {c: placed(table.frame[c].to_numpy(np.float64), bars, places, shape) for c in columns}
    stale = None
    if last is not None:
        stale = _per_name(stale_bars(laid, last["close"]), table, symbols)
        notes = (*notes, *far_marks(laid, last, grid.times, symbols))
    return LaidTable(laid, table_report(table, grid, order, grid.step, stale=stale, notes=notes))


def lay_events(table: SourceTable, grid: BarGrid, symbols: Sequence[str], column: str, *, add: bool) -> LaidTable:
    """What happened at instants (funding charged, open interest reported), by the bar that was open then.

    Where several fall in one bar they add up (`add`) or the latest counts.

    Raises
    ------
    InputError
        Rows out of order.
    """
    stamps = nanoseconds(table)
    order = require_order(table, stamps)
    places, notes = _places(table, symbols)
    bars, values = grid.bar_of(stamps), table.frame[column].to_numpy(np.float64)
    laid = placed(values, bars, places, (grid.bars, len(symbols)))
    if add:
        inside = (bars >= 0) & (bars < grid.bars) & (places >= 0)
        laid[bars[inside], places[inside]] = 0.0
        np.add.at(laid, (bars[inside], places[inside]), values[inside])
    notes += _off_open(stamps, grid)
    report = table_report(table, grid, order, max(usual_step(order[1]), grid.step), notes=notes)
    return LaidTable({column: laid}, report)


def coin_of(symbol: str, coins: Sequence[str], base: str) -> str | None:
    """The coin a spot market trades against the base asset, None where it is none of `coins`.

    Examples
    --------
    >>> coin_of("BTC_USDT", ["BTC", "ETH"], "USDT"), coin_of("BTC_EUR", ["BTC"], "USDT")
    ('BTC', None)
    """
    if symbol in coins:
        return symbol
    ends = (f"{separator}{base}" for separator in SEPARATORS)
    stems = (symbol.removesuffix(end) for end in ends if symbol.endswith(end))
    return next((stem for stem in stems if stem in coins), None)


def named_by_coin(table: SourceTable, coins: Sequence[str], base: str) -> SourceTable:
    """The spot table with its markets named by coin where they trade one of `coins` against the base asset."""
    names = {name: coin_of(name, coins, base) or name for name in table.frame["symbol"].unique()}
    frame = table.frame.assign(symbol=table.frame["symbol"].map(names))
    return SourceTable(table.name, table.file, table.sha256, frame, table.notes)


def against_base(table: SourceTable, coins: Sequence[str], base: str) -> SourceTable:
    """The rows of spot markets against the base asset, named by coin, whether a perpetual of theirs is there or not.

    A name without a quote counts if it is one of `coins`; other quotes are left out.
    """
    names = {str(name): _against(str(name), coins, base) for name in table.frame["symbol"].unique()}
    named = table.frame.assign(symbol=table.frame["symbol"].map(names))
    frame = named[named["symbol"].notna()].reset_index(drop=True)
    return SourceTable(table.name, table.file, table.sha256, frame, table.notes)


def _against(name: str, coins: Sequence[str], base: str) -> str | None:
    ends = [f"{separator}{base}" for separator in SEPARATORS]
    stem = next((name.removesuffix(end) for end in ends if name.endswith(end)), name if name in coins else "")
    return None if not stem or any(mark in stem for mark in SEPARATORS[:-1]) else stem


def _places(table: SourceTable, symbols: Sequence[str]) -> tuple[IntArray, tuple[str, ...]]:
    codes, names = pd.factorize(table.frame["symbol"], sort=True)
    place = {symbol: i for i, symbol in enumerate(symbols)}
    columns = np.array([place.get(name, -1) for name in names], np.int64)
    unused = [str(name) for name in names if name not in place]
    notes = (f"not among the perpetuals, left out: {', '.join(unused)}",) if unused else ()
    return columns[codes], notes


def _per_name(counts: IntArray, table: SourceTable, symbols: Sequence[str]) -> IntArray:
    of_symbol = dict(zip(symbols, counts.tolist(), strict=True))
    return np.array([of_symbol.get(name, 0) for name in sorted(table.frame["symbol"].unique())], np.int64)


def _off_open(stamps: IntArray, grid: BarGrid) -> tuple[str, ...]:
    offsets = (stamps - grid.start) % grid.step
    late = int((offsets > 0).sum())
    if not late:
        return ()
    return (
        f"{late} rows are not at a bar's open (up to {offsets.max() / 1e9:g} s after): counted to the bar open then",
    )
