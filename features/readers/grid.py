"""The bar grid of a market folder: its step, the order of rows on it, and the gaps they leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...riskcore.arrays import FloatArray, IntArray, TimeArray
from ...riskcore.errors import InputError
from .schemas import SourceTable


@dataclass(frozen=True)
class BarGrid:
    """Equally spaced bar opens: `bars` of them from `start`, `step` apart (nanoseconds since 1970 and nanoseconds)."""

    start: int
    step: int
    bars: int

    @property
    def times(self) -> TimeArray:
        """Bar opens, datetime64[ns]."""
        opens: TimeArray = (self.start + self.step * np.arange(self.bars, dtype=np.int64)).view("datetime64[ns]")
        return opens

    def bar_of(self, stamps: IntArray) -> IntArray:
        """The bar each instant falls in; below 0 or from `bars` on where it lies outside the grid."""
        bars: IntArray = (stamps - self.start) // self.step
        return bars


def nanoseconds(table: SourceTable) -> IntArray:
    """Timestamps of a table as nanoseconds since 1970, in file order."""
    stamps: IntArray = table.frame["timestamp"].dt.tz_localize(None).to_numpy("datetime64[ns]").view(np.int64)
    return stamps


def require_order(table: SourceTable, stamps: IntArray) -> tuple[IntArray, IntArray]:
    """Check that each symbol's timestamps rise; return rows symbol by symbol, and their steps in time.

    Returns
    -------
    rows, steps
        Row positions grouped by symbol in the order of the file, and for each the time since the row before it of
        the same symbol, 0 for the first one.

    Raises
    ------
    InputError
        The same timestamp and symbol twice, or a timestamp before the one above it.
    """
    codes, _ = pd.factorize(table.frame["symbol"], sort=True)
    rows = np.argsort(codes, kind="stable")
    steps = np.diff(stamps[rows], prepend=stamps[rows[0]])
    first = np.diff(codes[rows], prepend=-1) != 0
    steps[first] = 0
    wrong = ~first & (steps <= 0)
    if wrong.any():
        twice = np.flatnonzero(table.frame.duplicated(["timestamp", "symbol"]))
        row = int(twice[0] if len(twice) else rows[wrong].min())
        problem = "timestamp and symbol stand there twice" if len(twice) else "timestamps of a symbol must rise"
        value = str(table.frame["timestamp"].iloc[row])
        raise InputError(problem, file=table.file, row=row, column="timestamp", value=value)
    return rows, steps


def grid_of(table: SourceTable) -> BarGrid:
    """The grid the bars of a table stand on: the commonest spacing, from the first bar to the last.

    Raises
    ------
    InputError
        Rows out of order, fewer than two bars of any symbol, or a bar that opens between the grid's.
    """
    stamps = nanoseconds(table)
    _, steps = require_order(table, stamps)
    step = usual_step(steps)
    if step == 0:
        raise InputError("needs two bars of a symbol to know their length", file=table.file, column="timestamp")
    phases, counts = np.unique(stamps % step, return_counts=True)
    phase = int(phases[counts.argmax()])
    inside = stamps[stamps % step == phase]
    grid = BarGrid(int(inside.min()), step, int((inside.max() - inside.min()) // step) + 1)
    require_on_grid(table, stamps, grid)
    return grid


def usual_step(steps: IntArray) -> int:
    """The commonest positive step, the shorter of equals; 0 where there is none.

    Examples
    --------
    >>> usual_step(np.array([0, 60, 60, 120, 0, 60]))
    60
    """
    values, counts = np.unique(steps[steps > 0], return_counts=True)
    return int(values[counts.argmax()]) if len(values) else 0


def require_on_grid(table: SourceTable, stamps: IntArray, grid: BarGrid) -> None:
    """Raise InputError for the first bar that does not open on the grid."""
    off = (stamps - grid.start) % grid.step != 0
    if off.any():
        row = int(np.flatnonzero(off)[0])
        minutes = grid.step / 60e9
        value = str(table.frame["timestamp"].iloc[row])
        problem = f"is off the grid of {minutes:g} min bars"
        raise InputError(problem, file=table.file, row=row, column="timestamp", value=value)


def require_no_long_gap(table: SourceTable, rows: IntArray, steps: IntArray, step: int, max_gap: int) -> None:
    """Raise InputError for the first row before which more than `max_gap` bars of its symbol are missing."""
    missing = np.maximum(steps // step - 1, 0)
    long = missing > max_gap
    if long.any():
        place = int(np.flatnonzero(long)[rows[long].argmin()])
        row = int(rows[place])
        symbol = table.frame["symbol"].iloc[row]
        problem = f"{int(missing[place])} bars of {symbol} are missing before this row, more than {max_gap}"
        value = str(table.frame["timestamp"].iloc[row])
        raise InputError(problem, file=table.file, row=row, column="timestamp", value=value)


def placed(values: FloatArray, bars: IntArray, columns: IntArray, shape: tuple[int, int]) -> FloatArray:
    """Lay values out by bar and column; NaN where there is none. What lies outside (or column -1) is left out.

    Where two values fall on the same place the later one stays.

    Examples
    --------
    >>> placed(np.array([5.0, 6.0]), np.array([0, 2]), np.array([1, 0]), (3, 2)).tolist()
    [[nan, 5.0], [nan, nan], [6.0, nan]]
    """
    out = np.full(shape, np.nan)
    inside = (bars >= 0) & (bars < shape[0]) & (columns >= 0)
    out[bars[inside], columns[inside]] = values[inside]
    return out
