"""What features are fed: bars of every instrument as named columns, whole or one bar at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray, TimeArray, frozen
from ...riskcore.errors import InputError

COLUMNS: dict[str, str] = {
    "open": "open of the mark, quote units (last price where there is no mark)",
    "high": "high of the mark, quote units",
    "low": "low of the mark, quote units",
    "close": "close of the mark, quote units",
    "mark_close": "close of the mark; NaN where there is no mark",
    "last_open": "first traded price, quote units",
    "last_high": "highest traded price, quote units",
    "last_low": "lowest traded price, quote units",
    "last_close": "last traded price, quote units",
    "volume": "traded, coins",
    "taker_buy_volume": "bought by takers, coins",
    "trades": "number of trades",
    "funding_rate": "funding charged within the bar, fraction of notional; NaN where none was charged",
    "open_interest": "open interest last reported within the bar, coins; NaN where none was reported",
    "spot_close": "close of the coin's spot market, quote units",
    "liquidated_long": "reported liquidations of longs within the bar, quote units; 0 in a bar without a report",
    "liquidated_short": "reported liquidations of shorts within the bar, quote units; 0 in a bar without a report",
    "liquidation_events": "reported liquidations within the bar, count; 0 in a bar without a report",
}
"""Columns of bars and their units. Besides these: bid_LEVELbps and ask_LEVELbps (quote units resting within LEVEL basis
points of the mid, last snapshot of the bar), and series of one's own joined as of the bar's close (see `external`)."""


def nanoseconds(length: np.timedelta64, column: str = "step") -> int:
    """A positive length of time in nanoseconds; InputError naming `column` where it is none, or one of calendar units.

    Examples
    --------
    >>> nanoseconds(np.timedelta64(2, "us"))
    2000
    """
    if np.datetime_data(length.dtype)[0] in ("Y", "M", "generic") or not length > np.timedelta64(0, "ns"):
        raise InputError(
            "must be a positive length of time in weeks or smaller units", column=column, value=str(length)
        )
    return int(length.astype("timedelta64[ns]").astype(np.int64))


def require_symbols(symbols: tuple[str, ...]) -> None:
    """Raise InputError where there is no instrument, or one twice."""
    if not symbols:
        raise InputError("needs an instrument", column="symbols")
    twice = [name for name in symbols if symbols.count(name) > 1]
    if twice:
        raise InputError("stands there twice", column="symbols", value=twice[0])


class ColumnMatrix(Mapping[str, FloatArray]):
    """Columns of one bar as rows of one matrix: what a stream keeps, so that a bar costs no copy a column.

    Parameters
    ----------
    names
        Columns, in the order of the matrix's rows.
    matrix
        Shape (len(names), n_symbols).

    Examples
    --------
    >>> ColumnMatrix(("high", "low"), np.array([[3.0], [1.0]]))["low"].tolist()
    [1.0]
    """

    def __init__(self, names: tuple[str, ...], matrix: FloatArray) -> None:
        self.names, self.matrix = names, matrix
        self._places = {name: place for place, name in enumerate(names)}
        self._orders: dict[tuple[str, ...], IntArray] = {}

    def __getitem__(self, column: str) -> FloatArray:
        values: FloatArray = self.matrix[self._places[column]]
        return values

    def __contains__(self, column: object) -> bool:
        return column in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, names: tuple[str, ...]) -> FloatArray:
        """Some columns, in this order, as a matrix."""
        if names not in self._orders:
            self._orders[names] = np.array([self._places[name] for name in names], np.int64)
        return self.matrix[self._orders[names]]


@dataclass(frozen=True)
class BarRow:
    """One closed bar of every instrument.

    Parameters
    ----------
    opened, closed
        Open and close of the bar, UTC. What is computed from the row is known at `closed`, not before.
    values
        Columns by name, each of shape (n_symbols,); NaN where the bar has none.
    """

    opened: np.datetime64
    closed: np.datetime64
    values: Mapping[str, FloatArray]

    def __getitem__(self, column: str) -> FloatArray:
        return self.values[column]


@dataclass(frozen=True)
class BarTable:
    """Bars 0 .. T - 1 of every instrument.

    Parameters
    ----------
    times
        Opens, datetime64[ns], UTC, equally spaced, shape (T,).
    step
        Length of a bar.
    symbols
        Instruments, the columns' second axis.
    columns
        Names as in `COLUMNS`, each (T, n_symbols) float64 and C-contiguous; NaN where the bar has none.

    Raises
    ------
    InputError
        A column of another shape, opens that are not `step` apart, a step that is not positive, no symbol or one
        twice.

    Examples
    --------
    >>> times = np.array(["2024-01-01T00", "2024-01-01T01"], "datetime64[ns]")
    >>> table = BarTable(times, np.timedelta64(1, "h"), ("BTC",), {"close": np.array([[100.0], [110.0]])})
    >>> float(table.row(1)["close"][0]), str(table.row(1).closed)[:16], table.bar_hours
    (110.0, '2024-01-01T02:00', 1.0)
    """

    times: TimeArray
    step: np.timedelta64
    symbols: tuple[str, ...]
    columns: Mapping[str, FloatArray]

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", frozen(self.times, "datetime64[ns]"))
        object.__setattr__(self, "symbols", tuple(self.symbols))
        nanoseconds(self.step)
        require_symbols(self.symbols)
        columns = {name: np.ascontiguousarray(values, np.float64) for name, values in self.columns.items()}
        object.__setattr__(self, "columns", MappingProxyType(columns))
        for name, values in columns.items():
            if values.shape != (len(self.times), len(self.symbols)):
                expected = (len(self.times), len(self.symbols))
                raise InputError(f"has shape {values.shape}, expected {expected}", column=name)
        uneven = np.flatnonzero(np.diff(self.times) != self.step)
        if len(uneven):
            row = int(uneven[0]) + 1
            raise InputError(f"bars must be {self.step} apart", row=row, column="times", value=str(self.times[row]))

    def __len__(self) -> int:
        return len(self.times)

    @property
    def bar_hours(self) -> float:
        """Length of a bar in hours."""
        return float(self.step / np.timedelta64(1, "h"))

    def part(self, first: int, last: int) -> BarTable:
        """Bars first .. last - 1 as a table of their own."""
        columns = {name: values[first:last] for name, values in self.columns.items()}
        return BarTable(self.times[first:last], self.step, self.symbols, columns)

    def row(self, bar: int) -> BarRow:
        """Bar `bar` as a stream would bring it."""
        opened = self.times[bar]
        return BarRow(opened, opened + self.step, {name: values[bar] for name, values in self.columns.items()})
