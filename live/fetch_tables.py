"""Which history of a venue fills which table, and asking for one window of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .exchange import Exchange, VenueError
from .paging import Pace
from .symbols import Listing
from .venue_limits import CAREFUL, END_PARAMETER, PAGE_ROWS, family

FUTURE = 60_000
"""A row later than the venue's own time by more than this many milliseconds is refused."""
FUNDING_PACE = Pace(8 * 3_600_000, 59 * 60_000)
"""Fundings are eight hours to one hour apart; the time of each may be some seconds late."""

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class HistoryTable:
    """One kind of history.

    Parameters
    ----------
    stored
        Table of the store.
    feature, method
        ccxt's names of the endpoint, in `has` and as a method.
    columns
        Columns of the table besides timestamp and symbol.
    stepped
        Whether its rows are a step apart; otherwise they come when they come.
    bars
        Whether a row stands for a bar, which can be stored once it is closed.
    """

    stored: str
    feature: str
    method: str
    columns: tuple[str, ...]
    stepped: bool
    bars: bool


HISTORIES = {
    "perp": HistoryTable("perp", "fetchOHLCV", "fetch_ohlcv", (*PRICES, "volume"), True, True),
    "mark": HistoryTable("mark", "fetchMarkOHLCV", "fetch_mark_ohlcv", PRICES, True, True),
    "index": HistoryTable("series/index", "fetchIndexOHLCV", "fetch_index_ohlcv", ("value",), True, True),
    "funding": HistoryTable(
        "funding", "fetchFundingRateHistory", "fetch_funding_rate_history", ("funding_rate",), False, False
    ),
    "open_interest": HistoryTable(
        "open_interest", "fetchOpenInterestHistory", "fetch_open_interest_history", ("open_interest",), True, False
    ),
}


class HistoryWindow:
    """Asks a venue for one window of a history; what `paging` calls.

    Parameters
    ----------
    exchange
        The venue.
    name
        Table of `HISTORIES`.
    listing
        The perpetual.
    step, pace
        Bar length as the venue writes it, and how far apart rows are.

    Attributes
    ----------
    read, twice
        Rows seen so far, and those among them that a reply held twice.
    """

    def __init__(self, exchange: Exchange, name: str, listing: Listing, step: str, pace: Pace) -> None:
        self.exchange, self.name, self.listing = exchange, name, listing
        self.step, self.pace = step, pace
        self.kind = HISTORIES[name]
        self.read = self.twice = 0

    @property
    def origin(self) -> str:
        """The endpoint, for provenance and errors."""
        step = f" {self.step}" if self.kind.stepped else ""
        return f"{self.exchange.name} {self.kind.feature} {self.listing.unified}{step}"

    @property
    def shift(self) -> int:
        """From the venue's times to the stored ones, milliseconds: the index price of a bar is known at its close."""
        return self.pace.spacing if self.name == "index" else 0

    @property
    def most(self) -> int:
        """Rows that fit in one reply."""
        return PAGE_ROWS.get(family(self.exchange.name), {}).get(self.name, CAREFUL)

    def __call__(self, start: int, end: int) -> FloatArray:
        """Rows with start <= time < end, shape (n, 1 + columns), times rising.

        Raises
        ------
        InputError
            A row without a time, off the grid, from the future, or twice with different numbers.
        VenueError
            The venue cannot be asked, or does not keep to the window's end.
        """
        rows = self._rows(self._reply(start, end))
        self.read += len(rows)
        self._check(rows)
        rows = self._each_once(rows)
        inside = rows[(rows[:, 0] >= start) & (rows[:, 0] < end)]
        if not len(inside) and len(rows) and rows[0, 0] >= end:
            raise VenueError(f"{self.origin}: the venue does not keep to the end of a window, so gaps cannot be told")
        return inside

    def frame(self, rows: FloatArray) -> pd.DataFrame:
        """Rows as a frame for the store."""
        stamps = pd.to_datetime((rows[:, 0] + self.shift).astype(np.int64), unit="ms", utc=True).as_unit("ns")
        numbers = dict(zip(self.kind.columns, rows[:, 1:].T, strict=True))
        return pd.DataFrame({"timestamp": stamps, "symbol": self.listing.symbol, **numbers})

    def _reply(self, start: int, end: int) -> Any:
        bars = -(-(end - start) // self.pace.spacing)
        limit = min(self.most, bars) if self.kind.stepped else self.most
        own = END_PARAMETER.get(family(self.exchange.name), {}).get(self.name)
        last = {own: end} if own else {"until": end - 1}
        step = (self.step,) if self.kind.stepped else ()
        return self.exchange.call(self.kind.method, self.listing.unified, *step, start, limit, last)

    def _rows(self, reply: Any) -> FloatArray:
        try:
            rows = [self._row(entry) for entry in reply]
            return np.array(rows, np.float64).reshape(-1, 1 + len(self.kind.columns))
        except (KeyError, IndexError, TypeError, ValueError) as failure:
            raise VenueError(f"{self.origin}: the reply has an unknown layout: {failure!r}") from failure

    def _row(self, entry: Any) -> tuple[Any, ...]:
        if self.name == "funding":
            return entry["timestamp"], entry["fundingRate"]
        if self.name == "open_interest":
            coins = entry.get("baseVolume")
            return entry["timestamp"], entry["openInterestAmount"] if coins is None else coins
        if self.name == "index":
            return entry[0], entry[4]
        return tuple(entry[: 1 + len(self.kind.columns)])

    def _check(self, rows: FloatArray) -> None:
        times = rows[:, 0]
        self._refuse(~np.isfinite(times), rows, "has no time")
        if self.kind.bars:
            self._refuse(times % self.pace.spacing != 0, rows, f"does not open on the grid of {self.step} bars")
        now = self.exchange.now()
        self._refuse(times > now + FUTURE, rows, f"is from the future: the venue's time is {iso(now)}")

    def _refuse(self, bad: np.ndarray[Any, Any], rows: FloatArray, problem: str) -> None:
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            time = rows[row, 0]
            value = iso(int(time)) if np.isfinite(time) else "nothing"
            raise InputError(problem, file=self.origin, row=row, column="timestamp", value=value)

    def _each_once(self, rows: FloatArray) -> FloatArray:
        once = rows[np.sort(np.unique(rows, axis=0, return_index=True)[1])]
        once = once[np.argsort(once[:, 0], kind="stable")]
        same = np.flatnonzero(np.diff(once[:, 0]) == 0)
        if len(same):
            problem = "comes twice in one reply with different numbers"
            raise InputError(problem, file=self.origin, column="timestamp", value=iso(int(once[same[0], 0])))
        self.twice += len(rows) - len(once)
        return once


def iso(milliseconds: float) -> str:
    """An instant as ISO 8601 in UTC.

    Examples
    --------
    >>> iso(0), iso(1_704_067_200_003)
    ('1970-01-01T00:00:00Z', '2024-01-01T00:00:00.003Z')
    """
    stamp = np.datetime64(int(milliseconds), "ms")
    return f"{np.datetime_as_string(stamp.astype('datetime64[s]') if milliseconds % 1000 == 0 else stamp)}Z"
