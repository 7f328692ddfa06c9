"""Counting what is wrong with a table that can still be read: gaps, bad bars, stale marks, coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...riskcore.arrays import BoolArray, FloatArray, IntArray, TimeArray
from .grid import BarGrid, nanoseconds
from .report import SymbolReport, TableReport, count_of
from .schemas import SourceTable, required_columns

STALE_RUN = 3
"""A mark that stands still for this many bars while last prices move is stale."""
FAR = 0.1
"""A mark this far outside of the bar's last prices is doubted; on five coins of Binance since 2020 .03 was the most."""


def table_report(
    table: SourceTable,
    grid: BarGrid,
    order: tuple[IntArray, IntArray],
    step: int,
    *,
    stale: IntArray | None = None,
    notes: Sequence[str] = (),
) -> TableReport:
    """Count per symbol what a table lacks.

    Parameters
    ----------
    table
        The table.
    grid
        The folder's bars.
    order
        Rows grouped by symbol and their steps, of `require_order`.
    step
        Usual spacing of the rows of a symbol, ns; 0 where there is none.
    stale
        Stale bars of each symbol, symbols in alphabetical order.
    notes
        What else has to be said of the table.
    """
    rows, steps = order
    stamps, bad = nanoseconds(table), _bad_bars(table)
    codes, names = pd.factorize(table.frame["symbol"], sort=True)
    bounds = np.searchsorted(codes[rows], np.arange(len(names) + 1))
    inside = (stamps >= grid.start) & (stamps < grid.start + grid.bars * grid.step)
    span = grid.bars * (grid.step / step) if step else np.inf
    symbols = []
    for code, name in enumerate(names):
        part = slice(bounds[code], bounds[code + 1])
        own = rows[part]
        missing = np.maximum(steps[part] // step - 1, 0) if step else np.zeros(len(own), np.int64)
        symbols.append(
            SymbolReport(
                symbol=str(name),
                rows=len(own),
                first=_iso(stamps[own[0]]),
                last=_iso(stamps[own[-1]]),
                gaps=int((missing > 0).sum()),
                missing_bars=int(missing.sum()),
                longest_gap=int(missing.max()),
                bad_bars=int(bad[own].sum()),
                stale_bars=0 if stale is None else int(stale[code]),
                coverage=min(1.0, float(inside[own].sum() / span)),
            )
        )
    outside = len(stamps) - int(inside.sum())
    trimmed = [f"{outside} of {len(stamps)} rows lie outside the bars of perp and are left out"] if outside else []
    all_notes = (*table.notes, *trimmed, *notes)
    return TableReport(table.name, table.file, table.sha256, len(stamps), tuple(symbols), all_notes)


def stale_bars(mark: dict[str, FloatArray], last: FloatArray) -> IntArray:
    """Bars in which the mark stood still for at least `STALE_RUN` bars while the last price moved, per column.

    Parameters
    ----------
    mark
        Columns high, low and close of the mark, each (T, n).
    last
        Closes of the last-price bars, (T, n).

    Examples
    --------
    >>> still, moving = np.array([[5.0], [5.0], [5.0], [5.0], [6.0]]), np.arange(1.0, 6.0)[:, None]
    >>> stale_bars({"high": still, "low": still, "close": still}, moving).tolist()
    [3]
    """
    before = np.vstack([np.full((1, last.shape[1]), np.nan), mark["close"][:-1]])
    still = (mark["high"] == mark["low"]) & (mark["close"] == before)
    moved = np.vstack([np.zeros((1, last.shape[1]), np.bool_), last[1:] != last[:-1]])
    counts: IntArray = _long_runs(still & moved).sum(axis=0, dtype=np.int64)
    return counts


def far_marks(
    mark: Mapping[str, FloatArray], last: Mapping[str, FloatArray], opens: TimeArray, symbols: Sequence[str]
) -> list[str]:
    """A sentence for each symbol whose mark left the range of last prices by more than `FAR`, naming the worst bar.

    Parameters
    ----------
    mark, last
        Columns high and low, each (T, n).
    opens, symbols
        Opens of the bars and names of the columns.

    Examples
    --------
    >>> prices = {"high": np.array([[101.0], [102.0]]), "low": np.array([[99.0], [100.0]])}
    >>> wrong = prices | {"low": np.array([[99.0], [10.0]])}
    >>> hours = np.array(["2024-01-01T00", "2024-01-01T01"], "datetime64[ns]")
    >>> far_marks(wrong, prices, hours, ("BTC",))
    ['BTC: the mark is more than 10% outside of last prices in 1 bar, most at 2024-01-01T01:00:00 (low 10, last 100)']
    """
    said = []
    below, above = np.log(last["low"] / mark["low"]), np.log(mark["high"] / last["high"])
    beyond = np.nan_to_num(np.fmax(below, above))
    for column, symbol in enumerate(symbols):
        count, worst = int((beyond[:, column] > np.log1p(FAR)).sum()), int(beyond[:, column].argmax())
        if count:
            side = "low" if beyond[worst, column] == below[worst, column] else "high"
            opened = np.datetime_as_string(opens[worst], unit="s")
            worst_bar = f"{opened} ({side} {mark[side][worst, column]:g}, last {last[side][worst, column]:g})"
            outside = f"more than {FAR:.0%} outside of last prices in {count_of(count, 'bar')}"
            said.append(f"{symbol}: the mark is {outside}, most at {worst_bar}")
    return said


def _long_runs(flags: BoolArray) -> BoolArray:
    edges = np.diff(np.pad(flags.astype(np.int8), ((1, 1), (0, 0))), axis=0)
    out = np.zeros_like(flags)
    for column in range(flags.shape[1]):
        starts, ends = np.flatnonzero(edges[:, column] == 1), np.flatnonzero(edges[:, column] == -1)
        for start, end in zip(starts, ends, strict=True):
            out[start:end, column] = end - start >= STALE_RUN
    return out


def _bad_bars(table: SourceTable) -> BoolArray:
    frame = table.frame
    if "high" not in required_columns(table.name):
        return np.zeros(len(frame), np.bool_)
    opened, high, low = (frame[c].to_numpy(np.float64) for c in ("open", "high", "low"))
    outside: BoolArray = (opened > high) | (opened < low)
    return outside


def _iso(stamp: int) -> str:
    return str(np.datetime64(int(stamp), "ns").astype("datetime64[s]"))
