"""External series of a market folder: sentiment, macro, on-chain, anything with a time and a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...riskcore.arrays import FloatArray, NameArray, TimeArray, frozen
from ...riskcore.errors import InputError
from ..engine.external import ExternalSeries
from .grid import BarGrid, nanoseconds, require_order, usual_step
from .report import TableReport
from .schemas import SERIES, SourceTable
from .store_records import stored_table_names
from .survey import table_report
from .tables import SUFFIXES, read_table


@dataclass(frozen=True)
class SeriesTable:
    """Values of one quantity over time.

    Parameters
    ----------
    name
        Name of the file without its ending.
    times
        When each value became known, datetime64[ns], UTC, never falling, shape (m,).
    values
        Shape (m,), finite.
    symbols
        The symbol each value concerns, shape (m,); None where the series concerns the whole market.

    Raises
    ------
    InputError
        Columns of different lengths.
    """

    name: str
    times: TimeArray
    values: FloatArray
    symbols: NameArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", frozen(self.times, "datetime64[ns]"))
        object.__setattr__(self, "values", frozen(self.values, np.float64))
        if self.symbols is not None:
            object.__setattr__(self, "symbols", frozen(self.symbols, np.str_))
        if any(len(one) != len(self.times) for one in (self.values, self.symbols) if one is not None):
            raise InputError("columns have different lengths", file=f"{SERIES}{self.name}")

    def external(self, symbols: Iterable[str]) -> list[ExternalSeries]:
        """The series as they are joined to bars: one for the market, or one for each of `symbols` that it has.

        Examples
        --------
        >>> days = np.array(["2024-01-01", "2024-01-02"], "datetime64[ns]")
        >>> flows = SeriesTable("flows", days, np.array([5.0, 7.0]), np.array(["BTC", "ETH"]))
        >>> [(one.symbol, one.values.tolist()) for one in flows.external(["ETH", "XRP"])]
        [('ETH', [7.0])]
        """
        if self.symbols is None:
            return [ExternalSeries(self.name, self.times, self.values)]
        rows = {symbol: self.symbols == symbol for symbol in symbols}
        return [
            ExternalSeries(self.name, self.times[own], self.values[own], symbol=symbol)
            for symbol, own in rows.items()
            if own.any()
        ]


def series_names(folder: Path) -> tuple[str, ...]:
    """Names of the series of a market folder, series/NAME, in alphabetical order."""
    files = (path for path in (folder / SERIES).glob("*") if path.is_file() and path.suffix in SUFFIXES)
    stored = (name for name in stored_table_names(folder) if name.startswith(SERIES))
    return tuple(sorted({*(f"{SERIES}{path.stem}" for path in files), *stored}))


def read_series(folder: Path, grid: BarGrid) -> tuple[dict[str, SeriesTable], tuple[TableReport, ...]]:
    """Read the series of a market folder: series/NAME.parquet or .csv with timestamp, value and, on demand, symbol.

    Parameters
    ----------
    folder
        The folder, or a store.
    grid
        The folder's bars, for the report.

    Returns
    -------
    dict of str to SeriesTable, tuple of TableReport
        By name; rows before the bars are kept, for what they say still holds when the bars begin.

    Raises
    ------
    InputError
        See `read_table`; timestamps that do not rise.
    """
    series, reports = {}, []
    for name in series_names(folder):
        table = read_table(folder, name)
        if table is not None:
            stem = name.removeprefix(SERIES)
            series[stem] = _series(table, stem)
            reports.append(_report(table, grid))
    return series, tuple(reports)


def _series(table: SourceTable, name: str) -> SeriesTable:
    ordered = table.frame.sort_values("timestamp", kind="stable")
    times = ordered["timestamp"].dt.tz_localize(None).to_numpy("datetime64[ns]")
    symbols = ordered["symbol"].to_numpy(np.str_) if "symbol" in ordered else None
    return SeriesTable(name, times, ordered["value"].to_numpy(np.float64), symbols)


def _report(table: SourceTable, grid: BarGrid) -> TableReport:
    named = table if "symbol" in table.frame else replace(table, frame=table.frame.assign(symbol=""))
    order = require_order(named, nanoseconds(named))
    return replace(table_report(named, grid, order, usual_step(order[1])), notes=table.notes)
