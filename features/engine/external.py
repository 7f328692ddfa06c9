"""Series of one's own (sentiment, macro, on-chain) joined to bars as of the time they were known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...riskcore.arrays import FloatArray, TimeArray, frozen
from ...riskcore.errors import InputError
from .bars import BarTable

PREFIX = "series_"
ANY_AGE = np.timedelta64(np.iinfo(np.int64).max, "ns")


@dataclass(frozen=True)
class ExternalSeries:
    """Values of one quantity over time, for one symbol or for the whole market.

    Parameters
    ----------
    name
        The column it becomes is series_NAME.
    times
        Instants the values are of, datetime64[ns], UTC, rising, shape (m,).
    values
        Shape (m,); NaN is a value that is known to be missing.
    max_age
        A value older than this at a bar's close counts as missing; default: it holds until the next.
    lag
        How long after its instant a value is published: it is known only then.
    symbol
        The symbol it concerns; None for all.

    Raises
    ------
    InputError
        Times that do not rise or are not there, lengths that differ, an infinite value, a lag or age below zero.
    """

    name: str
    times: TimeArray
    values: FloatArray
    max_age: np.timedelta64 = ANY_AGE
    lag: np.timedelta64 = np.timedelta64(0, "ns")
    symbol: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", frozen(self.times, "datetime64[ns]"))
        object.__setattr__(self, "values", frozen(self.values, np.float64))
        if self.times.shape != self.values.shape:
            raise InputError(f"has {len(self.values)} values for {len(self.times)} times", column=self.name)
        falls = np.isnat(self.times)
        falls[1:] |= ~(np.diff(self.times) > np.timedelta64(0, "ns"))
        if falls.any():
            row = int(np.argmax(falls))
            raise InputError("times must rise", file=self.name, row=row, column="times", value=str(self.times[row]))
        infinite = np.flatnonzero(np.isinf(self.values))
        if len(infinite):
            row = int(infinite[0])
            raise InputError("must be finite", file=self.name, row=row, column="values", value=float(self.values[row]))
        for what in ("lag", "max_age"):
            if not getattr(self, what) >= np.timedelta64(0, "ns"):
                raise InputError("must not be negative", column=what, value=str(getattr(self, what)))

    @property
    def column(self) -> str:
        """Name of the bar column it becomes."""
        return PREFIX + self.name

    def known_at(self, instants: TimeArray) -> FloatArray:
        """The value known at each instant, NaN where there is none or it is too old.

        Examples
        --------
        >>> days = np.array(["2024-01-01", "2024-01-02"], "datetime64[ns]")
        >>> fear = ExternalSeries("fear", days, np.array([70.0, 40.0]), max_age=np.timedelta64(36, "h"))
        >>> asked = np.array(["2024-01-01T12", "2024-01-02T00", "2024-01-03T13"], "datetime64[ns]")
        >>> fear.known_at(asked).tolist()
        [70.0, 40.0, nan]
        """
        place = np.searchsorted(self.times, instants - self.lag, side="right") - 1
        age = instants - self.times[np.maximum(place, 0)] if len(self.times) else np.zeros(len(instants), "m8[ns]")
        known = (place >= 0) & (age <= self.max_age)
        found = self.values[np.maximum(place, 0)] if len(self.values) else np.full(len(instants), np.nan)
        return np.where(known, found, np.nan)


def with_series(table: BarTable, series: Mapping[str, ExternalSeries] | list[ExternalSeries]) -> BarTable:
    """The table with each series as known at the close of every bar, as column series_NAME.

    Series of one name for several symbols make one column; a symbol without one is NaN.

    Raises
    ------
    InputError
        A series of a symbol the table does not have, or two of one name for the same symbol, here or in the table.

    Examples
    --------
    >>> hours = np.array(["2024-01-01T00", "2024-01-01T01"], "datetime64[ns]")
    >>> hour = np.timedelta64(1, "h")
    >>> table = BarTable(hours, hour, ("BTC",), {"close": np.array([[1.0], [2.0]])})
    >>> fear = ExternalSeries("fear", hours[:1] + np.timedelta64(90, "m"), np.array([70.0]))
    >>> with_series(table, [fear]).columns["series_fear"].tolist()
    [[nan], [70.0]]
    """
    closes = table.times + table.step
    columns = dict(table.columns)
    told: set[tuple[str, str]] = set()
    for one in series.values() if isinstance(series, Mapping) else series:
        if one.symbol is not None and one.symbol not in table.symbols:
            raise InputError("is a series of a symbol that has no bars", column=one.name, value=one.symbol)
        concerned = table.symbols if one.symbol is None else (one.symbol,)
        places = [table.symbols.index(symbol) for symbol in concerned]
        known = columns.get(one.column, np.full((len(table), len(table.symbols)), np.nan)).copy()
        there = [not np.isnan(known[:, place]).all() for place in places]
        twice = [name for name, is_there in zip(concerned, there, strict=True) if is_there or (one.name, name) in told]
        if twice:
            raise InputError("two series of this name for one symbol", column=one.name, value=twice[0])
        told |= {(one.name, symbol) for symbol in concerned}
        known[:, places] = one.known_at(closes)[:, None]
        columns[one.column] = known
    return replace(table, columns=columns)
